"""Drive the channels of a layer equally strongly, so that none speaks in few spikes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from nmcompile.ir.layers import LayerGraph, NeuronLayer
from nmcompile.ir.links import activations
from nmcompile.ir.nodes import FloatArray, Spiking
from nmcompile.passes.base import Pass
from nmcompile.passes.channels import scale_inputs, scale_outputs, shared_weights

#: A channel is not driven more than this times harder, or less hard.
LARGEST_FACTOR = 4.0
#: Calibration samples whose activations are looked at.
SAMPLES = 128


@dataclass(frozen=True)
class Equalise(Pass[LayerGraph, LayerGraph]):
    """Reads layers and samples; changes weights and biases into and out of each channel.

    All neurons of a layer share one threshold, so channels with small activations fire seldom and
    are counted coarsely. A ReLU without a clip lets a factor pass: weights and bias into a channel
    are multiplied by it and the weights behind divided, which leaves the float network as it was;
    clipped ones are left alone. The factor is the layer's largest activation by the channel's, to
    the power of `strength`. It costs spikes, and weights of one connection come to differ more in
    size.

    Attributes
    ----------
    samples : (samples, *input shape) float32; some of them are used
    strength : 0 for none to 1 for equal channels
    percentile : of a channel's activations, taken for its largest
    """

    name: ClassVar[str] = "equalise"
    purpose: ClassVar[str] = "drive the channels of a layer equally strongly"

    samples: FloatArray
    strength: float
    percentile: float

    def run(self, value: LayerGraph) -> LayerGraph:
        if not self.strength or value.recurrent:
            return value
        x = self.samples[:SAMPLES]
        graph = value
        for layer, found in activations(value, x):
            if layer.place != "chip" or not isinstance(layer.neuron, Spiking) or layer.neuron.own:
                continue
            if layer.neuron.max_value is not None:
                continue  # its channels are clipped at one activation
            factor = self._factors(layer, found)
            spread = np.tile(factor, layer.size // len(factor))
            group = shared_weights(graph, layer.name)
            if (spread != spread[np.unique(group, return_index=True)[1]][group]).any():
                continue
            graph = scale_inputs(graph, layer.name, factor)
            graph = graph.with_layer(replace(graph.layer(layer.name), equalised=spread))
            graph = scale_outputs(graph, layer.name, np.reciprocal(spread))
        return graph

    def _factors(self, layer: NeuronLayer, activation: FloatArray) -> FloatArray:
        """(channels,) factors."""
        by_channel = activation.reshape(-1, layer.shape[-1])
        largest = np.percentile(by_channel, self.percentile, axis=0)
        usual = float(np.percentile(by_channel, self.percentile))
        if usual <= 0:
            return np.ones(len(largest), np.float32)
        factor = (usual / np.maximum(largest, usual / LARGEST_FACTOR)) ** self.strength
        return np.clip(factor, 1 / LARGEST_FACTOR, LARGEST_FACTOR).astype(np.float32)

    def changes(self, before: LayerGraph, after: LayerGraph) -> str:
        return f"strength {self.strength:g}" if self.strength else "nothing"
