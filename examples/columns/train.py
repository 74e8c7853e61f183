"""Train a network that sees an MNIST image one column a step, and save it as a Keras file.

The model has a time axis, (steps, rows): spiking neurons that leak remember the columns before,
and the scores are the mean over all steps. Training runs the spikes themselves.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from keras import layers

from examples.columns.columns import SIDE, columns
from examples.training import CLASSES, Images, Recipe, run, shift_turn_and_zoom
from nmcompile.training import ChipLIF, SpikingActivation

NEURONS = 256
#: Time constants in seconds: the first layer forgets a column in a few steps, the others slowly.
TAUS = (0.005, 0.02, 0.02)


def jitter(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Columns of images that are slightly shifted, turned and zoomed."""
    return columns(shift_turn_and_zoom(x, rng))


def build(training: bool) -> keras.Model:
    """Return the network, untrained."""
    inputs = x = keras.Input((SIDE, SIDE), name="columns")
    for number, tau in enumerate(TAUS, start=1):
        x = layers.Dense(NEURONS, name=f"dense{number}")(x)
        neuron = ChipLIF(tau, 0.0, max_rate=400.0, intercept=0.0, amplitude=0.002)
        x = SpikingActivation(neuron, name=f"spikes{number}", dtype="float32")(x)
    x = layers.Dense(CLASSES, name="readout", dtype="float32")(x)
    outputs = layers.GlobalAveragePooling1D(name="mean")(x)
    return keras.Model(inputs, outputs, name="columns")


def prepare(images: Images) -> Images:
    """Columns of images that are not moved about."""
    return Images(columns(images.x), images.y)


RECIPE = Recipe(
    name="columns",
    build=build,
    jitter=jitter,
    epochs=8,
    learning_rate=2e-3,
    weight_decay=1e-4,
    from_logits=True,
    data="mnist",
    prepare=prepare,
)

if __name__ == "__main__":
    run(RECIPE, __doc__, Path(__file__).parent)
