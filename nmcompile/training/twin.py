"""A trained ReLU network as the chip will run it, with weights that can be trained.

Every tensor has two sides: its mean over the time steps, through which gradients flow, and its
spikes, which the next layer of neurons really gets. Between neurons a network is linear (or
affine), so the mean of what comes of the spikes is what comes of their mean: the forward pass
takes all time steps, the backward pass one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import exp
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from nmcompile.errors import CompileError
from nmcompile.frontends.keras.graph import Graph
from nmcompile.frontends.keras.model import Layer
from nmcompile.ir.layers import LayerGraph, NeuronLayer
from nmcompile.ir.nodes import FloatArray, Spiking
from nmcompile.passes.channels import shared_weights
from nmcompile.passes.gains import fitted_gains, mean_error
from nmcompile.passes.options import BuildOptions
from nmcompile.training.curves import smooth_if, soft_lif, straight_through
from nmcompile.training.neurons import ChipNeuron
from nmcompile.training.spikes import hard_reset_spikes

#: Of the gradient at the onset of leaky neurons.
SMOOTHING = 0.1
#: Gets the name of a layer and its activations.
Visitor = Callable[[str, Any], None]
#: Layers that are nothing but an activation.
_ACTIVATIONS = ("ReLU", "Activation", "Softmax")


@dataclass(frozen=True)
class Pair:
    """A tensor of the twin.

    Attributes
    ----------
    mean : (samples, ...) over the steps from the first input on, early spikes included
    spikes : (steps * samples, ...) what arrives of it, step by step; None before the encoder
    """

    mean: Any
    spikes: Any = None


class Neurons(keras.layers.Layer):  # type: ignore[misc]
    """Base of the encoder's and the chip's neurons; `set` takes what the compiler chose."""

    def __init__(self, layer: NeuronLayer, steps: int) -> None:
        super().__init__(dtype="float32")
        self.steps, self.depth = steps, layer.depth

    def set(self, layer: NeuronLayer) -> None:
        """Take the numbers of a layer."""
        raise NotImplementedError

    def both(self, spikes: Any, smooth: Any, per_spike: Any, added: Any = 0.0) -> Pair:
        """Mean and arrivals of (steps, samples, ...) spikes, with the gradient of a smooth rate."""
        rate = straight_through(ops.sum(spikes, axis=0) / (self.steps - self.depth), smooth)
        arriving = ops.concatenate([ops.zeros_like(spikes[:1]), spikes[:-1]]) * per_spike + added
        return Pair(rate * per_spike + added, ops.reshape(arriving, (-1, *spikes.shape[2:])))


class EncoderNeurons(Neurons):
    """Neurons on the host, whose reset loses nothing; of both signs where it has on and off."""

    def __init__(self, layer: NeuronLayer, steps: int) -> None:
        super().__init__(layer, steps)
        self.per_spike = self.add_weight(name="per_spike", shape=(), trainable=False)
        self.set(layer)

    def set(self, layer: NeuronLayer) -> None:
        """Take the amplitude."""
        assert isinstance(layer.neuron, Spiking)
        self.per_spike.assign(layer.neuron.amplitude)

    def call(self, mean: Any) -> Pair:
        """Spikes of constant inputs."""
        rate = ops.clip(mean / self.per_spike, -1.0, 1.0)
        size, sign = ops.abs(ops.stop_gradient(rate)), ops.sign(ops.stop_gradient(rate))
        times = ops.reshape(ops.arange(self.steps + 1, dtype="float32"), (-1,) + (1,) * rate.ndim)
        count = ops.floor(0.5 + times * size)
        return self.both((count[1:] - count[:-1]) * sign, rate, self.per_spike)


class ChipNeurons(Neurons):
    """Neurons with a hard reset.

    What a spike stands for, and what is added for what spikes do not say, are numbers of each
    neuron, which the compiler folds into weights and biases behind.
    """

    def __init__(self, layer: NeuronLayer, steps: int) -> None:
        super().__init__(layer, steps)
        assert isinstance(layer.neuron, Spiking)
        self.neuron = layer.neuron
        self.threshold = self.add_weight(name="threshold", shape=(), trainable=False)
        self.initial, self.per_spike, self.added = (
            self.add_weight(name=name, shape=layer.shape, trainable=False)
            for name in ("initial", "per_spike", "added")
        )
        self.set(layer)

    def set(self, layer: NeuronLayer) -> None:
        """Take threshold, amplitude and initial voltages."""
        assert isinstance(layer.neuron, Spiking)
        self.threshold.assign(layer.neuron.threshold)
        voltage = np.zeros(layer.size) if layer.initial is None else layer.initial
        voltage = np.minimum(voltage, layer.neuron.threshold)  # as the chip's registers
        self.initial.assign(np.reshape(voltage, layer.shape))
        self.amplitude = layer.neuron.amplitude
        self.per_spike.assign(np.full(layer.shape, self.amplitude))
        self.added.assign(np.zeros(layer.shape))

    def correct(
        self, found: Any, wanted: Any, group: NDArray[np.int64], options: BuildOptions
    ) -> None:
        """Give spikes what fits float activations best, as `nmcompile.passes.calibrate` does.

        Parameters
        ----------
        found, wanted : (samples, ...) activations, by spikes of equal amplitude and in floats
        group : (neurons,) those of one number share their amplitude
        options : of the build; they say what is corrected
        """
        shape = tuple(self.per_spike.shape)
        found, wanted = (unlaid(numbers, shape) for numbers in (found, wanted))
        usual = self.amplitude
        rate = found / np.float32(usual)
        gain = np.full(rate.shape[1], usual, np.float32)
        if options.gain != "none":
            _, gain = fitted_gains(rate, wanted, usual, group)
        self.per_spike.assign(gain.reshape(shape))
        if options.correct_bias:
            self.added.assign(mean_error(wanted, rate * gain, shape[-1]).reshape(shape))

    def call(self, mean: Any, inputs: Any) -> Pair:
        """Spikes of (steps * samples, ...) inputs, whose mean is (samples, ...)."""
        neuron = self.neuron
        currents = ops.reshape(ops.stop_gradient(inputs), (self.steps, -1, *inputs.shape[1:]))
        if neuron.synapse_s:
            currents = low_pass(currents, exp(-neuron.dt_s / neuron.synapse_s))
        initial, per_spike, added = (
            laid(each, mean.shape[1:]) for each in (self.initial, self.per_spike, self.added)
        )
        spikes = hard_reset_spikes(currents, self.threshold, neuron.leak, neuron.pause, initial)
        current = mean / self.threshold
        if neuron.tau_rc_s is None:
            smooth = smooth_if(current, neuron.pause)
        else:
            smooth = soft_lif(
                current / neuron.leak,
                neuron.tau_rc_s,
                neuron.refractory_s,
                SMOOTHING,
                neuron.dt_s,
                offset=0.5,
            )
        return self.both(spikes, smooth, per_spike, added)


def low_pass(currents: Any, kept: float) -> Any:
    """Synaptic currents of (steps, ...) inputs, as of a synapse with gain 1.

    Nothing arrives in the first step, so what is there is the bias, which passes no synapse.
    """
    bias = currents[0]

    def step(state: Any, new: Any) -> tuple[Any, Any]:
        state = kept * state + (1 - kept) * new
        return state, state

    return ops.scan(step, ops.zeros_like(bias), currents - bias)[1] + bias


def unlaid(values: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """(samples, neurons) of a Keras tensor; the other way round than `laid`."""
    found = ops.convert_to_numpy(values)
    if _long(found.shape[1:]) != _long(shape):  # channels first
        found = np.moveaxis(found, 1, -1)
    return found.reshape(len(found), -1)


def laid(values: Any, shape: tuple[int, ...]) -> Any:
    """Numbers of (rows, columns, channels) in the shape of a Keras tensor of a sample."""
    if _long(values.shape) != _long(shape):  # channels first
        values = ops.moveaxis(values, -1, 0)
    return ops.reshape(values, shape)


def _long(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for n in shape if n != 1)


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
