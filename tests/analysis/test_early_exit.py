"""Answers before the last step: where the lead is safe, and what that costs."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import nmcompile
from nmcompile.analysis.early_exit import exits, leads, with_margin
from nmcompile.analysis.samples import read_probes, scores_over_time
from nmcompile.backends.emulator import Emulator
from nmcompile.chip.program import Program
from nmcompile.errors import UsageError
from nmcompile.host.data import Data, load_data
from nmcompile.passes.base import NmcompileWarning
from tests.chip.programs import compiled
from tests.networks import small_cnn

MNIST = "examples/mnist"


@pytest.fixture(scope="module")
def program() -> Program:
    calibrate = load_data(f"{MNIST}/calibrate_500.npz").x[:200]
    return nmcompile.build(f"{MNIST}/mnist.keras", calibrate=calibrate, early_exit=0.01)


@pytest.fixture(scope="module")
def data() -> Data:
    return load_data(f"{MNIST}/test_1000.npz", labels=10).first(200)


@pytest.mark.parametrize("read", [{}, {"window": 0.5}, {"synapse_s": 0.01}], ids=str)
def test_the_last_scores_over_time_are_the_scores(read: dict[str, float]) -> None:
    made = compiled(small_cnn(), steps=16)
    changed = replace(made, read_out=replace(made.read_out, **read))  # type: ignore[arg-type]
    x = np.random.default_rng(0).random((5, *made.encoder.input_shape), dtype=np.float32)
    result = Emulator().load(changed).run(x, 16, read_probes(changed))
    over_time = scores_over_time(changed, result)
    assert over_time.shape == (5, 16, result.scores.shape[1])
    assert np.array_equal(over_time[:, -1], result.scores)
    assert (over_time[:, 8] != result.scores).any()


def test_early_answers_save_steps_and_hardly_any_accuracy(program: Program, data: Data) -> None:
    assert program.read_out.margin > 0
    found = nmcompile.evaluate(program, data)
    assert found.early_accuracy is not None
    assert found.early_steps is not None
    assert found.early_steps < 0.8 * found.steps
    assert abs(found.early_accuracy - found.accuracy) <= 0.02


def test_a_higher_margin_answers_later(program: Program, data: Data) -> None:
    result = Emulator().load(program).run(data.x[:50], None, read_probes(program))
    scores = scores_over_time(program, result)
    depth = program.layers[-1].depth
    assert (leads(program, scores)[:, :depth] == 0).all()
    steps = [exits(program, scores, m * program.read_out.margin).steps for m in (0.5, 1, 2, 1e9)]
    assert all((a <= b).all() for a, b in pairwise(steps))
    assert (steps[-1] == program.steps).all()
    last = exits(program, scores, 1e9).answers
    assert np.array_equal(last, result.answers)


def test_without_a_margin_nothing_is_said_of_it() -> None:
    made = compiled(small_cnn(), steps=8)
    x = np.random.default_rng(0).random((6, *made.encoder.input_shape), dtype=np.float32)
    found = nmcompile.evaluate(made, Data(x, np.zeros(6, np.int64), "x"))
    assert found.early_accuracy is None
    assert found.early_steps is None


def test_synthetic_data_say_nothing_about_leads() -> None:
    with pytest.raises(UsageError, match="--early-exit"):
        nmcompile.build(f"{MNIST}/mnist.keras", early_exit=0.01)


def test_the_margin_changes_no_more_answers_than_was_allowed(program: Program) -> None:
    x = load_data(f"{MNIST}/calibrate_500.npz").x[:200]
    plain = replace(program, read_out=replace(program.read_out, margin=0.0))
    again = with_margin(plain, x, 0.01)
    result = Emulator().load(again).run(x, None, read_probes(again))
    found = exits(again, scores_over_time(again, result), again.read_out.margin)
    assert np.mean(found.answers != result.answers) <= 0.01


def test_where_no_lead_is_safe_the_build_says_so(program: Program) -> None:
    x = np.zeros((5, *program.encoder.input_shape), np.float32)
    read = program.read_out
    alike = replace(read, weights=0 * read.weights, bias=0 * read.bias)
    with pytest.warns(NmcompileWarning, match="no lead of a score is safe"):
        assert with_margin(replace(program, read_out=alike), x, 0.0).read_out.margin == 0
