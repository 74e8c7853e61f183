"""Train the deepest CIFAR-10 network of the examples, with the chip in mind.

Six convolutions with batch norm behind a learnt 1x1 encoder. A penalty on dense or long-tailed
activations keeps spikes few; it is no part of the saved model.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from keras import layers

from examples.training import CLASSES, Recipe, RelativePenalty, run, shift_and_mirror

DROPOUT = 0.1
MAX_SHIFT = 4
#: (filters, stride) of the 3x3 convolutions.
CONVOLUTIONS = ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (256, 2))


def jitter(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return each image of `x` shifted by up to `MAX_SHIFT` pixels, half of them mirrored."""
    return shift_and_mirror(x, rng, MAX_SHIFT)


def build(training: bool) -> keras.Model:
    """Return the network, untrained; with dropout and penalties for `training`."""
    penalty = RelativePenalty() if training else None
    inputs = keras.Input((32, 32, 3), name="image")
    x = layers.Conv2D(6, 1, activation="relu", name="encoder")(inputs)
    for number, (filters, stride) in enumerate(CONVOLUTIONS, start=1):
        x = layers.Conv2D(
            filters,
            3,
            strides=stride,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=f"conv{number}",
        )(x)
        x = layers.BatchNormalization(momentum=0.98, name=f"conv{number}_norm")(x)
        x = layers.ReLU(activity_regularizer=penalty, name=f"conv{number}_relu")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(DROPOUT)(x) if training else x
    outputs = layers.Dense(CLASSES, name="readout", dtype="float32")(x)
    return keras.Model(inputs, outputs, name="cifar10_deep")


RECIPE = Recipe(
    name="cifar10_deep",
    build=build,
    jitter=jitter,
    epochs=27,
    learning_rate=3e-3,
    weight_decay=2e-2,
    from_logits=True,
    data="cifar10",
    ships_samples=False,
)

if __name__ == "__main__":
    run(RECIPE, __doc__, Path(__file__).parent)
