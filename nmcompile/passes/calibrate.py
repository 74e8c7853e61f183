"""Choose thresholds and what spikes stand for by what neurons with a hard reset really do."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import expm1, prod
from typing import ClassVar

import numpy as np

from nmcompile.chip.discrete import DiscreteConnection, DiscreteLayer
from nmcompile.host.encoder import encoder_spikes, frame_currents
from nmcompile.ir.layers import LayerGraph, NeuronLayer
from nmcompile.ir.links import activations, through
from nmcompile.ir.nodes import FloatArray, Spiking
from nmcompile.passes.base import NmcompileWarning, Pass
from nmcompile.passes.channels import scale_outputs, shared_weights
from nmcompile.passes.discretise import Discretise
from nmcompile.passes.encode import discrete_encoder
from nmcompile.passes.gains import best_gain, fitted_gains, mean_error
from nmcompile.passes.options import BuildOptions
from nmcompile.passes.rounding import best_cut, round_for_output, second_moments
from nmcompile.passes.simulate import Spikes, layer_spikes

#: Samples on which thresholds are compared.
SEARCH_SAMPLES = 16
#: Spikes that are kept at a time, one byte each; fewer samples are simulated where they exceed it.
MOST_SPIKES = 1 << 28
#: Multiply-accumulates worth spending, about a minute; some samples are simulated at any price.
MOST_MACS = 1 << 37
LEAST_SAMPLES = 4


@dataclass(frozen=True)
class Calibrate(Pass[LayerGraph, LayerGraph]):
    """Reads layers, connections and samples; changes thresholds, amplitudes, biases and weights.

    Overshoot that a hard reset throws away makes rates too low, and each layer adds its share.
    So the layers are run one after the other, as the chip will run them, each on the spikes of
    those before it, and what comes behind is corrected by what they do:

    - a layer begins a sample with a voltage that takes back what its bias adds before the first
      input comes;
    - its threshold is the one of several whose spikes fit the float activations best;
    - a spike of a channel stands for the activation that fits best: the sum of rate times
      activation over the sum of squared rates. The mean for the layer becomes its amplitude, the
      channels' differences go into the weights behind;
    - what then remains of a channel's mean error goes into the biases behind.

    All of this ends in static numbers of the Program. Neurons that are quantised already are run,
    and stay as they are. A layer's mean rate tells the mapper which
    cores will talk much to each other.

    Attributes
    ----------
    samples : (samples, *input shape), or (samples, frames, *input shape), float32; the first
        `options.gain_samples` are used
    options : steps per sample, and which of the corrections to make
    discretise : makes the integers of a layer
    """

    name: ClassVar[str] = "calibrate"
    purpose: ClassVar[str] = "correct thresholds, amplitudes and biases by what the chip does"

    samples: FloatArray
    options: BuildOptions
    discretise: Discretise

    def run(self, value: LayerGraph) -> LayerGraph:
        x = self._affordable(value)
        if not len(x):
            return value
        if value.recurrent:
            return self._aligned_only(value)
        graph = value
        frames = x.reshape(-1, prod(value.input_shape))
        spikes: dict[str, Spikes] = {}
        for original, found in activations(value, frames):
            wanted = found.reshape(len(x), -1, original.size).mean(axis=1)
            layer = graph.layer(original.name)
            if not isinstance(layer.neuron, Spiking):
                continue
            if layer.place == "host_in":
                encoder = discrete_encoder(graph, self.discretise.input_range)
                currents = frame_currents(encoder, x)
                sent = spikes[layer.name] = encoder_spikes(encoder, currents, self.options.steps)
                graph = graph.with_layer(replace(layer, rate=float(sent.mean())))
                continue
            if layer.neuron.registers is not None:
                sent = layer_spikes(*self.discretise.layer(graph, layer), spikes)
                graph = graph.with_layer(replace(layer, rate=float(sent.mean())))
            else:
                graph, sent = self._fitted(graph, layer, spikes, wanted)
            spikes[layer.name] = sent
            for name in [*spikes]:
                if all(link.target in spikes for link in value.connections if link.source == name):
                    spikes[name] = sent[:0]
        return graph

    def _fitted(
        self, graph: LayerGraph, layer: NeuronLayer, spikes: dict[str, Spikes], wanted: FloatArray
    ) -> tuple[LayerGraph, Spikes]:
        """The graph with one layer corrected, and what that layer sends."""
        if self.options.initial_voltage == "aligned":
            layer = replace(layer, initial=_aligned(layer, graph.dt_s))
        if self.options.rounding == "output":
            graph = self._rounded(graph, layer, spikes)
        layer, made, incoming = self._best_threshold(graph, layer, spikes, wanted)
        sent = layer_spikes(made, incoming, spikes)
        return self._corrected(graph, layer, sent, wanted), sent

    def _aligned_only(self, graph: LayerGraph) -> LayerGraph:
        """A recurrent graph, whose rates no order of its layers gives, with its first voltages."""
        if self.options.initial_voltage == "aligned":
            for layer in graph.on_chip():
                if isinstance(layer.neuron, Spiking) and layer.neuron.registers is None:
                    aligned = replace(layer, initial=_aligned(layer, graph.dt_s))
                    graph = graph.with_layer(aligned)
        return graph

    def _affordable(self, graph: LayerGraph) -> FloatArray:
        """As many samples as time and memory allow."""
        spiking = [layer.size for layer in graph.layers if isinstance(layer.neuron, Spiking)]
        macs = sum(prod(link.out_shape[:2]) * link.weights.size for link in graph.connections)
        affordable = max(LEAST_SAMPLES, MOST_MACS // (self.options.steps * max(macs, 1)))
        room = MOST_SPIKES // (self.options.steps * sum(spiking))
        if not room and self.options.gain_samples and len(self.samples):
            warnings.warn(
                f"{sum(spiking):,} neurons in {self.options.steps} steps are too many to be run "
                "during a build, so what spikes lose is not corrected; lower --steps",
                NmcompileWarning,
                stacklevel=2,
            )
        return self.samples[: min(self.options.gain_samples, affordable, room)]

    def _rounded(
        self, graph: LayerGraph, layer: NeuronLayer, sent: dict[str, Spikes]
    ) -> LayerGraph:
        """The graph with weights into a layer that discretise to what changes its output least."""
        moments = [
            second_moments(link, sent[link.source].mean(axis=1, dtype=np.float32))
            for link in graph.into(layer.name)
        ]
        for change in (best_cut, round_for_output):
            links = list(graph.into(layer.name))
            made = self.discretise.layer(graph, layer)[1]
            changed = {
                id(link): change(link, nearest, moment)
                for link, nearest, moment in zip(links, made, moments, strict=True)
                if moment is not None
            }
            connections = tuple(changed.get(id(link), link) for link in graph.connections)
            graph = replace(graph, connections=connections)
        return graph

    def _changing(self, graph: LayerGraph) -> bool:
        return self.samples.ndim > 1 + len(graph.input_shape)

    def _best_threshold(
        self,
        graph: LayerGraph,
        layer: NeuronLayer,
        sent: dict[str, Spikes],
        wanted: FloatArray,
    ) -> tuple[NeuronLayer, DiscreteLayer, list[DiscreteConnection]]:
        """The layer with the threshold, of those to be tried, that serves best; and discretised."""
        neuron = layer.neuron
        assert isinstance(neuron, Spiking)
        factors: Iterable[float] = (1.0,) if neuron.own else self.options.threshold_factors
        best, least = None, np.inf
        few = {name: each[:SEARCH_SAMPLES] for name, each in sent.items()}
        for factor in factors:
            tried = replace(layer, neuron=replace(neuron, threshold=neuron.threshold * factor))
            made = self.discretise.layer(graph.with_layer(tried), tried)
            error = 0.0
            if len(self.options.threshold_factors) > 1:
                rate = self._rate(layer, layer_spikes(*made, few))
                target = wanted[: len(rate)]
                error = float(((rate * best_gain(rate, target) - target) ** 2).sum())
            if best is None or error < least:
                best, least = (tried, *made), error
        assert best is not None
        return best

    def _rate(self, layer: NeuronLayer, spikes: Spikes) -> FloatArray:
        """(samples, neurons) spikes per step in which the layer has seen its input."""
        seen = max(self.options.steps - layer.depth, 1)
        return (spikes.sum(axis=1) / np.float32(seen)).astype(np.float32)

    def _corrected(
        self, graph: LayerGraph, layer: NeuronLayer, spikes: Spikes, wanted: FloatArray
    ) -> LayerGraph:
        """The graph in which what reads a layer takes its spikes for what they stand for."""
        neuron = layer.neuron
        assert isinstance(neuron, Spiking)
        rate = self._rate(layer, spikes)
        layer = replace(layer, rate=float(spikes.mean()))
        if neuron.own and self._changing(graph):
            # What the model's own neurons remember from frame to frame is no rate.
            return graph.with_layer(layer)
        group = np.zeros(layer.size, np.int64)
        if self.options.gain == "channel":
            group = shared_weights(graph, layer.name)
        amplitude, gain = neuron.amplitude, np.full(layer.size, neuron.amplitude, np.float32)
        if self.options.gain != "none":
            amplitude, gain = fitted_gains(rate, wanted, neuron.amplitude, group)
        relative = gain / np.float32(amplitude)
        layer = replace(layer, neuron=replace(neuron, amplitude=amplitude), gain=relative)
        graph = scale_outputs(graph.with_layer(layer), layer.name, relative)
        if self.options.correct_bias:
            error = mean_error(wanted, rate * gain, layer.shape[-1])
            graph = _with_mean(graph, layer, error)
        return graph

    def changes(self, before: LayerGraph, after: LayerGraph) -> str:
        words = []
        for old, new in zip(before.layers, after.layers, strict=True):
            if old.place == "chip" and isinstance(old.neuron, Spiking):
                assert isinstance(new.neuron, Spiking)
                spike = new.neuron.amplitude / old.neuron.amplitude
                threshold = new.neuron.threshold / old.neuron.threshold
                words.append(f"{old.name} spike x{spike:.3f} threshold x{threshold:.2f}")
        return ", ".join(words)


def _aligned(layer: NeuronLayer, dt_s: float) -> FloatArray:
    """(neurons,) voltages that come to zero with the first input, as the bias acts till then."""
    assert isinstance(layer.neuron, Spiking)
    tau = layer.neuron.tau_rc_s
    if tau is None:
        return -layer.depth * layer.bias
    leak = -expm1(-dt_s / tau)
    return (layer.bias * np.float32(-expm1(layer.depth * dt_s / tau) / leak)).astype(np.float32)


def _with_mean(graph: LayerGraph, source: NeuronLayer, added: FloatArray) -> LayerGraph:
    """The graph in which what reads a layer takes its neurons for so much more."""
    for link in graph.connections:
        if link.source == source.name:
            target, more = graph.layer(link.target), through(link, added[None])[0]
            before = 0 if target.correction is None else target.correction
            graph = graph.with_layer(
                replace(target, bias=target.bias + more, correction=before + more)
            )
    if source.name in graph.read_layers:
        alone = [
            added if name == source.name else np.zeros(graph.layer(name).size, np.float32)
            for name in graph.read_layers
        ]
        more = np.concatenate(alone) @ graph.read_weights
        before = 0 if graph.read_correction is None else graph.read_correction
        graph = replace(graph, read_bias=graph.read_bias + more, read_correction=before + more)
    return graph
