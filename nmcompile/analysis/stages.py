"""What a network computes at each stage between the float network and the chip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.analysis.registers import (
    amplitudes,
    chip_rates,
    equalised,
    layer_correction,
    layer_drive,
    spike_weights,
)
from nmcompile.chip.discrete import DiscreteGraph
from nmcompile.host.encoder import encoder_currents, encoder_spikes
from nmcompile.ir import Network, evaluate
from nmcompile.ir.layers import Connection, LayerGraph
from nmcompile.ir.links import activations
from nmcompile.ir.nodes import FloatArray, Integrator, Softmax
from nmcompile.ir.reference import compute

#: Stages in order; `stage_title` puts them in words.
FLOAT, FOLDED, WEIGHTS, CURVE, CHIP = STAGES = ("float", "folded", "weights", "curve", "chip")


def stage_title(stage: str, bits: int = 8) -> str:
    """A stage in a few words."""
    return {
        FLOAT: "float",
        FOLDED: "folded",
        WEIGHTS: f"{bits}-bit weights",
        CURVE: "chip's firing curve",
        CHIP: "chip",
    }[stage]


@dataclass(frozen=True, eq=False)
class Values:
    """What some samples give at one stage.

    Attributes
    ----------
    layers : layer -> (samples, neurons) activations
    scores : (samples, outputs) before a softmax
    """

    layers: Mapping[str, FloatArray]
    scores: NDArray[np.float64] | FloatArray

    def over(self, frames: int) -> Values:
        """Means over frames, where so many of them, one after the other, make a sample."""
        layers = {name: mean_over(frames, values) for name, values in self.layers.items()}
        return Values(layers, mean_over(frames, self.scores))


def mean_over(frames: int, values: Any) -> Any:
    """(samples, ...) means of (samples * frames, ...) values, in their own type."""
    if frames == 1:
        return values
    by_sample = values.reshape(-1, frames, *values.shape[1:])
    return by_sample.mean(axis=1).astype(values.dtype)


def float_values(network: Network, x: FloatArray, names: list[str]) -> Values:
    """The float network itself; of `names` those that it has."""
    last = network.outputs[0].inputs[0]
    while isinstance(network[last], Softmax):
        last = network[last].inputs[0]
    kept = [name for name in names if name in network]
    found = evaluate(network, x, keep=[last, *kept])
    return Values(
        {name: found[name].reshape(len(x), -1) for name in kept},
        found[last].reshape(len(x), -1),
    )


def folded_values(graph: LayerGraph, x: FloatArray) -> Values:
    """The float layers that the chip's layers stand for."""
    values = {layer.name: found for layer, found in activations(graph, x)}
    return Values(values, _scores(graph.read_layers, graph.read_weights, graph.read_bias, values))


@dataclass(frozen=True, eq=False)
class EncoderDrive:
    """What the encoder makes of samples.

    Attributes
    ----------
    currents : (samples, neurons) int64
    rates : spikes per step that these amount to, 1 at most
    amplitude : activation that one spike per step stands for
    """

    currents: NDArray[np.int64]
    rates: FloatArray
    amplitude: float

    def over(self, frames: int) -> EncoderDrive:
        """Means over frames, where so many of them make a sample."""
        currents, rates = mean_over(frames, self.currents), mean_over(frames, self.rates)
        return EncoderDrive(currents, rates, self.amplitude)


class ChipStages:
    """The chip's layers in floats, with the weights, biases and thresholds of its registers.

    Parameters
    ----------
    graph : discretised layers
    folded : float layers of the same names, whose neurons say what an activation is
    """

    def __init__(self, graph: DiscreteGraph, folded: LayerGraph) -> None:
        self._graph, self._folded = graph, folded
        self._links: dict[str, list[Connection]] = {
            layer.name: [spike_weights(link, layer) for link in graph.into(layer.name)]
            for layer in graph.layers
        }

    def encoder(self, x: FloatArray, activations: FloatArray) -> EncoderDrive:
        """The encoder's currents for samples, and their scale.

        Parameters
        ----------
        activations : (samples, neurons) of the encoder in the folded network
        """
        currents = encoder_currents(self._graph.encoder, x)
        rates = (currents / self._graph.encoder.threshold).astype(np.float32)
        return EncoderDrive(currents, rates, encoder_amplitude(rates, activations))

    def weights(self, drive: EncoderDrive) -> Values:
        """Float neurons on the chip's weights and biases, behind the encoder's exact rates."""
        return self._run(drive.rates, drive.amplitude, spiking=False)

    def curve(self, drive: EncoderDrive, steps: int) -> Values:
        """Rates that each neuron has where its mean drive is constant, once it has settled."""
        spikes = encoder_spikes(self._graph.encoder, drive.currents, steps)
        return self._run(spikes.mean(axis=1, dtype=np.float32), drive.amplitude, spiking=True)

    def _run(self, encoder_rates: FloatArray, amplitude: float, spiking: bool) -> Values:
        graph = self._graph
        rates = {graph.encoder.name: encoder_rates}
        values = {graph.encoder.name: encoder_rates * np.float32(amplitude)}
        read_bias = graph.read_bias
        for layer in graph.layers:
            incoming = [(link, rates[link.source]) for link in self._links[layer.name]]
            # Constant rates lose nothing that would have to be made up for.
            drive = layer_drive(layer, incoming) - layer_correction(layer)
            neuron = self._folded.layer(layer.name).neuron
            if spiking and not isinstance(neuron, Integrator):
                rates[layer.name] = chip_rates(layer, drive)
                values[layer.name] = rates[layer.name] * amplitudes(layer)
            else:
                given = (drive / layer.voltage_scale).astype(np.float32)
                values[layer.name] = compute(neuron, [given]) / equalised(layer)
                rates[layer.name] = values[layer.name] / amplitudes(layer)
        if graph.read_correction is not None:
            read_bias = read_bias - graph.read_correction
        # The read-out's weights hold the gains of single neurons already.
        read = {
            name: rates[name] * np.float32(graph.layer(name).amplitude)
            for name in graph.read_layers
        }
        return Values(values, _scores(graph.read_layers, graph.read_weights, read_bias, read))


def encoder_amplitude(rates: FloatArray, activations: FloatArray) -> float:
    """Activation that a spike per step of the encoder stands for, by the best fit.

    Parameters
    ----------
    rates : (samples, neurons) spikes per step; what is clipped at 1 tells nothing
    activations : of the same shape
    """
    free = (rates > 0) & (rates < 1)
    if not free.any():
        free = rates > 0
    power = float((rates[free].astype(np.float64) ** 2).sum())
    return float((rates[free] * activations[free].astype(np.float64)).sum()) / power if power else 1


def _scores(
    layers: tuple[str, ...],
    weights: FloatArray,
    bias: FloatArray,
    values: Mapping[str, FloatArray],
) -> NDArray[np.float64]:
    read = np.concatenate([values[name] for name in layers], axis=1).astype(np.float64)
    return read @ weights.astype(np.float64) + bias
