"""Train the convolutional MNIST network of nengo-loihi's keras-to-loihi example, for slow spikes.

At 30 steps of 1 ms and 200 Hz a neuron fires six times at most. Noise of that grain stands in for
spike counting, and a penalty keeps most neurons silent; neither is part of the saved model.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras
from keras import layers

from examples.mnist.train import ActivationPenalty, jitter
from examples.training import CLASSES, Recipe, accuracy, fit, load, relu_percentiles

#: Noise on activations whose largest are about 1: a share of each, and a part for all.
RATE_NOISE = 0.15
FLOOR_NOISE = 0.1


def build(training: bool) -> keras.Model:
    """Return the network, untrained; `training` adds what only serves training."""
    penalty = ActivationPenalty() if training else None

    def finish(x: keras.KerasTensor) -> keras.KerasTensor:
        if not training:
            return x
        return layers.GaussianNoise(FLOOR_NOISE)(layers.GaussianDropout(RATE_NOISE)(x))

    common = {"activation": "relu", "activity_regularizer": penalty}
    image = keras.Input((28, 28, 1), name="image")
    x = finish(layers.Conv2D(3, 1, name="encoder", **common)(image))
    x = finish(layers.Conv2D(32, 3, strides=2, name="conv1", **common)(x))
    x = finish(layers.Conv2D(64, 3, strides=2, name="conv2", **common)(x))
    x = layers.Flatten(name="flatten")(x)
    x = finish(layers.Dense(100, name="dense", **common)(x))
    scores = layers.Dense(CLASSES, name="readout")(x)
    return keras.Model(image, scores, name="keras_to_loihi")


RECIPE = Recipe(
    name="mnist",
    build=build,
    jitter=jitter,
    epochs=6,
    learning_rate=2e-3,
    weight_decay=1e-3,
    from_logits=True,
)


def main() -> None:
    """Train, save the model, and print what was reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="mnist.npz; default: download it")
    parser.add_argument("--epochs", type=int, default=RECIPE.epochs)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    train, test = load(RECIPE.name, options.data)
    model = fit(RECIPE, train, options.epochs, options.seed)
    model.save(options.out / "keras_to_loihi.keras", include_optimizer=False)
    print(f"test accuracy {accuracy(model, test):.4f}, {model.count_params()} parameters")
    for name, row in relu_percentiles(model, test.take(slice(1000))).items():
        print(f"{name}: active {row[0]:.3f}, p50/90/99/99.9/max", *(f"{v:.2f}" for v in row[1:]))


if __name__ == "__main__":
    main()
