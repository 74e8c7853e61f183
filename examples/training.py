"""What the training scripts share: images, batches, the loop, and the files they write."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from nmcompile.training.rates import divided_by_batch

CLASSES = 10
VALIDATION_IMAGES = 5000
BATCH_SIZE = 128
#: Of `shift_turn_and_zoom`, in pixels, radians and shares.
MAX_SHIFT = 2.5
MAX_TURN = math.radians(12.0)
MAX_ZOOM = 0.1
#: Of `RelativePenalty`.
DENSITY_PENALTY = 0.02
TAIL_PENALTY = 0.03
TAIL_START = 2.0

Jitter = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Recipe:
    """How a network is built and trained.

    Attributes
    ----------
    name : of the network and of its file
    build : makes the network, with or without the parts that only serve training
    jitter : moves images about, for augmentation
    epochs, learning_rate, weight_decay : of the training
    from_logits : whether the network's outputs are scores rather than probabilities
    data : name of the data set in `keras.datasets`; the network's where empty
    prepare : makes what the network takes of images that are not moved about
    ships_samples : whether the images' licence lets some of them be kept beside the network
    """

    name: str
    build: Callable[[bool], keras.Model]
    jitter: Jitter
    epochs: int
    learning_rate: float
    weight_decay: float
    from_logits: bool
    data: str = ""
    ships_samples: bool = True
    prepare: Callable[[Images], Images] = lambda images: images


@dataclass(frozen=True)
class Images:
    """Images as float32 of shape (n, rows, columns, channels) in 0..1, and integer labels."""

    x: np.ndarray
    y: np.ndarray

    def take(self, index: np.ndarray | slice) -> Images:
        """Return the images that `index` picks."""
        return Images(self.x[index], self.y[index])

    def save(self, path: Path) -> None:
        """Write the images to `path` as a compressed npz file with arrays x and y."""
        np.savez_compressed(path, x=self.x, y=self.y)


def load(name: str, path: Path | None) -> tuple[Images, Images]:
    """Return the training and test images.

    Parameters
    ----------
    name
        Of the data set in `keras.datasets`.
    path
        A file with x_train, y_train, x_test and y_test; None downloads it as Keras does.
    """
    if path is None:
        train, test = getattr(keras.datasets, name).load_data()
    else:
        with np.load(path) as file:
            train = file["x_train"], file["y_train"]
            test = file["x_test"], file["y_test"]
    return _scaled(*train), _scaled(*test)


def _scaled(x: np.ndarray, y: np.ndarray) -> Images:
    images = x if x.ndim == 4 else x[..., None]
    return Images((images / 255.0).astype(np.float32), y.reshape(-1).astype(np.int64))


def split(images: Images, seed: int) -> tuple[Images, Images]:
    """Return disjoint images to fit and to select on, in an order drawn from `seed`."""
    order = np.random.default_rng(seed).permutation(len(images.y))
    return images.take(order[VALIDATION_IMAGES:]), images.take(order[:VALIDATION_IMAGES])


def save_samples(train: Images, test: Images, folder: Path, seed: int) -> None:
    """Write the first 1000 test images and 500 training images drawn from `seed` to `folder`."""
    chosen = np.random.default_rng(seed).choice(len(train.y), 500, replace=False)
    test.take(slice(1000)).save(folder / "test_1000.npz")
    train.take(chosen).save(folder / "calibrate_500.npz")


class JitteredBatches(keras.utils.PyDataset):
    """Shuffled, jittered batches that depend only on the seed, the epoch and the batch."""

    def __init__(self, images: Images, jitter: Jitter, seed: int) -> None:
        super().__init__()
        self._images = images
        self._jitter = jitter
        self._seed = seed
        self._epoch = -1
        self.on_epoch_begin()

    def __len__(self) -> int:
        return len(self._images.y) // BATCH_SIZE

    def __getitem__(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = self._order[batch * BATCH_SIZE : (batch + 1) * BATCH_SIZE]
        rng = np.random.default_rng((self._seed, self._epoch, batch))
        return self._jitter(self._images.x[chosen], rng), self._images.y[chosen]

    def on_epoch_begin(self) -> None:
        """Draw the order of the next epoch."""
        self._epoch += 1
        rng = np.random.default_rng((self._seed, self._epoch))
        self._order = rng.permutation(len(self._images.y))


def shift_and_mirror(x: np.ndarray, rng: np.random.Generator, most: int) -> np.ndarray:
    """Return each image of `x` shifted by up to `most` pixels, half of them mirrored."""
    n, height, width, _ = x.shape
    padded = np.pad(x, ((0, 0), (most, most), (most, most), (0, 0)))
    down, right = rng.integers(0, 2 * most + 1, (2, n))
    columns = np.arange(width)[None, :]
    columns = np.where(rng.random((n, 1)) < 0.5, columns, columns[:, ::-1]) + right[:, None]
    rows = np.arange(height)[None, :] + down[:, None]
    return padded[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]


def shift_turn_and_zoom(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
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


class RelativePenalty(keras.regularizers.Regularizer):
    """Penalise a layer whose activations are dense or have a long tail.

    Both terms are relative to the root mean square of the activations: after batch norm, an
    absolute penalty would only shrink the activations as a whole.
    """

    def __call__(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Return the penalty, times the batch size where Keras divides by that."""
        scaled = x / (ops.sqrt(ops.mean(ops.square(x))) + 1e-6)
        tail = ops.mean(ops.square(ops.relu(scaled - TAIL_START)))
        batch = ops.cast(ops.shape(x)[0] if divided_by_batch() else 1, x.dtype)
        return batch * (DENSITY_PENALTY * ops.mean(scaled) + TAIL_PENALTY * tail)

    def get_config(self) -> dict[str, float]:
        """Return the (empty) settings of this regulariser."""
        return {}


