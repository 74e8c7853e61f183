"""Discretise: weights, thresholds, biases and time constants become the chip's integers."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from math import ceil, exp, floor, log, log1p, log2
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip.arithmetic import (
    CURRENT_BITS,
    DECAY_BITS,
    EXCITATORY,
    INHIBITORY,
    MIXED,
    WEIGHT_SHIFT,
    mantissa_range,
    mantissa_span,
    mantissa_step,
)
from nmcompile.chip.discrete import DiscreteConnection, DiscreteGraph, DiscreteLayer
from nmcompile.errors import CompileError
from nmcompile.hardware import HardwareModel
from nmcompile.ir.layers import Connection, LayerGraph, NeuronLayer
from nmcompile.ir.nodes import FloatArray, Integrator, ReLU, Spiking
from nmcompile.passes.base import NmcompileWarning, Pass
from nmcompile.passes.encode import discrete_encoder
from nmcompile.passes.exact import exact_layer

#: Mean loss per step of a decay that rounds toward zero (nengo-loihi discretize.py).
ROUNDING_LOSS = 0.494
VOLTAGE_MAX = (1 << CURRENT_BITS) - 1


@dataclass(frozen=True)
class Discretise(Pass[LayerGraph, DiscreteGraph]):
    """Reads float layers and connections; makes their registers and weight mantissas.

    One scale per layer links the integer voltage to the activation; threshold, bias and every
    weight into the layer share it. It is the largest at which threshold and bias fit their
    registers and the accumulator cannot overflow, but it is not lowered beyond the point where
    weights would lose bits: then overflow is possible, and the emulator counts it.

    Layers that are quantised already keep their numbers, or are refused: see `passes.exact`.

    Attributes
    ----------
    weight_bits : bits per weight
    steps : time steps that an integrating read-out has room for
    input_range : (smallest, largest) input value on calibration data
    """

    name: ClassVar[str] = "discretise"
    purpose: ClassVar[str] = "turn weights, thresholds, biases and time constants into integers"

    hardware: HardwareModel
    weight_bits: int
    steps: int
    input_range: tuple[float, float]

    def run(self, value: LayerGraph) -> DiscreteGraph:
        layers: list[DiscreteLayer] = []
        connections: list[DiscreteConnection] = []
        for layer in value.on_chip():
            made, links = self.layer(value, layer)
            layers.append(made)
            connections.extend(links)
        integrates = isinstance(value.layer(value.read_layers[0]).neuron, Integrator)
        return DiscreteGraph(
            name=value.name,
            dt_s=value.dt_s,
            encoder=discrete_encoder(value, self.input_range),
            layers=tuple(layers),
            connections=tuple(connections),
            read_kind="voltage" if integrates else "counts",
            read_layers=value.read_layers,
            read_weights=value.read_weights,
            read_bias=value.read_bias,
            read_correction=value.read_correction,
            encoder_rate=[layer for layer in value.layers if layer.place == "host_in"][-1].rate,
        )

    def layer(
        self, graph: LayerGraph, layer: NeuronLayer
    ) -> tuple[DiscreteLayer, list[DiscreteConnection]]:
        """One layer of the graph and the connections into it, in integers."""
        incoming = [_per_spike(graph, link) for link in graph.into(layer.name)]
        for link in incoming:
            self._check_delay(link)
        if isinstance(layer.neuron, Spiking) and layer.neuron.registers is not None:
            return exact_layer(layer, incoming, self.weight_bits, self.hardware)
        registers = self.hardware.compartment
        neuron = layer.neuron
        assert not isinstance(neuron, ReLU)
        decay_u, decay_v, refractory = self._dynamics(layer, graph.dt_s)
        threshold_unit = 1 << registers.threshold_exponent.value
        threshold_top = registers.threshold_mantissa_max.value * threshold_unit
        bias_top = registers.bias_mantissa_max.value << registers.bias_exponent_max.value
        if isinstance(neuron, Integrator):
            # Half of the voltage range, so that the threshold is never reached.
            bound, bound_top = neuron.largest * self.steps, threshold_top // 2
        else:
            bound, bound_top = neuron.threshold, threshold_top
        largest_bias = float(np.abs(layer.bias).max(initial=0))
        limit = min(bound_top / bound, bias_top / largest_bias if largest_bias else np.inf)
        gain = current_gain(decay_u, float(bound_top) / 2)
        scale = self._voltage_scale(layer, incoming, limit, gain)
        if isinstance(neuron, Integrator):
            threshold = registers.threshold_mantissa_max.value
        else:
            threshold = max(1, round(neuron.threshold * scale / threshold_unit))
        mantissa, exponent = bias_registers(layer.bias.astype(np.float64) * scale, self.hardware)
        initial = np.zeros(layer.size, np.int32)
        starts = layer.initial
        if isinstance(neuron, Integrator):
            # A read-out counts the steps that have input; till then only the bias acts.
            starts = -layer.depth * layer.bias
        if starts is not None:
            wanted = np.rint(starts.astype(np.float64) * scale)
            initial = np.clip(wanted, -VOLTAGE_MAX, threshold * threshold_unit).astype(np.int32)
        made = DiscreteLayer(
            name=layer.name,
            shape=layer.shape,
            decay_u=decay_u,
            decay_v=decay_v,
            refractory=refractory,
            threshold_mantissa=threshold,
            bias_mantissa=mantissa,
            bias_exponent=exponent,
            vmin_exponent=registers.vmin_exponent_max.value,
            vmax_exponent=registers.vmax_exponent_max.value,
            initial_voltage=initial,
            voltage_scale=scale,
            amplitude=neuron.amplitude if isinstance(neuron, Spiking) else 1.0,
            depth=layer.depth,
            origin=layer.origin,
            rate=layer.rate,
            gain=layer.gain,
            correction=layer.correction,
            equalised=layer.equalised,
        )
        links = [
            discretise_weights(link, scale / gain, self.weight_bits, self.hardware)
            for link in incoming
        ]
        return made, links

    def _check_delay(self, link: Connection) -> None:
        most = self.hardware.synapse.delay_max.value
        if link.delay > most:
            raise CompileError(
                f"connection {link.name}: spikes arrive {link.delay} steps late, a synapse delays "
                f"by {most} at most; use shorter delays, or put a layer that passes spikes on "
                "between"
            )

    def _dynamics(self, layer: NeuronLayer, dt_s: float) -> tuple[int, int, int]:
        """decay_u, decay_v and refractory delay of a layer."""
        registers = self.hardware.compartment
        neuron = layer.neuron
        if not isinstance(neuron, Spiking):
            return registers.decay_max.value, 0, registers.refractory_min.value
        refractory = registers.refractory_min.value + round(neuron.refractory_s / dt_s)
        if refractory > registers.refractory_max.value:
            raise CompileError(
                f"layer {layer.name!r}: a refractory period of {neuron.refractory_s:g} s is "
                f"{refractory} steps, the register holds {registers.refractory_max.value}; "
                "lower --refractory or raise --dt"
            )
        decay_u = current_decay(neuron.synapse_s, dt_s, registers.decay_max.value)
        decay_v = 0
        if neuron.tau_rc_s is not None:
            decay_v = round(registers.decay_max.value * (1 - exp(-dt_s / neuron.tau_rc_s)))
        for option, seconds, rate in (
            ("--tau-rc", neuron.tau_rc_s, decay_v if neuron.tau_rc_s else 1),
            ("--synapse", neuron.synapse_s, decay_u + 1),
        ):
            if rate < 1:
                raise CompileError(
                    f"layer {layer.name!r}: {option} {seconds:g} s is so long that its decay per "
                    f"step rounds to 0 of {registers.decay_max.value}; make it shorter"
                )
        if decay_v == registers.decay_max.value:
            warnings.warn(
                f"layer {layer.name!r}: a membrane time constant of {neuron.tau_rc_s:g} s forgets "
                "everything within a step, so only bursts fire; raise --tau-rc",
                NmcompileWarning,
                stacklevel=4,
            )
        return decay_u, decay_v, refractory

    def _voltage_scale(
        self, layer: NeuronLayer, incoming: list[Connection], limit: float, gain: float
    ) -> float:
        """Integer voltage units per unit of activation; see the class."""
        synapse, bits = self.hardware.synapse, self.hardware.compartment
        largest = max((float(np.abs(link.weights).max(initial=0)) for link in incoming), default=0)
        if largest <= 0:
            return limit if np.isfinite(limit) else 1.0
        top = (mantissa_span(self.weight_bits, MIXED) or 255) << WEIGHT_SHIFT
        unit = top * gain / largest
        exponent = min(floor(log2(limit / unit)), synapse.weight_exponent_max.value)
        if exponent < synapse.weight_exponent_min.value:
            raise CompileError(
                f"layer {layer.name!r}: its threshold is {limit and 1 / limit:.3g} of the voltage "
                f"range per unit but its largest weight {largest:.3g}, too far apart for weight "
                f"exponents from {synapse.weight_exponent_min.value} on; clip the largest weights "
                "or raise --max-rate"
            )
        drive = worst_drive(incoming)
        room = min(
            2.0**bits.accumulator_bits.value / (drive * top / largest),
            2.0**bits.current_bits.value / (drive * gain * top / largest),
        )
        lossless = -int(log2(mantissa_step(self.weight_bits, MIXED)))
        safe = floor(log2(room))
        if safe < lossless <= exponent:
            warnings.warn(
                f"layer {layer.name!r}: if all inputs fire at once the accumulator of "
                f"{bits.accumulator_bits.value} bits can overflow; the emulator counts how often",
                NmcompileWarning,
                stacklevel=4,
            )
        exponent = min(exponent, max(safe, lossless))
        return float(unit * 2.0**exponent)

    def changes(self, before: LayerGraph, after: DiscreteGraph) -> str:
        return ", ".join(
            f"{c.link.source}->{c.link.target} 2^{c.exponent}" for c in after.connections
        )


def _per_spike(graph: LayerGraph, link: Connection) -> Connection:
    """The connection with weights per spike of the source instead of per unit of activation."""
    neuron = graph.layer(link.source).neuron
    amplitude = neuron.amplitude if isinstance(neuron, Spiking) else 1.0
    return replace(link, weights=(link.weights * np.float32(amplitude)).astype(np.float32))


def current_decay(tau_s: float, dt_s: float, decay_max: int) -> int:
    """The decay_u register for a synaptic time constant; the chip adds one to it."""
    if tau_s == 0:
        return decay_max
    return round(decay_max * (1 - exp(-dt_s / tau_s))) - 1


def current_gain(decay_u: int, start: float) -> float:
    """Sum over time of a decaying unit of current, with the rounding of integer decay.

    Parameters
    ----------
    decay_u : register value
    start : current at which the rounding loss is judged, in integer units
    """
    kept = ((1 << DECAY_BITS) - 1 - decay_u) / (1 << DECAY_BITS)
    if kept <= 0:
        return 1.0
    lost = 1 - kept
    steps = -log1p(start * lost / ROUNDING_LOSS) / log(kept)
    plain = (1 - kept ** (steps + 1)) / lost
    return plain - ROUNDING_LOSS / (lost * start) * (steps + 1 - plain)


def worst_drive(incoming: list[Connection]) -> float:
    """Largest sum of weights of one sign into any neuron: all its inputs firing at once."""
    up, down = 0.0, 0.0
    for link in incoming:
        axes = (0, 1, 2)
        up += float(np.maximum(link.weights, 0).sum(axis=axes).max(initial=0))
        down += float(np.maximum(-link.weights, 0).sum(axis=axes).max(initial=0))
    return max(up, down)


def bias_registers(
    bias: NDArray[np.float64], hardware: HardwareModel
) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """Mantissas and smallest exponents for bias currents in integer units."""
    top = hardware.compartment.bias_mantissa_max.value
    exponent = np.zeros(bias.shape, np.uint8)
    for _ in range(hardware.compartment.bias_exponent_max.value):
        exponent += (np.abs(np.rint(bias / 2.0**exponent)) > top).astype(np.uint8)
    mantissa = np.clip(np.rint(bias / 2.0**exponent), -top, top).astype(np.int16)
    return mantissa, exponent


def discretise_weights(
    link: Connection, scale: float, weight_bits: int, hardware: HardwareModel
) -> DiscreteConnection:
    """Mantissas, exponent and sign mode of a connection.

    Parameters
    ----------
    link : with float weights
    scale : accumulator units per unit of weight
    """
    weights: FloatArray = link.weights
    mode = MIXED
    if weights.min(initial=0) >= 0:
        mode = EXCITATORY
    elif weights.max(initial=0) <= 0:
        mode = INHIBITORY
    span = mantissa_span(weight_bits, mode)
    if not span:
        raise CompileError(
            f"connection {link.name}: {weight_bits} bit(s) per weight hold no positive weight "
            "beside negative ones; use --weight-bits 2 or more"
        )
    wanted = weights.astype(np.float64) * (scale / (1 << WEIGHT_SHIFT))
    largest = float(np.abs(wanted).max(initial=0))
    synapse = hardware.synapse
    exponent = synapse.weight_exponent_min.value
    if largest > 0:
        exponent = max(exponent, ceil(log2(largest / span) - 1e-9))
    exponent = min(exponent, synapse.weight_exponent_max.value)
    if largest == 0:
        exponent = 0
    step = max(mantissa_step(weight_bits, mode), 1 << max(0, -exponent))
    mantissa = np.rint(wanted / 2.0**exponent / step) * step
    low, high = mantissa_range(mode)
    low, high = -(-low // step * step), high // step * step
    mantissa = np.clip(mantissa, low, high).astype(np.int16)
    return DiscreteConnection(
        link=replace(link, weights=mantissa),
        exponent=exponent,
        weight_bits=weight_bits,
        sign_mode=mode,
    )
