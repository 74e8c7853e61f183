"""Train an MNIST network of leaky integrate-and-fire neurons, and save it as a Keras file.

The neurons are the chip's own: training sees the rate that a neuron has in whole time steps, and
noise as large as that of counting spikes for 30 steps. Nothing is left to convert.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from keras import layers

from examples.training import CLASSES, Recipe, run, shift_turn_and_zoom
from nmcompile.training import ChipLIF, SpikeNoise

TAU_RC = 0.02
TAU_REF = 0.002
MAX_RATE = 100.0
AMPLITUDE = 0.01
#: Steps in which the last layer sees the image, of 30.
STEPS = 27
DROPOUT = 0.2


def jitter(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return half of the images of `x` slightly shifted, turned and zoomed, the others as are."""
    moved = shift_turn_and_zoom(x, rng)
    return np.where(rng.random((len(x), 1, 1, 1)) < 0.5, moved, x)


def build(training: bool) -> keras.Model:
    """Return the network, untrained; with noise and dropout for `training`."""
    inputs = x = keras.Input((28, 28, 1), name="image")
    for number, (filters, stride) in enumerate(((32, 1), (64, 2), (128, 2)), start=1):
        x = layers.Conv2D(filters, 3, strides=stride, name=f"conv{number}")(x)
        x = ChipLIF(
            TAU_RC,
            TAU_REF,
            max_rate=MAX_RATE,
            intercept=0.0,
            amplitude=AMPLITUDE,
            dtype="float32",
            name=f"lif{number}",
        )(x)
        x = SpikeNoise(STEPS, AMPLITUDE, seed=number, dtype="float32")(x) if training else x
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(DROPOUT)(x) if training else x
    outputs = layers.Dense(CLASSES, name="readout", dtype="float32")(x)
    return keras.Model(inputs, outputs, name="mnist_lif")


RECIPE = Recipe(
    name="mnist_lif",
    build=build,
    jitter=jitter,
    epochs=25,
    learning_rate=3e-3,
    weight_decay=1e-3,
    from_logits=True,
    data="mnist",
    ships_samples=False,
)

if __name__ == "__main__":
    run(RECIPE, __doc__, Path(__file__).parent)
