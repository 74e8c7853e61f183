"""Train an MNIST network of leaky integrate-and-fire neurons, and save it as a Keras file.

The neurons are the chip's own: training sees the rate that a neuron has in whole time steps, and
noise as large as that of counting spikes for 30 steps. Nothing is left to convert.
"""

from __future__ import annotations

from pathlib import Path

import keras
from keras import layers

from examples.training import CLASSES, Recipe, run, shift_turn_and_zoom
from nmcompile.training import ChipLIF, RateRange, SpikeNoise

TAU_RC = 0.02
TAU_REF = 0.002
MAX_RATE = 100.0
AMPLITUDE = 0.01
#: Steps in which the last layer sees the image, of 30.
STEPS = 27
DROPOUT = 0.25
#: The most active neurons shall fire every third step: as often as their refractory period lets.
RATES = RateRange(200.0, 320.0, weight=0.05, amplitude=AMPLITUDE)


def build(training: bool) -> keras.Model:
    """Return the network, untrained; with noise, dropout and the rates' penalty for `training`."""
    inputs = x = keras.Input((28, 28, 1), name="image")
    for number, (filters, stride) in enumerate(((32, 1), (64, 2), (128, 2)), start=1):
        x = layers.Conv2D(filters, 3, strides=stride, name=f"conv{number}")(x)
        x = ChipLIF(
            TAU_RC,
            TAU_REF,
            max_rate=MAX_RATE,
            intercept=0.0,
            amplitude=AMPLITUDE,
            activity_regularizer=RATES if training else None,
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
    jitter=shift_turn_and_zoom,
    epochs=10,
    learning_rate=2e-3,
    weight_decay=1e-3,
    from_logits=True,
    data="mnist",
    ships_samples=False,
)

if __name__ == "__main__":
    run(RECIPE, __doc__, Path(__file__).parent)
