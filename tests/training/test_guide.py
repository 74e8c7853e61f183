"""The code on the page on training works."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras")

pytestmark = [pytest.mark.keras, pytest.mark.filterwarnings("default")]

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "train-for-the-chip.md"


def test_the_code_of_the_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x, y = rng.random((64, 6, 6, 1), dtype=np.float32), rng.integers(0, 3, 64)
    np.savez("test.npz", x=x, y=y)
    keras.Sequential([
        keras.Input((6, 6, 1)), keras.layers.Conv2D(3, 3, activation="relu"),
        keras.layers.Flatten(), keras.layers.Dense(3),
    ]).save("model.keras")  # fmt: skip
    names = {"x_train": x, "y_train": y}
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    assert len(blocks) == 3
    for block in blocks:
        exec(block, names)
    assert (tmp_path / "tuned.keras").exists()
    assert names["model"].output_shape == (None, 10)
