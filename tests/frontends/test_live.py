"""Random models predict the same in Keras and in our float reference, from memory and file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras")
sys.path.insert(0, str(Path(__file__).parent))

from random_models import covering_models, random_model, randomise, samples  # noqa: E402

from nmcompile.frontends import check, load  # noqa: E402
from nmcompile.ir.over_time import evaluate_frames  # noqa: E402

pytestmark = [pytest.mark.keras, pytest.mark.filterwarnings("default")]


def assert_same(model: Any, tmp_path: Path) -> None:
    x = samples(model, 3, seed=7)
    expected = np.asarray(model(x))
    tolerance = 1e-4 * max(1.0, float(np.abs(expected).max()))
    kept, old = tmp_path / "model.keras", tmp_path / "model.h5"
    model.save(kept)
    model.save(old)
    for source in (model, kept, str(old)):
        network = load(source).network
        result = evaluate_frames(network, x, x.shape[1])
        assert result.shape == expected.shape, source
        assert np.abs(result - expected).max() <= tolerance, source


@pytest.mark.parametrize("name", sorted(covering_models()))
def test_every_layer_and_option_agrees_with_keras(name: str, tmp_path: Path) -> None:
    model = covering_models()[name]()
    randomise(model, seed=3)
    assert_same(model, tmp_path)


@pytest.mark.parametrize("seed", range(40))
def test_a_random_model_agrees_with_keras(seed: int, tmp_path: Path) -> None:
    model = random_model(seed)
    randomise(model, seed)
    assert_same(model, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(1000, 1500, 50))
def test_hundreds_of_random_models_agree_with_keras(start: int, tmp_path: Path) -> None:
    for seed in range(start, start + 50):
        keras.backend.clear_session()
        model = random_model(seed)
        randomise(model, seed)
        assert_same(model, tmp_path)


def test_a_model_in_memory_has_a_stable_hash_that_follows_its_weights() -> None:
    model = covering_models()["cnn"]()
    before = load(model).sha256
    assert load(model).sha256 == before
    randomise(model, seed=1)
    assert load(model).sha256 != before


def test_a_single_layer_is_refused() -> None:
    from nmcompile.errors import ModelError

    with pytest.raises(ModelError, match="wrap it in"):
        load(keras.layers.Dense(3))


def test_a_subclassed_model_is_refused() -> None:
    from nmcompile.errors import ModelError

    class Mine(keras.Model):  # type: ignore[misc, name-defined]
        def call(self, x: Any) -> Any:
            return x

    with pytest.raises(ModelError, match="Mine"):
        load(Mine())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "mixed_bfloat16"])
def test_weights_of_any_float_type_are_read(dtype: str, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, dtype=dtype, name="dense")])
    randomise(model, seed=2)
    expected = np.asarray(model.layers[0].kernel.value, dtype=np.float32)
    path = tmp_path / "model.keras"
    model.save(path)
    for source in (model, path):
        assert np.array_equal(load(source).network["dense"].weights, expected)


def test_a_model_that_needs_training_behaviour_is_refused() -> None:
    x = inputs = keras.Input((4,))
    x = keras.layers.Dropout(0.5, name="noisy")(x, training=True)
    x = 2.0 * keras.layers.Dense(3)(x) + 1.0
    obstacles = check(keras.Model(inputs, x))
    assert {each.layer for each in obstacles} >= {"noisy"}
    assert {each.kind for each in obstacles} == {"Dropout", "Multiply", "Add"}
