"""Train the small MNIST network that the examples compile, and save it as a Keras file.

The network is trained with the chip in mind: noise stands in for spike counting, and a penalty
keeps activations sparse and short-tailed. All of this is left out of the saved model.
"""

from __future__ import annotations

import math
from pathlib import Path

import keras
from keras import layers, ops

from examples.training import CLASSES, NotPositive, Recipe, run, shift_turn_and_zoom

DROPOUT = 0.25
RATE_NOISE = 0.08
FLOOR_NOISE = 0.03
MEAN_PENALTY = 0.02
TAIL_PENALTY = 1.0
TAIL_START = 1.0


class ActivationPenalty(keras.regularizers.Regularizer):
    """Penalise a layer's mean activation, and quadratically what exceeds `TAIL_START`."""

    def __call__(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Return the penalty summed over the batch; Keras divides it by the batch size."""
        tail = ops.sum(ops.square(ops.relu(x - TAIL_START)))
        return (MEAN_PENALTY * ops.sum(ops.abs(x)) + TAIL_PENALTY * tail) / math.prod(x.shape[1:])

    def get_config(self) -> dict[str, float]:
        """Return the (empty) settings of this regulariser."""
        return {}


def build(training: bool) -> keras.Model:
    """Return the network, untrained.

    Parameters
    ----------
    training
        Add the noise, dropout and penalties that are used to train but are no part of the
        saved model.
    """
    penalty = ActivationPenalty() if training else None

    def convolve(
        x: keras.KerasTensor, name: str, filters: int, size: int, strides: int
    ) -> keras.KerasTensor:
        x = layers.Conv2D(
            filters,
            size,
            strides=strides,
            activation="relu",
            kernel_initializer="he_normal",
            activity_regularizer=penalty,
            name=name,
        )(x)
        return _noisy(x) if training else x

    inputs = keras.Input((28, 28, 1), name="image")
    x = layers.Conv2D(
        2,
        1,
        activation="relu",
        kernel_initializer=keras.initializers.RandomUniform(0.5, 1.5),
        bias_initializer=keras.initializers.RandomUniform(-0.4, -0.1),
        bias_constraint=NotPositive() if training else None,
        activity_regularizer=penalty,
        name="encoder",
    )(inputs)
    x = _noisy(x) if training else x
    x = convolve(x, "conv1", filters=16, size=5, strides=2)
    x = convolve(x, "conv2", filters=32, size=3, strides=2)
    x = convolve(x, "conv3", filters=64, size=3, strides=1)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(DROPOUT)(x) if training else x
    outputs = layers.Dense(CLASSES, name="readout")(x)
    return keras.Model(inputs, outputs, name="mnist")


def _noisy(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.GaussianNoise(FLOOR_NOISE)(layers.GaussianDropout(RATE_NOISE)(x))


RECIPE = Recipe(
    name="mnist",
    build=build,
    jitter=shift_turn_and_zoom,
    epochs=20,
    learning_rate=2e-3,
    weight_decay=1e-3,
    from_logits=True,
)

if __name__ == "__main__":
    run(RECIPE, __doc__, Path(__file__).parent)
