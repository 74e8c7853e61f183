"""Noise on activations that is as large as that of counting spikes."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from nmcompile.errors import UsageError


@keras.saving.register_keras_serializable("nmcompile")
class SpikeNoise(keras.layers.Layer):  # type: ignore[misc]
    """Noise in training, behind a ReLU, of the variance that a count of spikes has.

    Where an activation a is the rate r = a / (amplitude / dt) in spikes a step, and spikes of
    different steps are independent, the mean of `steps` steps has the variance
    r · (1 - r) / steps. Neurons that charge regularly have less, bursts of their inputs give them
    more. Outside training it does nothing, and the compiler drops it.

    Parameters
    ----------
    steps : time steps in which spikes are counted
    amplitude : activation per Hz; where None, one spike a step stands for 1 (`dt`)
    dt : time step in seconds
    seed : of the noise
    """

    def __init__(
        self,
        steps: int,
        amplitude: float | None = None,
        dt: float = 0.001,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        amplitude = dt if amplitude is None else amplitude
        if steps < 1 or not amplitude > 0 or not dt > 0:
            raise UsageError(
                f"layer {self.name!r}: steps is {steps}, amplitude {amplitude:g}, dt {dt:g}; "
                "all must be above 0"
            )
        self.steps, self.amplitude, self.dt, self.seed = steps, amplitude, dt, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, x: Any, training: bool = False) -> Any:
        """The input, in training with noise; the gradient passes through."""
        if not training:
            return x
        per_spike = self.amplitude / self.dt
        rate = ops.clip(ops.cast(x, "float32") / per_spike, 0.0, 1.0)
        deviation = ops.sqrt(rate * (1 - rate) / self.steps) * per_spike
        draw = keras.random.normal(ops.shape(x), dtype="float32", seed=self.seed_generator)
        return x + ops.cast(ops.stop_gradient(deviation * draw), x.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """All parameters."""
        names = ("steps", "amplitude", "dt", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
