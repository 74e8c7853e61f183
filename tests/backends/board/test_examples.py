"""The shipped networks through the virtual board."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from nmcompile.api import build, load
from tests.backends.board.through import assert_equal, emulated, through_board

EXAMPLES = Path(__file__).parents[3] / "examples"
MODELS = sorted(
    str(path.relative_to(EXAMPLES))
    for pattern in ("*/*.keras", "*/*.nir")
    for path in EXAMPLES.glob(pattern)
)
#: Small enough for the quick suite.
QUICK = "mnist/mnist.keras"
STEPS = 10


@pytest.mark.parametrize(
    "model",
    [pytest.param(model, marks=() if model == QUICK else pytest.mark.slow) for model in MODELS],
)
def test_a_shipped_network_runs_as_on_the_emulator(model: str, tmp_path: Path) -> None:
    path = EXAMPLES / model
    dialect = "snntorch" if path.suffix == ".nir" else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shape = load(path, dialect=dialect).network.inputs[0].size
        x = np.random.default_rng(0).random((4, *shape), dtype=np.float32)
        program = build(path, target="loihi1", calibrate=x, steps=STEPS, dialect=dialect)
    board = through_board(program, x[:1].astype(np.float64), tmp_path)
    assert assert_equal(board, emulated(program, x[:1].astype(np.float64))) > 100
