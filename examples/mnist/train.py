"""Train the small MNIST network that the examples compile, and save it as a Keras file.

The network is trained with the chip in mind: noise stands in for spike counting, and a penalty
keeps activations sparse and short-tailed. All of this is left out of the saved model.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

HERE = Path(__file__).resolve().parent
CLASSES = 10
VALIDATION_IMAGES = 5000
BATCH_SIZE = 128
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-3
DROPOUT = 0.25
RATE_NOISE = 0.08
FLOOR_NOISE = 0.03
MEAN_PENALTY = 0.02
TAIL_PENALTY = 1.0
TAIL_START = 1.0
MAX_SHIFT = 2.5
MAX_TURN = math.radians(12.0)
MAX_ZOOM = 0.1


@dataclass(frozen=True)
class Images:
    """Images as float32 of shape (n, 28, 28, 1) in 0..1, with one integer label each."""

    x: np.ndarray
    y: np.ndarray

    def take(self, index: np.ndarray | slice) -> Images:
        """Return the images that `index` picks."""
        return Images(self.x[index], self.y[index])

    def save(self, path: Path) -> None:
        """Write the images to `path` as a compressed npz file with arrays x and y."""
        np.savez_compressed(path, x=self.x, y=self.y)


def load(path: Path | None) -> tuple[Images, Images]:
    """Return the training and test images.

    Parameters
    ----------
    path
        An mnist.npz file with x_train, y_train, x_test and y_test; None downloads it as Keras
        does.
    """
    if path is None:
        train, test = keras.datasets.mnist.load_data()
    else:
        with np.load(path) as file:
            train = file["x_train"], file["y_train"]
            test = file["x_test"], file["y_test"]
    return _scaled(*train), _scaled(*test)


def _scaled(x: np.ndarray, y: np.ndarray) -> Images:
    return Images((x[..., None] / 255.0).astype(np.float32), y.astype(np.int64))


def split(images: Images, seed: int) -> tuple[Images, Images]:
    """Return disjoint images to fit and to select on, in an order drawn from `seed`."""
    order = np.random.default_rng(seed).permutation(len(images.y))
    return images.take(order[VALIDATION_IMAGES:]), images.take(order[:VALIDATION_IMAGES])


def save_samples(train: Images, test: Images, folder: Path, seed: int) -> None:
    """Write the first 1000 test images and 500 training images drawn from `seed` to `folder`."""
    chosen = np.random.default_rng(seed).choice(len(train.y), 500, replace=False)
    test.take(slice(1000)).save(folder / "test_1000.npz")
    train.take(chosen).save(folder / "calibrate_500.npz")


def jitter(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return each image of `x` slightly shifted, turned and zoomed, with bilinear sampling."""
    n, height, width, _ = x.shape
    angle, zoom, down, right = (
        rng.uniform(-limit, limit, (n, 1, 1)).astype(np.float32)
        for limit in (MAX_TURN, MAX_ZOOM, MAX_SHIFT, MAX_SHIFT)
    )
    middle = np.float32((height - 1) / 2), np.float32((width - 1) / 2)
    rows, columns = np.meshgrid(
        np.arange(height, dtype=np.float32) - middle[0],
        np.arange(width, dtype=np.float32) - middle[1],
        indexing="ij",
    )
    cos, sin = np.cos(angle) * (1 + zoom), np.sin(angle) * (1 + zoom)
    row = np.clip(cos * rows - sin * columns + down + middle[0], -1, height)
    column = np.clip(sin * rows + cos * columns + right + middle[1], -1, width)
    top, left = np.floor(row).astype(np.int32), np.floor(column).astype(np.int32)
    row, column = row - top, column - left
    padded = np.pad(x[..., 0], ((0, 0), (1, 2), (1, 2))).reshape(-1)
    stride = width + 3
    at = np.arange(n, dtype=np.int32)[:, None, None] * ((height + 3) * stride)
    at = at + (top + 1) * stride + left + 1
    upper = padded[at] * (1 - column) + padded[at + 1] * column
    lower = padded[at + stride] * (1 - column) + padded[at + stride + 1] * column
    return (upper * (1 - row) + lower * row)[..., None]


