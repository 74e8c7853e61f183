"""Fine-tuning wins back what few time steps lose, on a network that behaves as on the chip."""

from __future__ import annotations

import os
import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras")
kl = keras.layers

import nmcompile  # noqa: E402
from nmcompile.errors import DataError, UnsupportedError, UsageError  # noqa: E402
from nmcompile.training import ChipEncoder, ChipIF, fine_tune  # noqa: E402
from nmcompile.training.fine_tune import trainable_twin  # noqa: E402
from tests.training.support import blobs, numbers  # noqa: E402

pytestmark = [pytest.mark.keras, pytest.mark.filterwarnings("default")]

STEPS = 8


def network(*, own: bool = False) -> Any:
    """A small network with an encoder of its own, batch norm, pooling and two ways to join."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    x = kl.Rescaling(1.0, offset=-0.1)(inputs)
    x = ChipEncoder(filters=3)(x) if own else x
    x = kl.Conv2D(8, 3, padding="same", use_bias=False)(x)
    x = kl.BatchNormalization(momentum=0.8)(x)
    x = ChipIF(300.0)(x) if own else kl.ReLU()(x)
    x = kl.AveragePooling2D(2)(x)
    y = kl.Conv2D(8, 3, padding="same", activation="relu")(x)
    x = kl.Flatten()(kl.Add()([x, y]))
    x = kl.Dense(24, activation="relu")(x)
    return keras.Model(inputs, kl.Dense(6, activation="softmax")(kl.Dropout(0.1)(x)))


@cache
def trained(*, own: bool = False) -> Any:
    model = network(own=own)
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy())
    model.fit(*blobs(1200, 0), epochs=8, batch_size=60, verbose=0, shuffle=False)
    return model


def program_of(model: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nmcompile.build(model, calibrate=blobs(200, 1)[0], steps=STEPS, **options)


def accuracy(model: Any, **options: Any) -> float:
    x, y = blobs(1500, 2)
    scores = nmcompile.Emulator().load(program_of(model, **options)).run(x).scores
    return float((scores.argmax(axis=1) == y).mean())


@pytest.mark.parametrize(
    "own", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["relu", "own neurons"]
)
def test_fine_tuning_makes_the_chip_more_accurate(own: bool) -> None:
    model = trained(own=own)
    weights = [w.copy() for w in model.get_weights()]
    # Scaled by the largest activation, a network loses much in few steps.
    options = {} if own else {"percentile": 100}
    before = accuracy(model, **options)
    tuned = fine_tune(
        model,
        blobs(1200, 0),
        steps=STEPS,
        epochs=2,
        learning_rate=3e-4,
        verbose=0,
        **options,
    )
    after = accuracy(tuned, **options)
    print(f"before {before:.3f}, after {after:.3f}")
    assert after > before + 0.005
    assert [each.name for each in tuned.layers] == [each.name for each in model.layers]
    assert all(map(np.array_equal, weights, model.get_weights()))
    assert not all(map(np.array_equal, weights, tuned.get_weights()))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"neuron": {"synapse": 0.002}},
        {"neuron": {"tau_rc": 0.02}},
        {"gain": "none"},
    ],
    ids=str,
)
def test_the_twin_gives_the_scores_of_the_chip(options: dict[str, Any]) -> None:
    model = trained()
    x = blobs(200, 1)[0]
    twin = trainable_twin(model, x, steps=STEPS, **options)
    chip = nmcompile.Emulator().load(program_of(model, **options)).run(x).scores
    scores, exact = numbers(twin(x)), numbers(twin.follow(x, spiking=False))
    # A spike more or less changes a score much, but few are.
    assert np.corrcoef(scores.ravel(), chip.ravel())[0, 1] > 0.93
    assert np.median(np.abs(scores - chip)) < 0.35 * np.median(np.abs(exact - chip))
    assert np.allclose(numbers(keras.ops.softmax(exact)), numbers(model(x)), rtol=1e-3, atol=1e-5)


def test_equalising_has_no_part_in_training() -> None:
    model, x = trained(), blobs(64, 1)[0]
    plain, equalised = (trainable_twin(model, x, steps=STEPS, equalise=e) for e in (0.0, 0.5))
    for one, other in zip(plain.weights, equalised.weights, strict=True):
        assert np.array_equal(numbers(one), numbers(other))


def test_equal_seeds_give_equal_weights_and_labels_are_optional() -> None:
    model = trained()
    x, y = blobs(96, 3)

    def tuned(data: Any, **options: Any) -> list[np.ndarray]:
        return fine_tune(model, data, steps=STEPS, epochs=1, verbose=0, **options).get_weights()

    def mirrored(batch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return batch[:, :, ::-1] if rng.random() < 0.5 else batch

    first = tuned((x, y), seed=1)
    same = [np.array_equal(a, b) for a, b in zip(first, tuned((x, y), seed=1), strict=True)]
    assert all(same)
    for other in (tuned(x, seed=2), tuned((x, y), seed=1, augment=mirrored)):
        assert not all(map(np.array_equal, first, other))


def test_what_cannot_be_tuned_is_refused() -> None:
    model = trained()
    x, y = blobs(32, 0)
    with pytest.raises(UsageError, match="steps is 2"):
        fine_tune(model, (x, y), steps=2)
    with pytest.raises(UsageError, match="epochs is 0"):
        fine_tune(model, (x, y), epochs=0)
    with pytest.raises(UsageError, match="max-rate"):
        fine_tune(model, (x, y), neuron={"max_rate": -1.0})
    with pytest.raises(DataError, match="one class number"):
        fine_tune(model, (x, np.eye(6)[y]))
    with pytest.raises(DataError, match=r"labels are 1 to 6, but the model has 6 outputs"):
        fine_tune(model, (x, np.arange(32) % 6 + 1))
    with pytest.raises(UsageError, match="weight_bits is 4"):
        fine_tune(model, (x, y), weight_bits=4)
    columns = keras.models.load_model("examples/columns/columns.keras")
    with pytest.raises(UsageError, match="has a time axis"):
        fine_tune(columns, np.zeros((4, 24, 24), np.float32))
    with pytest.raises(DataError, match=r"samples have shape \(3, 8, 8, 1\), the model takes"):
        fine_tune(model, np.stack([x] * 3, axis=1))
    with pytest.raises(DataError, match="1 values of the data are NaN"):
        fine_tune(model, np.where(np.arange(x.size).reshape(x.shape) == 0, np.nan, x))
    with pytest.raises(DataError, match="no samples"):
        fine_tune(model, x[:0])
    pooled = keras.Sequential([keras.Input((8, 8, 1)), kl.MaxPooling2D(), kl.Flatten()])
    with pytest.raises(UnsupportedError, match="MaxPooling2D"):
        fine_tune(pooled, x)
