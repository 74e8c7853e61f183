"""A trained ReLU network as the chip will run it, with weights that can be trained.

Every tensor has two sides: its mean over the time steps, through which gradients flow, and its
spikes, which the next layer of neurons really gets. Between neurons a network is linear (or
affine), so the mean of what comes of the spikes is what comes of their mean: the forward pass
takes all time steps, the backward pass one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp
from typing import Any

import keras
from keras import ops

from nmcompile.errors import CompileError
from nmcompile.frontends.keras.graph import Graph
from nmcompile.frontends.keras.model import Layer
from nmcompile.ir.layers import LayerGraph, NeuronLayer
from nmcompile.ir.nodes import Spiking
from nmcompile.training.curves import smooth_if, soft_lif, straight_through
from nmcompile.training.neurons import ChipNeuron
from nmcompile.training.spikes import hard_reset_spikes

#: Of the gradient at the onset of leaky neurons.
SMOOTHING = 0.1
#: Layers that are nothing but an activation.
_ACTIVATIONS = ("ReLU", "Activation", "Softmax")


@dataclass(frozen=True)
class Pair:
    """A tensor of the twin.

    Attributes
    ----------
    mean : (samples, ...)
    spikes : (steps * samples, ...) that the mean is of, step by step; None before the encoder
    """

    mean: Any
    spikes: Any = None


class Neurons(keras.layers.Layer):  # type: ignore[misc]
    """Base of the encoder's and the chip's neurons; `set` takes what the compiler chose."""

    def __init__(self, layer: NeuronLayer, steps: int) -> None:
        super().__init__(dtype="float32")
        assert isinstance(layer.neuron, Spiking)
        self.steps, self.neuron = steps, layer.neuron
        self.threshold = self.add_weight(name="threshold", shape=(), trainable=False)
        self.per_spike = self.add_weight(name="per_spike", shape=(), trainable=False)
        self.set(layer)
        self.built = True

    def set(self, layer: NeuronLayer) -> None:
        """Take threshold and amplitude of a layer."""
        assert isinstance(layer.neuron, Spiking)
        self.threshold.assign(layer.neuron.threshold)
        self.per_spike.assign(layer.neuron.amplitude)

    def both(self, spikes: Any, smooth: Any) -> Pair:
        """Mean and spikes of (steps, samples, ...) spikes, with the gradient of a smooth rate."""
        mean = straight_through(ops.mean(spikes, axis=0), smooth) * self.per_spike
        return Pair(mean, ops.reshape(spikes * self.per_spike, (-1, *spikes.shape[2:])))


class EncoderNeurons(Neurons):
    """Neurons on the host, whose reset loses nothing; of both signs where it has on and off."""

    def call(self, mean: Any) -> Pair:
        """Spikes of constant inputs."""
        rate = ops.clip(mean / self.per_spike, -1.0, 1.0)
        size, sign = ops.abs(ops.stop_gradient(rate)), ops.sign(ops.stop_gradient(rate))
        times = ops.reshape(ops.arange(self.steps + 1, dtype="float32"), (-1,) + (1,) * rate.ndim)
        count = ops.floor(0.5 + times * size)
        return self.both((count[1:] - count[:-1]) * sign, rate)


class ChipNeurons(Neurons):
    """Neurons with a hard reset."""

    def call(self, mean: Any, inputs: Any) -> Pair:
        """Spikes of (steps * samples, ...) inputs, whose mean is (samples, ...)."""
        neuron = self.neuron
        pause = round(neuron.refractory_s / neuron.dt_s)
        currents = ops.reshape(ops.stop_gradient(inputs), (self.steps, -1, *inputs.shape[1:]))
        if neuron.synapse_s:
            currents = low_pass(currents, exp(-neuron.dt_s / neuron.synapse_s))
        spikes = hard_reset_spikes(currents, self.threshold, neuron.leak, pause)
        current = mean / self.threshold
        if neuron.tau_rc_s is None:
            smooth = smooth_if(current, pause)
        else:
            smooth = soft_lif(
                current / neuron.leak,
                neuron.tau_rc_s,
                neuron.refractory_s,
                SMOOTHING,
                neuron.dt_s,
                offset=0.5,
            )
        return self.both(spikes, smooth)


def low_pass(currents: Any, kept: float) -> Any:
    """Synaptic currents of (steps, ...) inputs, as of a synapse with gain 1."""

    def step(state: Any, new: Any) -> tuple[Any, Any]:
        state = kept * state + (1 - kept) * new
        return state, state

    return ops.scan(step, ops.zeros_like(currents[0]), currents)[1]


class Twin(keras.Model):  # type: ignore[misc]
    """Runs a model's layers; from float inputs to the logits of mean rates.

    Parameters
    ----------
    model : a Keras model
    graph : its calls, as the front end reads them
    layers : what the compiler makes of it
    source : name of the call behind which an encoder is added, or "" where the model has its own
    steps : time steps in which the last layer has inputs
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

    def set(self, layers: LayerGraph) -> None:
        """Take the thresholds and amplitudes that the compiler chose anew."""
        for layer in spiking_layers(layers):
            self.neurons[layer.name].set(layer)

    def give(self, model: Any) -> None:
        """Write the trained weights into a model of the same architecture."""
        for layer in {id(call.layer): call.layer for call in self.graph.calls.values()}.values():
            if layer.name in self.linear:
                inner_layer(model, layer).set_weights(self.linear[layer.name].get_weights())

    def call(self, x: Any, training: bool = False) -> Any:
        """Logits of samples, as the chip gives them."""
        return self.follow(x, spiking=True)

    def follow(self, x: Any, *, spiking: bool) -> Any:
        """Logits with spikes, or those of the float network."""
        done: dict[str, Pair] = {}
        for name, call in self.graph.calls.items():
            if call.layer.kind == "InputLayer":
                done[name] = Pair(ops.cast(x, "float32"))
            else:
                done[name] = self._step(name, call.layer, [done[n] for n in call.inputs], spiking)
            if spiking and name == self.source:
                done[name] = self.neurons[self.added](done[name].mean)
        return done[self.graph.outputs[0]].mean

    def _step(self, name: str, layer: Layer, inputs: list[Pair], spiking: bool) -> Pair:
        activation = self.activations.get(layer.name)
        pair = self._linear(layer.name, inputs)
        if isinstance(activation, ChipNeuron):
            pair = Pair(
                *(x if x is None else activation.current(x) for x in (pair.mean, pair.spikes))
            )
        if spiking and name in self.neurons:
            neurons = self.neurons[name]
            if isinstance(neurons, EncoderNeurons):
                return neurons(ops.relu(pair.mean))
            return neurons(pair.mean, pair.spikes)
        if activation is None or is_softmax(activation):
            return pair
        if isinstance(activation, ChipNeuron):
            return Pair(activation(self._linear(layer.name, inputs).mean))
        return Pair(activation(pair.mean))

    def _linear(self, name: str, inputs: list[Pair]) -> Pair:
        if name not in self.linear:
            return inputs[0]
        copy = self.linear[name]

        def run(values: list[Any]) -> Any:
            taken = values if len(values) > 1 else values[0]
            return copy(taken, training=False) if copy._call_has_training_arg else copy(taken)

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
