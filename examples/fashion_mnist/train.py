"""Train the Fashion-MNIST network, which has batch norm and pooling, and save it as a Keras file.

The network is trained with the chip in mind: noise stands in for spike counting, and a penalty
keeps activations sparse and short-tailed. All of this is left out of the saved model.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from examples.training import CLASSES, NotPositive, Recipe, run, shift_and_mirror

DROPOUT = 0.1
RATE_NOISE = 0.02
DENSITY_PENALTY = 0.02
TAIL_PENALTY = 0.03
TAIL_START = 2.0
MAX_SHIFT = 1


def jitter(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return each image of `x` shifted by up to `MAX_SHIFT` pixels, half of them mirrored."""
    return shift_and_mirror(x, rng, MAX_SHIFT)


class ActivationPenalty(keras.regularizers.Regularizer):
    """Penalise a layer whose activations are dense or have a long tail.

    Both terms are relative to the root mean square of the activations: after batch norm, an
    absolute penalty would only shrink the activations as a whole.
    """

    def __call__(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Return the penalty times the batch size; Keras divides it by the batch size."""
        scaled = x / (ops.sqrt(ops.mean(ops.square(x))) + 1e-6)
        tail = ops.mean(ops.square(ops.relu(scaled - TAIL_START)))
        batch = ops.cast(ops.shape(x)[0], x.dtype)
        return batch * (DENSITY_PENALTY * ops.mean(scaled) + TAIL_PENALTY * tail)

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
        x: keras.KerasTensor, name: str, filters: int, size: int = 3, strides: int = 1
    ) -> keras.KerasTensor:
        x = layers.Conv2D(
            filters,
            size,
            strides=strides,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=name,
        )(x)
        x = layers.BatchNormalization(momentum=0.98, name=f"{name}_norm")(x)
        x = layers.ReLU(activity_regularizer=penalty, name=f"{name}_relu")(x)
        if training and strides > 1:
            x = layers.GaussianDropout(RATE_NOISE)(x)
        return x

    inputs = keras.Input((28, 28, 1), name="image")
    x = layers.Conv2D(
        3,
        1,
        activation="relu",
        kernel_initializer=keras.initializers.RandomUniform(0.5, 1.5),
        bias_initializer=keras.initializers.RandomUniform(-0.5, -0.1),
        bias_constraint=NotPositive() if training else None,
        activity_regularizer=penalty,
        name="encoder",
    )(inputs)
    x = layers.GaussianDropout(RATE_NOISE)(x) if training else x
    x = convolve(x, "conv1", 32, size=5, strides=2)
    x = convolve(x, "conv2", 64)
    x = convolve(x, "conv3", 64, strides=2)
    x = convolve(x, "conv4", 96)
    x = convolve(x, "conv5", 96, strides=2)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(DROPOUT)(x) if training else x
    outputs = layers.Dense(CLASSES, activation="softmax", name="readout")(x)
    return keras.Model(inputs, outputs, name="fashion_mnist")


RECIPE = Recipe(
    name="fashion_mnist",
    build=build,
    jitter=jitter,
    epochs=12,
    learning_rate=3e-3,
    weight_decay=5e-3,
    from_logits=False,
)

if __name__ == "__main__":
    run(RECIPE, __doc__, Path(__file__).parent)