class JitteredBatches(keras.utils.PyDataset):
    """Shuffled, jittered batches that depend only on the seed, the epoch and the batch."""

    def __init__(self, images: Images, seed: int) -> None:
        super().__init__()
        self._images = images
        self._seed = seed
        self._epoch = -1
        self.on_epoch_begin()

    def __len__(self) -> int:
        return len(self._images.y) // BATCH_SIZE

    def __getitem__(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = self._order[batch * BATCH_SIZE : (batch + 1) * BATCH_SIZE]
        rng = np.random.default_rng((self._seed, self._epoch, batch))
        return jitter(self._images.x[chosen], rng), self._images.y[chosen]

    def on_epoch_begin(self) -> None:
        """Draw the order of the next epoch."""
        self._epoch += 1
        rng = np.random.default_rng((self._seed, self._epoch))
        self._order = rng.permutation(len(self._images.y))


class ActivationPenalty(keras.regularizers.Regularizer):
    """Penalise a layer's mean activation, and quadratically what exceeds `TAIL_START`."""

    def __call__(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Return the penalty summed over the batch; Keras divides it by the batch size."""
        tail = ops.sum(ops.square(ops.relu(x - TAIL_START)))
        return (MEAN_PENALTY * ops.sum(ops.abs(x)) + TAIL_PENALTY * tail) / math.prod(x.shape[1:])

    def get_config(self) -> dict[str, float]:
        """Return the (empty) settings of this regulariser."""
        return {}


class NotPositive(keras.constraints.Constraint):
    """Keep weights at or below zero, so that a blank pixel makes the encoder stay silent."""

    def __call__(self, w: keras.KerasTensor) -> keras.KerasTensor:
        """Return `w` without its positive part."""
        return ops.minimum(w, 0.0)


def build(training: bool) -> keras.Model:
    """Return the network, untrained.

    Parameters
    ----------
    training
        Add the noise, dropout and penalties that are used to train but are no part of the
        saved model.
    """
    penalty = ActivationPenalty() if training else None

    def convolve(
        x: keras.KerasTensor, name: str, filters: int, size: int, strides: int
    ) -> keras.KerasTensor:
        x = layers.Conv2D(
            filters,
            size,
            strides=strides,
            activation="relu",
            kernel_initializer="he_normal",
            activity_regularizer=penalty,
            name=name,
        )(x)
        return _noisy(x) if training else x

    inputs = keras.Input((28, 28, 1), name="image")
    x = layers.Conv2D(
        2,
        1,
        activation="relu",
        kernel_initializer=keras.initializers.RandomUniform(0.5, 1.5),
        bias_initializer=keras.initializers.RandomUniform(-0.4, -0.1),
        bias_constraint=NotPositive() if training else None,
        activity_regularizer=penalty,
        name="encoder",
    )(inputs)
    x = _noisy(x) if training else x
    x = convolve(x, "conv1", filters=16, size=5, strides=2)
    x = convolve(x, "conv2", filters=32, size=3, strides=2)
    x = convolve(x, "conv3", filters=64, size=3, strides=1)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(DROPOUT)(x) if training else x
    outputs = layers.Dense(CLASSES, name="readout")(x)
    return keras.Model(inputs, outputs, name="mnist")


def _noisy(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.GaussianNoise(FLOOR_NOISE)(layers.GaussianDropout(RATE_NOISE)(x))


def fit(train: Images, epochs: int, seed: int) -> keras.Model:
    """Return the trained network, without what only serves training.

    The epoch kept is the one with the best accuracy on a validation split of `train`.
    """
    keras.utils.set_random_seed(seed)
    fitted, held_out = split(train, seed)
    batches = JitteredBatches(fitted, seed)
    model = build(training=True)
    model.compile(
        keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(LEARNING_RATE, epochs * len(batches)),
            weight_decay=WEIGHT_DECAY,
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    best = keras.callbacks.EarlyStopping(
        "val_accuracy", mode="max", patience=epochs, restore_best_weights=True
    )
    model.fit(
        batches,
        epochs=epochs,
        validation_data=(held_out.x, held_out.y),
        validation_batch_size=500,
        callbacks=[best],
        verbose=2,
    )
    return without_training_parts(model)


def without_training_parts(model: keras.Model) -> keras.Model:
    """Return the inference form of a model made by ``build(training=True)``."""
    plain = build(training=False)
    for layer in plain.layers:
        layer.set_weights(model.get_layer(layer.name).get_weights())
    return plain


def accuracy(model: keras.Model, images: Images) -> float:
    """Return the share of `images` whose largest output is the right one."""
    outputs = model.predict(images.x, batch_size=500, verbose=0)
    return float(np.mean(np.argmax(outputs, axis=1) == images.y))


def relu_percentiles(model: keras.Model, images: Images) -> dict[str, np.ndarray]:
    """Share of non-zero outputs of each ReLU, and their 50/90/99/99.9/100th percentiles."""
    relus = [
        layer
        for layer in model.layers
        if isinstance(layer, layers.ReLU)
        or getattr(layer, "activation", None) is keras.activations.relu
    ]
    probe = keras.Model(model.inputs, [layer.output for layer in relus])
    found = {}
    for layer, values in zip(
        relus, probe.predict(images.x, batch_size=500, verbose=0), strict=True
    ):
        active = values[values > 0]
        found[layer.name] = np.array(
            [active.size / values.size, *np.percentile(active, (50, 90, 99, 99.9, 100))]
        )
    return found


def main() -> None:
    """Train, save the model and its sample images, and print what was reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="mnist.npz; default: download it")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the files made")
    options = parser.parse_args()

    train, test = load(options.data)
    options.out.mkdir(parents=True, exist_ok=True)
    save_samples(train, test, options.out, options.seed)
    model = fit(train, options.epochs, options.seed)
    model.save(options.out / "mnist.keras", include_optimizer=False)
    print(f"test accuracy {accuracy(model, test):.4f}, {model.count_params()} parameters")
    with np.load(options.out / "calibrate_500.npz") as file:
        calibration = Images(file["x"], file["y"])
    for name, row in relu_percentiles(model, calibration).items():
        print(f"{name}: active {row[0]:.3f}, p50/90/99/99.9/max", *(f"{v:.2f}" for v in row[1:]))


if __name__ == "__main__":
    main()
