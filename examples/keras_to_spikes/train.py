"""Train a small MNIST network without a thought of spikes, and then some more with rates in mind.

The second network goes on from the first with a penalty on every filter whose highest rates
in a batch are outside 200 to 300 Hz. An activation stands for as many Hz as in a build of the first
network whose highest rate is 34.6 Hz.
"""

from __future__ import annotations

import argparse
from math import ceil
from pathlib import Path

import keras
from keras import layers

from examples.training import BATCH_SIZE, CLASSES, Images, accuracy, load, split
from nmcompile.training import RateRange

EPOCHS, MORE_EPOCHS = 10, 3
LEARNING_RATE = 1e-3
#: Of the second training: many steps, large at first, since its weights have to grow.
SMALL_BATCH, FIRST_RATE = 32, 3e-3
#: Activation for each Hz: the first network's highest one is 1.474.
AMPLITUDE = 1.474 / 34.6
RATES = RateRange(200.0, 300.0, weight=100.0, amplitude=AMPLITUDE, per="channel")


def build(rates: RateRange | None) -> keras.Model:
    """Return the network, untrained; `rates` is the penalty on those of its neurons."""
    inputs = x = keras.Input((28, 28, 1), name="image")
    x = layers.Conv2D(32, 3, activation="relu", activity_regularizer=rates, name="conv")(x)
    x = layers.Flatten(name="flatten")(x)
    outputs = layers.Dense(CLASSES, name="readout")(x)
    return keras.Model(inputs, outputs, name="keras_to_spikes")


def fit(
    train: Images,
    epochs: int,
    seed: int,
    start: keras.Model | None = None,
) -> keras.Model:
    """Return the network of the last epoch, without the penalty.

    Parameters
    ----------
    train, epochs, seed : of the training
    start : network from which it goes on, with the penalty; none and no penalty where None
    """
    keras.utils.set_random_seed(seed)
    fitted, held_out = split(train, seed)
    model = build(None if start is None else RATES)
    batch_size, learning_rate = BATCH_SIZE, LEARNING_RATE
    if start is not None:
        model.set_weights(start.get_weights())
        batch_size = SMALL_BATCH
        steps = epochs * ceil(len(fitted.y) / batch_size)
        learning_rate = keras.optimizers.schedules.CosineDecay(FIRST_RATE, steps)
    model.compile(
        keras.optimizers.RMSprop(learning_rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(
        fitted.x,
        fitted.y,
        batch_size=batch_size,
        epochs=epochs,
        validation_data=(held_out.x, held_out.y),
        verbose=2,
    )
    plain = build(None)
    plain.set_weights(model.get_weights())
    return plain


def main() -> None:
    """Train and save both networks, and print what was reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="mnist.npz; default: download it")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--more-epochs", type=int, default=MORE_EPOCHS, help="of the second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    train, test = load("mnist", options.data)
    options.out.mkdir(parents=True, exist_ok=True)
    plain = fit(train, options.epochs, options.seed)
    regularised = fit(train, options.more_epochs, options.seed, plain)
    for name, model in (("plain", plain), ("regularised", regularised)):
        model.save(options.out / f"{name}.keras", include_optimizer=False)
        print(f"{name}: test accuracy {accuracy(model, test):.4f}", flush=True)


if __name__ == "__main__":
    main()
