"""Boards as backends: runs, evaluations, results that were carried back, and what is refused."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nmcompile.analysis.evaluation import evaluate_program
from nmcompile.backends.base import Probe
from nmcompile.backends.board.backend import BoardBackend, BoardWarning, RecordedBackend
from nmcompile.backends.choose import chosen_backend
from nmcompile.backends.emulator import Emulator
from nmcompile.chip.program import Program
from nmcompile.errors import BoardError, UsageError
from nmcompile.host.data import Data
from tests.backends.board.cases import case
from tests.backends.board.through import all_probes, assert_equal, emulated, through_board


def network() -> tuple[Program, Any]:
    return case(11)


def test_an_evaluation_on_the_virtual_board_is_the_emulators(tmp_path: Path) -> None:
    program, x = network()
    data = Data(x.astype(np.float32), np.zeros(len(x), np.int64), "data.npz")
    board = evaluate_program(program, data, BoardBackend("virtual"))
    emulator = evaluate_program(program, data, Emulator())
    assert board.backend == "board virtual"
    for name in ("accuracy", "spikes_per_sample", "layer_spikes", "synaptic_events_per_sample"):
        assert getattr(board, name) == getattr(emulator, name)


def test_a_result_that_was_carried_back_is_a_backend(tmp_path: Path) -> None:
    program, x = network()
    through_board(program, x, tmp_path)
    session = RecordedBackend(tmp_path / "result.npz").load(program)
    assert_equal(session.run(x, probes=all_probes(program)), emulated(program, x))
    second = session.run(x[1:], first=1)
    np.testing.assert_array_equal(second.scores, emulated(program, x).scores[1:])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: {"inputs": x[::-1]}, "other spikes"),
        (lambda x: {"inputs": x, "steps": 3}, "12 steps a sample, 3"),
        (lambda x: {"inputs": np.concatenate([x, x])}, "2 samples, 4"),
        (lambda x: {"inputs": x, "probes": [Probe("nothing", "v")]}, "no such layer"),
    ],
)
def test_a_result_of_something_else_is_refused(change: Any, words: str, tmp_path: Path) -> None:
    program, x = network()
    through_board(program, x, tmp_path)
    session = RecordedBackend(tmp_path / "result.npz").load(program)
    with pytest.raises((BoardError, UsageError), match=words):
        session.run(**change(x))


def test_a_result_of_another_program_is_refused(tmp_path: Path) -> None:
    program, x = network()
    through_board(program, x, tmp_path)
    core = program.cores[0]
    bias = core.compartments.bias_mantissa.copy()
    bias[0] += 1
    changed = replace(core, compartments=replace(core.compartments, bias_mantissa=bias))
    other = replace(program, cores=(changed, *program.cores[1:]))
    with pytest.raises(BoardError, match="another Program"):
        RecordedBackend(tmp_path / "result.npz").load(other)


def test_no_result_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"PK nothing")
    for name in ("x.npz", "missing.npz"):
        with pytest.raises(BoardError, match="not a result of a board"):
            RecordedBackend(tmp_path / name).load(network()[0])


def test_without_nxsdk_one_sentence_says_who_can_get_it() -> None:
    with pytest.raises(BoardError, match=r"no nxsdk.*Intel's Neuromorphic Research Community"):
        BoardBackend(python=sys.executable).load(network()[0])
    with pytest.raises(BoardError, match="cannot be run"):
        BoardBackend(python="/no/such/python").load(network()[0])


def test_what_failed_goes_on_in_the_folder_that_the_message_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, x = network()
    monkeypatch.setenv("NMCOMPILE_VIRTUAL_STATE", str(tmp_path))
    monkeypatch.setenv("NMCOMPILE_VIRTUAL_FAULT", "exception:2")
    with pytest.raises(BoardError, match="1 of 2 samples are finished") as caught:
        BoardBackend("virtual", retries=0).load(program).run(x)
    found = re.search(r"--board-work (\S+)", str(caught.value))
    assert found is not None
    backend = BoardBackend("virtual", work=Path(found[1]))
    result = backend.load(program).run(x)
    np.testing.assert_array_equal(result.scores, emulated(program, x).scores)
    assert (tmp_path / "runs").stat().st_size == len(x) + 1
    backend.load(program).run(x[:1])
    backend.load(program).run(x)
    assert (tmp_path / "runs").stat().st_size == len(x) + 2


def test_what_was_got_over_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, x = network()
    monkeypatch.setenv("NMCOMPILE_VIRTUAL_STATE", str(tmp_path))
    monkeypatch.setenv("NMCOMPILE_VIRTUAL_FAULT", "lost:1")
    with pytest.warns(BoardWarning, match="connection to the board was lost"):
        BoardBackend("virtual", wait=0.1).load(program).run(x)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("cloud", {}, "there are emulator, board"),
        ("emulator:x", {}, "there are emulator, board"),
        ("board:x", {}, "there are emulator, board"),
        ("board", {"jobs": 2}, "for the emulator"),
        ("emulator", {"python": "p"}, "for boards and Lava"),
        ("board:x.npz", {"python": "p"}, "only reads a file"),
    ],
)
def test_backends_that_make_no_sense_are_refused(
    name: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        chosen_backend(name, **options)


def test_backends_are_chosen_by_name() -> None:
    assert chosen_backend("emulator", jobs=3, seed=2).seed == 2  # type: ignore[attr-defined]
    assert chosen_backend("board") == BoardBackend("N2")
    assert chosen_backend("board:virtual", python="p") == BoardBackend("virtual", python="p")
    assert chosen_backend("board:a/b.npz") == RecordedBackend(Path("a/b.npz"))
