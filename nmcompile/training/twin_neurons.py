"""Neurons of a twin: their spikes in every step, and rates through which gradients flow."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from nmcompile.ir.layers import NeuronLayer
from nmcompile.ir.nodes import Spiking
from nmcompile.passes.gains import fitted_gains, mean_error
from nmcompile.passes.options import BuildOptions
from nmcompile.training.curves import smooth_if, soft_lif, straight_through
from nmcompile.training.spikes import hard_reset_spikes

#: Of the gradient at the onset of leaky neurons.
SMOOTHING = 0.1


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
