"""The networks trained with snnTorch spike as they did there, and the chip answers alike."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

import nmcompile
from nmcompile.host.data import Data
from nmcompile.ir.nodes import FloatArray
from nmcompile.ir.over_time import evaluate_frames

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
DIALECTS = {"rows": "snntorch-reset-delay", "image": "snntorch"}
STEPS = {"rows": 28, "image": 12}
#: Steps that layers take to pass the first spikes on.
DEPTH = {"rows": 2, "image": 3}


def digits(kind: str, count: int) -> Data:
    with np.load(EXAMPLES / "mnist" / "test_1000.npz") as held:
        x = (held["x"][:count, :, :, 0] > 0.5).astype(np.float32)
        y = held["y"][:count]
    return Data(
        x if kind == "rows" else np.repeat(x[:, None, None], 12, axis=1), y, "test_1000.npz"
    )


def answers(kind: str) -> tuple[float, FloatArray]:
    with np.load(EXAMPLES / "snntorch" / f"{kind}.npz") as held:
        return float(held["accuracy"]), held["spikes"]


@pytest.mark.parametrize("kind", sorted(DIALECTS))
def test_the_imported_network_spikes_as_in_snntorch(kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = nmcompile.load(
            EXAMPLES / "snntorch" / f"{kind}.nir", dialect=DIALECTS[kind]
        ).network
    found = evaluate_frames(network, digits(kind, 300).x, STEPS[kind])
    _, spikes = answers(kind)
    assert spikes.sum() > 1000
    np.testing.assert_array_equal(np.rint(found * STEPS[kind]), spikes[:300])


@pytest.mark.parametrize("kind", sorted(DIALECTS))
def test_the_chip_is_as_accurate_as_snntorch(kind: str) -> None:
    data = digits(kind, 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = nmcompile.build(
            EXAMPLES / "snntorch" / f"{kind}.nir", dialect=DIALECTS[kind], calibrate=data.x[:64],
            steps=STEPS[kind] + DEPTH[kind],
        )  # fmt: skip
    found = nmcompile.evaluate(program, data)
    accuracy, spikes = answers(kind)
    assert accuracy > 0.95
    assert found.float_accuracy == pytest.approx((spikes.argmax(axis=1) == data.y).mean())
    assert abs(found.accuracy - found.float_accuracy) <= 0.01


def test_diagnose_says_that_only_weights_differ() -> None:
    data = digits("rows", 200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = nmcompile.build(
            EXAMPLES / "snntorch" / "rows.nir", dialect=DIALECTS["rows"], calibrate=data.x[:64],
            steps=30,
        )  # fmt: skip
    found = nmcompile.diagnose(program, data)
    assert [stage.name for stage in found.stages] == ["float", "chip"]
    lossy = [each for each in found.findings if each.kind == "lossy-stage"]
    assert all("only weights differ" in each.remedy for each in lossy)
