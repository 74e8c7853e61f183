"""A trained ReLU network as the chip will run it, with weights that can be trained.

Every tensor has two sides: its mean over the time steps, through which gradients flow, and its
spikes, which the next layer of neurons really gets. Between neurons a network is linear (or
affine), so the mean of what comes of the spikes is what comes of their mean: the forward pass
takes all time steps, the backward pass one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from nmcompile.errors import CompileError
from nmcompile.frontends.keras.graph import Graph
from nmcompile.frontends.keras.model import Layer
from nmcompile.ir.layers import LayerGraph, NeuronLayer
from nmcompile.ir.nodes import FloatArray, Spiking
from nmcompile.passes.channels import shared_weights
from nmcompile.passes.options import BuildOptions
from nmcompile.training.neurons import ChipNeuron
from nmcompile.training.twin_neurons import ChipNeurons, EncoderNeurons, Neurons, Pair

#: Gets the name of a layer and its activations.
Visitor = Callable[[str, Any], None]
#: Layers that are nothing but an activation.
_ACTIVATIONS = ("ReLU", "Activation", "Softmax")


class Twin(keras.Model):  # type: ignore[misc]
    """Runs a model's layers; from float inputs to the logits of mean rates.

    Parameters
    ----------
    model : a Keras model
    graph : its calls, as the front end reads them
    layers : what the compiler makes of it
    source : name of the call behind which an encoder is added, or "" where the model has its own
    steps : time steps of a sample
    """

    def __init__(
        self, model: Any, graph: Graph, layers: LayerGraph, source: str, steps: int
    ) -> None:
        super().__init__()
        self.graph, self.source, self.steps = graph, source, steps
        self.linear: dict[str, Any] = {}
        self.neurons: dict[str, Neurons] = {}
        self.activations: dict[str, Any] = {}
        found = {id(call.layer): call.layer for call in graph.calls.values()}
        for layer in found.values():
            if layer.kind != "InputLayer":
                self._take(layer, inner_layer(model, layer))
        for each in spiking_layers(layers):
            kind = EncoderNeurons if each.place == "host_in" else ChipNeurons
            self.neurons[each.name] = kind(each, steps)
        (added,) = set(self.neurons) - set(graph.calls) or {""}
        self.added = added
        self.built = True

    def _take(self, layer: Layer, original: Any) -> None:
        """A trainable copy of a layer without its activation, and the activation."""
        if layer.kind in _ACTIVATIONS or isinstance(original, ChipNeuron):
            self.activations[layer.name] = original
            return
        config = {**original.get_config(), "activity_regularizer": None}
        fused = getattr(original, "activation", None)
        if fused is not None and fused is not keras.activations.linear:
            self.activations[layer.name] = fused
            config["activation"] = "linear"
        if "activity_regularizer" not in original.get_config():
            del config["activity_regularizer"]
        copy = type(original).from_config(config)
        copy.build_from_config(original.get_build_config())
        copy.set_weights(original.get_weights())
        self.linear[layer.name] = copy

    def set(self, layers: LayerGraph, x: FloatArray, options: BuildOptions) -> None:
        """Take what the compiler chose anew, and correct by samples what spikes stand for."""
        for layer in spiking_layers(layers):
            self.neurons[layer.name].set(layer)
        x = x[: options.gain_samples]
        if not len(x):
            return
        floats: dict[str, Any] = {}
        self.follow(x, spiking=False, visit=floats.__setitem__)

        def correct(name: str, found: Any) -> None:
            group = np.zeros(layers.layer(name).size, np.int64)
            if options.gain == "channel":
                group = shared_weights(layers, name)
            self.neurons[name].correct(found, floats[name], group, options)

        self.follow(x, spiking=True, visit=correct)

    def give(self, model: Any) -> None:
        """Write the trained weights into a model of the same architecture."""
        for layer in {id(call.layer): call.layer for call in self.graph.calls.values()}.values():
            if layer.name in self.linear:
                inner_layer(model, layer).set_weights(self.linear[layer.name].get_weights())

    def call(self, x: Any, training: bool = False) -> Any:
        """Logits of samples, as the chip gives them."""
        return self.follow(x, spiking=True)

    def follow(self, x: Any, *, spiking: bool, visit: Visitor | None = None) -> Any:
        """Logits with spikes, or those of the float network.

        `visit` gets the name of each layer on the chip and its activations, and may change what
        its spikes stand for.
        """
        done: dict[str, Pair] = {}
        for name, call in self.graph.calls.items():
            if call.layer.kind == "InputLayer":
                done[name] = Pair(ops.cast(x, "float32"))
            else:
                inputs = [done[each] for each in call.inputs]
                done[name] = self._step(name, call.layer, inputs, spiking, visit)
            if spiking and name == self.source:
                done[name] = self.neurons[self.added](done[name].mean)
        return done[self.graph.outputs[0]].mean

    def _step(
        self, name: str, layer: Layer, inputs: list[Pair], spiking: bool, visit: Visitor | None
    ) -> Pair:
        activation, neurons = self.activations.get(layer.name), self.neurons.get(name)
        pair = self._linear(layer.name, inputs)
        if isinstance(neurons, EncoderNeurons) and spiking:
            return neurons(ops.relu(pair.mean))
        if activation is None or is_softmax(activation):
            return pair
        if not spiking or neurons is None:
            pair = Pair(activation(pair.mean))
            if neurons is not None and visit is not None:
                visit(name, pair.mean)
            return pair
        if isinstance(activation, ChipNeuron):
            pair = Pair(activation.current(pair.mean), activation.current(pair.spikes))
        result = neurons(pair.mean, pair.spikes)
        if visit is not None:
            visit(name, result.mean)
            result = neurons(pair.mean, pair.spikes)
        return result

    def _linear(self, name: str, inputs: list[Pair]) -> Pair:
        if name not in self.linear:
            return inputs[0]

        def run(values: list[Any]) -> Any:
            return self.linear[name](values if len(values) > 1 else values[0], training=False)

        mean = run([pair.mean for pair in inputs])
        if any(pair.spikes is None for pair in inputs):
            return Pair(mean)
        return Pair(mean, ops.stop_gradient(run([pair.spikes for pair in inputs])))


def spiking_layers(layers: LayerGraph) -> Iterator[NeuronLayer]:
    """The neuron layers that spike: the encoder and those on the chip."""
    return (layer for layer in layers.layers if isinstance(layer.neuron, Spiking))


def inner_layer(model: Any, layer: Layer) -> Any:
    """The Keras layer at a position of a model."""
    for position in layer.index:
        model = model.layers[position]
    if model.name != layer.short:
        raise CompileError(f"layer {layer.name!r} cannot be found in the model")
    return model


def is_softmax(activation: Any) -> bool:
    """Whether an activation is the softmax at the end, which changes no answer."""
    inner = getattr(activation, "activation", activation)
    return isinstance(activation, keras.layers.Softmax) or inner is keras.activations.softmax
