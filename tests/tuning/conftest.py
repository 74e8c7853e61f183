"""A small network, and data on which its float version is always right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nmcompile.frontends import load
from nmcompile.ir import evaluate
from tests.cli.support import MODEL


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tuning") / "data.npz"
    network = load(MODEL).network
    x = np.random.default_rng(0).random((360, *network.inputs[0].size), dtype=np.float32)
    scores = evaluate(network, x)[network.outputs[0].name].reshape(len(x), -1)
    np.savez(path, x=x, y=scores.argmax(axis=1))
    return path
