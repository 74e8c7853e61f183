"""Train the CIFAR-10 network on with noise as of counting spikes, and save `cifar10_tuned.keras`.

python -m examples.cifar10.train_on --data cifar10.npz
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import keras
from keras import layers

import nmcompile
from examples.cifar10.train import DROPOUT, RECIPE
from examples.training import CLASSES, run
from nmcompile.training import SpikeNoise

FOLDER = Path(__file__).parent
MODEL = FOLDER / "cifar10.keras"
STEPS, MAX_RATE = 64, 400.0


def amplitudes() -> dict[str, float]:
    """Layer -> what a spike per step stands for on the chip."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = nmcompile.build(
            MODEL,
            calibrate=FOLDER / "photos.npz",
            steps=STEPS,
            gain_samples=0,
            neuron={"max_rate": MAX_RATE},
        )
    return {layer.name: layer.amplitude for layer in program.layers}


def build(training: bool, per_spike: Mapping[str, float]) -> keras.Model:
    """The network as it was trained before; with noise and dropout for `training`."""
    trained = keras.models.load_model(MODEL)
    inputs = x = keras.Input((32, 32, 3), name="image")
    for layer in trained.layers[1:]:
        config = layer.get_config()
        x = type(layer).from_config(config)(x)
        if training and layer.name in per_spike:
            noise = SpikeNoise(STEPS, per_spike[layer.name] / 1000, dtype="float32")
            x = noise(x)
        if training and layer.name in ("flatten", "dense"):
            x = layers.Dropout(DROPOUT)(x)
    assert x.shape[-1] == CLASSES
    model = keras.Model(inputs, x, name=f"{trained.name}_tuned")
    for layer in trained.layers:
        model.get_layer(layer.name).set_weights(layer.get_weights())
    return model


if __name__ == "__main__":
    recipe = replace(
        RECIPE,
        name="cifar10_tuned",
        build=partial(build, per_spike=amplitudes()),
        epochs=10,
        learning_rate=5e-4,
        data="cifar10",
    )
    run(recipe, __doc__, FOLDER)