class NotPositive(keras.constraints.Constraint):
    """Keep weights at or below zero, so that a blank pixel makes the encoder stay silent."""

    def __call__(self, w: keras.KerasTensor) -> keras.KerasTensor:
        """Return `w` without its positive part."""
        return ops.minimum(w, 0.0)


def fit(recipe: Recipe, train: Images, epochs: int, seed: int, mixed: bool = False) -> keras.Model:
    """Return the trained network, without what only serves training.

    With `mixed`, products are taken of bfloat16 numbers, which is faster on some processors.

    The epoch kept is the one with the best accuracy on a validation split of `train`.
    """
    keras.utils.set_random_seed(seed)
    fitted, held_out = split(train, seed)
    held_out = recipe.prepare(held_out)
    batches = JitteredBatches(fitted, recipe.jitter, seed)
    keras.config.set_dtype_policy("mixed_bfloat16" if mixed else "float32")
    model = recipe.build(True)
    keras.config.set_dtype_policy("float32")
    model.compile(
        keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(recipe.learning_rate, epochs * len(batches)),
            weight_decay=recipe.weight_decay,
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=recipe.from_logits),
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
    plain = recipe.build(False)
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
    if not relus:
        return {}
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


def run(recipe: Recipe, description: str, folder: Path) -> None:
    """Train, save the model and its sample images, and print what was reached."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    data = recipe.data or recipe.name
    parser.add_argument("--data", type=Path, help=f"{data}.npz; default: download it")
    parser.add_argument("--epochs", type=int, default=recipe.epochs)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=folder, help="folder for the files made")
    parser.add_argument("--mixed", action="store_true", help="multiply in bfloat16")
    options = parser.parse_args()

    train, test = load(data, options.data)
    options.out.mkdir(parents=True, exist_ok=True)
    if recipe.ships_samples:
        save_samples(recipe.prepare(train), recipe.prepare(test), options.out, options.seed)
    model = fit(recipe, train, options.epochs, options.seed, options.mixed)
    model.save(options.out / f"{recipe.name}.keras", include_optimizer=False)
    reached = accuracy(model, recipe.prepare(test))
    print(f"test accuracy {reached:.4f}, {model.count_params()} parameters")
    for name, row in relu_percentiles(model, recipe.prepare(train.take(slice(500)))).items():
        print(f"{name}: active {row[0]:.3f}, p50/90/99/99.9/max", *(f"{v:.2f}" for v in row[1:]))
