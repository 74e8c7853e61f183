"""Real spikes over a time axis in Keras, with the gradient of a rate."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from nmcompile.errors import UsageError
from nmcompile.training.curves import straight_through
from nmcompile.training.neurons import ChipNeuron


def hard_reset_spikes(
    currents: Any, threshold: Any, leak: float, pause: int, initial: Any = None
) -> Any:
    """Spikes of neurons that a spike sets to zero, 1.0 or 0.0 for each step; without gradient.

    Parameters
    ----------
    currents : (steps, ...) input per step
    threshold : strictly greater fires
    leak : share of the voltage that is lost in a step
    pause : steps after a spike in which the voltage stays zero
    initial : voltage that they begin with, (...), or None for zero
    """
    currents = ops.stop_gradient(currents)
    rest = ops.zeros_like(currents[0])
    start = rest if initial is None else rest + initial

    def step(state: tuple[Any, Any], current: Any) -> tuple[tuple[Any, Any], Any]:
        voltage, resting = state
        voltage = voltage * (1 - leak) + current if leak else voltage + current
        if pause:
            voltage = ops.where(resting > 0, 0.0, voltage)
        fired = ops.cast(voltage > threshold, voltage.dtype)
        if pause:
            resting = ops.maximum(resting + fired * (pause + 1) - 1, 0.0)
        return (voltage * (1 - fired), resting), fired

    _, spikes = ops.scan(step, (start, rest), currents)
    return ops.stop_gradient(spikes)


@keras.saving.register_keras_serializable("nmcompile")
class SpikingActivation(keras.layers.Layer):  # type: ignore[misc]
    """A neuron that spikes step by step along axis 1, (samples, steps, ...).

    A spike stands for ``amplitude / dt``, so that the mean over many steps is the neuron's
    activation. The gradient is that of its smooth rate. Voltages start at zero with every call.

    Parameters
    ----------
    neuron : a `ChipIF`, `ChipLIF` or `SoftLIF`
    spiking_aware_training : whether to spike in training; else training sees the neuron's own
        curve, step by step, and only what is not training has spikes
    """

    def __init__(
        self, neuron: ChipNeuron, *, spiking_aware_training: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(neuron, ChipNeuron):
            raise UsageError(
                f"layer {self.name!r}: SpikingActivation takes a ChipIF, ChipLIF or SoftLIF, got "
                f"{type(neuron).__name__}"
            )
        self.neuron = neuron
        self.spiking_aware_training = spiking_aware_training

    def build(self, input_shape: Any) -> None:
        """Nothing to make but the neuron, which has no weights."""
        self.built = True

    def call(self, x: Any, training: bool = False) -> Any:
        """Spikes times ``amplitude / dt``."""
        if training and not self.spiking_aware_training:
            return self.neuron(x, training=True)
        neuron = self.neuron
        current = neuron.current(x)
        spikes = hard_reset_spikes(
            ops.moveaxis(current, 1, 0), neuron.threshold, neuron.leak, neuron.pause
        )
        rate = straight_through(ops.moveaxis(spikes, 0, 1), neuron.smooth_rate(current))
        return neuron.activation(rate)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """All parameters."""
        return {
            **super().get_config(),
            "neuron": keras.saving.serialize_keras_object(self.neuron),
            "spiking_aware_training": self.spiking_aware_training,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SpikingActivation:
        """The layer that `get_config` describes."""
        config = dict(config)
        neuron = keras.saving.deserialize_keras_object(config.pop("neuron"))
        return cls(neuron, **config)
