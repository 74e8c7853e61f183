"""Train the CIFAR-10 network that is converted to spikes, and save it as a Keras file.

Three 3x3 convolutions, each with average pooling, and two dense layers: plain ReLUs, trained
without a thought of spikes.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from keras import layers

from examples.training import CLASSES, Recipe, run, shift_and_mirror

DROPOUT = 0.25
MAX_SHIFT = 3


def jitter(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return each image of `x` shifted by up to `MAX_SHIFT` pixels, half of them mirrored."""
    return shift_and_mirror(x, rng, MAX_SHIFT)


def build(training: bool) -> keras.Model:
    """Return the network, untrained; with dropout for `training`."""
    inputs = x = keras.Input((32, 32, 3), name="image")
    for number, filters in enumerate((32, 64, 128), start=1):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"conv{number}")(x)
        x = layers.AveragePooling2D(2, name=f"pool{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(DROPOUT)(x) if training else x
    x = layers.Dense(512, activation="relu", kernel_initializer="he_uniform", name="dense")(x)
    x = layers.Dropout(DROPOUT)(x) if training else x
    outputs = layers.Dense(CLASSES, name="readout", dtype="float32")(x)
    return keras.Model(inputs, outputs, name="cifar10")


RECIPE = Recipe(
    name="cifar10",
    build=build,
    jitter=jitter,
    epochs=30,
    learning_rate=2e-3,
    weight_decay=1e-2,
    from_logits=True,
    ships_samples=False,
)

if __name__ == "__main__":
    run(RECIPE, __doc__, Path(__file__).parent)
