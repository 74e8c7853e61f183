"""Train the Fashion-MNIST network, which has batch norm and pooling, and save it as a Keras file.

The network is trained with the chip in mind: noise stands in for spike counting, and a penalty
keeps activations sparse and short-tailed. All of this is left out of the saved model.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from keras import layers

from examples.training import (
    CLASSES,
    NotPositive,
    Recipe,
    RelativePenalty,
    run,
    shift_and_mirror,
)

DROPOUT = 0.1
RATE_NOISE = 0.02
MAX_SHIFT = 1


def jitter(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return each image of `x` shifted by up to `MAX_SHIFT` pixels, half of them mirrored."""
    return shift_and_mirror(x, rng, MAX_SHIFT)


def build(training: bool) -> keras.Model:
    """Return the network, untrained.

    Parameters
    ----------
    training
        Add the noise, dropout and penalties that are used to train but are no part of the
        saved model.
    """
    penalty = RelativePenalty() if training else None

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
