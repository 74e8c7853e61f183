"""Samples in one run, with a SNIP that puts the chips back between them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nmcompile.backends.board.backend import BoardBackend
from nmcompile.backends.board.portable import runner, virtual_board
from nmcompile.chip.core import InitialVoltages
from nmcompile.chip.program import Program
from tests.backends.board.cases import case, ring
from tests.backends.board.through import (
    VIRTUAL,
    assert_equal,
    emulated,
    through_board,
    written,
)

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler, cc")


def several(number: int, samples: int = 4) -> tuple[Program, Any]:
    """A Program of a case, and several different samples."""
    program, x = case(number)
    parts = [x * scale for scale in (1, 0.5, 0.25, 0.75)]
    return program, np.concatenate(parts)[:samples]


def with_first_voltages(program: Program) -> Program:
    """The same with voltages that samples begin with, on two cores."""
    cores = [
        replace(
            core,
            initial_voltages=InitialVoltages.of(
                compartment=np.arange(0, len(core.compartments), 3),
                voltage=np.arange(0, len(core.compartments), 3) * 100 - 500,
            ),
        )
        for core in program.cores[:2]
    ]
    return replace(program, cores=(*cores, *program.cores[2:]))


@pytest.mark.parametrize("number", [0, 1, 2, 3, 5, 6])
def test_samples_of_one_run_are_as_each_alone(number: int, tmp_path: Path) -> None:
    program, x = several(number)
    program = with_first_voltages(program)
    assert_equal(through_board(program, x, tmp_path, together=True), emulated(program, x))


def test_all_chips_are_reset(tmp_path: Path) -> None:
    program, x = ring(4, 4)
    x = np.concatenate([x, x[:, ::-1]])
    assert_equal(through_board(program, x, tmp_path, together=True), emulated(program, x))


def test_a_backend_runs_batches_in_one_go() -> None:
    program, x = several(11)
    found = BoardBackend("virtual", batch=2, reset="snip").load(program).run(x)
    np.testing.assert_array_equal(found.scores, emulated(program, x).scores)


@pytest.mark.parametrize(
    "line",
    [
        "nx_fast_init64(core->cx_state, COMPARTMENTS, still_word);",
        "nx_fast_init32(core->dendrite_accum, ACCUMULATOR_WORDS, 0);",
        "nx_fast_init32(core->cx_meta_state, COMPARTMENTS / 4, idle_word);",
        "core->cx_state[first_voltages[k][1]].V = first_voltages[k][2];",
    ],
)
def test_a_snip_that_leaves_something_behind_is_noticed(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, x = several(0)
    image = written(with_first_voltages(program), x, tmp_path)
    source = (tmp_path / "reset_snip.c").read_text()
    assert line in source
    names = "(void)still_word; (void)idle_word;" if "init" in line else "(void)core;"
    (tmp_path / "reset_snip.c").write_text(source.replace(line, names))
    monkeypatch.setattr(runner, "__file__", str(tmp_path / "runner.py"))
    with pytest.raises(virtual_board.SnipError, match="not that of power-on"):
        runner.run_samples(image, VIRTUAL, [0, 1])


def test_a_snip_with_a_mistake_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, x = several(0)
    image = written(program, x, tmp_path)
    (tmp_path / "reset_snip.c").write_text("int nmcompile_due( {")
    monkeypatch.setattr(runner, "__file__", str(tmp_path / "runner.py"))
    with pytest.raises(virtual_board.SnipError, match="does not compile"):
        runner.run_samples(image, VIRTUAL, [0, 1])


def test_more_spikes_than_a_chip_takes_in_a_step_are_refused(tmp_path: Path) -> None:
    program, x = several(11)
    image = written(program, x, tmp_path)
    with pytest.raises(runner.RunError, match="--spikes-per-step is 2"):
        runner.run_samples(image, VIRTUAL, [0], 2)
    assert runner.run_samples(image, VIRTUAL, [0], 10_000)
