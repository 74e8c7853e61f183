"""Train small CIFAR-10 networks that differ in their encoder, and save them as Keras files.

The encoder runs on the host and turns pixels into spikes: four learnt neurons per pixel, or fixed
ones, three for bright pixels or six for bright and dark ones. On the chip, neurons shall have rates
of up to 150 Hz.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import keras
from keras import layers

from examples.cifar10.train import jitter
from examples.training import CLASSES, Recipe, accuracy, fit, load
from nmcompile.training import ChipEncoder, RateRange

EPOCHS = 10
DROPOUT = 0.25
#: An activation of 1 stands for 150 Hz, the rate that the largest of every layer shall have.
RATES = RateRange(120.0, 150.0, weight=0.1, amplitude=1 / 150)
#: Name of each network -> options of its encoder.
ENCODERS = {
    "learnt": {"mode": "learnt", "filters": 4},
    "on_off": {"mode": "on-off"},
    "on": {"mode": "on"},
}


def build(training: bool, name: str) -> keras.Model:
    """Return a network, untrained; with dropout and the rates' penalty for `training`."""
    rates = RATES if training else None
    inputs = x = keras.Input((32, 32, 3), name="image")
    if name != "on":
        # From 0..1 to -1..1: dark pixels drive neurons of negative weight.
        x = layers.Rescaling(2.0, -1.0, name="centred")(x)
    x = ChipEncoder(**ENCODERS[name], name="encoder")(x)
    for number, (filters, stride) in enumerate(((32, 2), (64, 2), (96, 1)), start=1):
        x = layers.Conv2D(
            filters,
            3,
            strides=stride,
            activation="relu",
            activity_regularizer=rates,
            name=f"conv{number}",
        )(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(DROPOUT)(x) if training else x
    outputs = layers.Dense(CLASSES, name="readout", dtype="float32")(x)
    return keras.Model(inputs, outputs, name=name)


def main() -> None:
    """Train and save all networks, and print what was reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="cifar10.npz; default: download it")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--mixed", action="store_true", help="multiply in bfloat16")
    options = parser.parse_args()
    train, test = load("cifar10", options.data)
    options.out.mkdir(parents=True, exist_ok=True)
    for name in ENCODERS:
        recipe = Recipe(
            name=name,
            build=partial(build, name=name),
            jitter=jitter,
            epochs=options.epochs,
            learning_rate=2e-3,
            weight_decay=1e-2,
            from_logits=True,
        )
        model = fit(recipe, train, options.epochs, options.seed, options.mixed)
        model.save(options.out / f"{name}.keras", include_optimizer=False)
        print(f"{name}: test accuracy {accuracy(model, test):.4f}", flush=True)


if __name__ == "__main__":
    main()
