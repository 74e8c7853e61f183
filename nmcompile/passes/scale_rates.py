"""Choose how much activation a spike stands for, from calibration data."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from math import exp
from typing import ClassVar

import numpy as np

from nmcompile.errors import CompileError
from nmcompile.ir import Network, evaluate
from nmcompile.ir.nodes import FloatArray, Integrator, Node, Spiking
from nmcompile.passes.base import NmcompileWarning
from nmcompile.passes.network_pass import NetworkPass
from nmcompile.passes.options import BuildOptions
from nmcompile.passes.spike import layer_names, layer_options

#: An encoder's reset loses nothing, so it can fire in every step, and little is gained by
#: clipping its largest inputs: they are taken at this percentile, or a higher one if chosen.
ENCODER_PERCENTILE = 99.9


@dataclass(frozen=True)
class ScaleRates(NetworkPass):
    """Reads Spiking nodes and calibration data; changes their amplitude and threshold.

    The layer's largest activation p (a percentile on calibration data) shall fire with rate
    f = max_rate * dt * rate_scale spikes a step, so a spike stands for p / f. With hard reset
    and constant input p an integrate-and-fire neuron reaches a threshold of n p in n steps;
    n = 1 / f less the refractory steps, times `threshold_gain` for the overshoot that the
    reset loses. A leaky neuron gets n p (1 - (1 - d)^n) / (n d), with d its decay per step, so
    that the largest activation fires at the same rate. The model's own spiking neurons stay as
    they were trained, and before those that are quantised already a spike stands for 1.
    """

    name: ClassVar[str] = "scale-rates"
    purpose: ClassVar[str] = "choose what a spike stands for, from calibration data"

    options: BuildOptions
    calibration: FloatArray

    def run(self, value: Network) -> Network:
        neurons = [node for node in value if isinstance(node, Spiking) and not node.own]
        self._warn_of_own_neurons(value)
        kept = evaluate(value, self.calibration, keep=[node.name for node in neurons])
        quantised = any(isinstance(node, Spiking) and node.registers for node in value)
        changes: dict[str, tuple[Node, ...]] = {}
        for node in neurons:
            on_host = value.place[node.name] == "host_in"
            percentile = max(self.options.percentile, ENCODER_PERCENTILE if on_host else 0)
            if on_host and quantised:
                changes[node.name] = (replace(node, amplitude=1.0, threshold=1.0),)
                continue
            largest = float(np.percentile(kept[node.name].astype(np.float64), percentile))
            if largest <= 0:
                largest = float(kept[node.name].max())
            if largest <= 0:
                warnings.warn(
                    f"layer {node.name!r} is silent on all calibration data, so its rates are a "
                    "guess; calibrate with data that is like the real input, or train the layer "
                    "anew if it is dead",
                    NmcompileWarning,
                    stacklevel=2,
                )
                largest = node.max_value or 1.0
            if on_host:
                changes[node.name] = (replace(node, amplitude=largest, threshold=largest),)
            else:
                names = layer_names(value, node.name)
                changes[node.name] = (self._scaled(value, node, largest, names),)
        for last in value:
            if isinstance(last, Integrator):
                scores = evaluate(value, self.calibration, keep=[last.name])[last.name]
                largest = 2 * float(np.abs(scores).max()) or 1.0
                changes[last.name] = (replace(last, largest=largest),)
        return value.edit(changes)

    def _warn_of_own_neurons(self, network: Network) -> None:
        """Say which options change nothing, as all neurons are those of the model."""
        spiking = [node for node in network if isinstance(node, Spiking)]
        on_chip = [node for node in spiking if network.place[node.name] == "chip"]
        if not on_chip or not all(node.own for node in on_chip):
            return
        usual, given = BuildOptions(), self.options
        changed = [name for name, each in given.neuron if each != getattr(usual.neuron, name)]
        changed += [
            name
            for name in ("threshold_gain", "threshold_factors", "equalise")
            if getattr(given, name) != getattr(usual, name)
        ]
        if changed:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in changed)
            warnings.warn(
                f"{flags}: no effect, for all neurons on the chip are the model's own and stay as "
                "they were trained",
                NmcompileWarning,
                stacklevel=3,
            )

    def _scaled(self, network: Network, node: Spiking, largest: float, names: set[str]) -> Spiking:
        neuron = self.options.neuron_for(layer_options(self.options.layers, names))
        rate = neuron.max_rate * network.dt_s * neuron.rate_scale
        if rate > 1:
            warnings.warn(
                f"layer {node.name!r}: max_rate times rate_scale is {rate / network.dt_s:.4g} Hz, "
                f"but a neuron fires once a step at most, {1 / network.dt_s:.4g} Hz, so large "
                "activations saturate; lower --max-rate or --rate-scale",
                NmcompileWarning,
                stacklevel=3,
            )
        amplitude = largest / rate
        pause = round(node.refractory_s / network.dt_s)
        if pause and pause + 1 > 1 / rate + 1e-9:
            raise CompileError(
                f"layer {node.name!r}: a refractory period of {node.refractory_s:g} s allows at "
                f"most {1 / ((pause + 1) * network.dt_s):.4g} Hz, but max_rate times rate_scale "
                f"is {rate / network.dt_s:.4g} Hz; lower --max-rate or --refractory"
            )
        steps = max(1 / rate - pause, 1e-3)
        threshold = largest * steps * self.options.threshold_gain
        if node.tau_rc_s is not None:
            leak = 1 - exp(-network.dt_s / node.tau_rc_s)
            threshold *= (1 - (1 - leak) ** steps) / (steps * leak)
        return replace(node, amplitude=amplitude, threshold=threshold)

    def changes(self, before: Network, after: Network) -> str:
        return ", ".join(
            f"{node.name} {node.amplitude:.3g} per spike"
            for node in after
            if isinstance(node, Spiking)
        )
