"""An evaluation that is stopped: what was done is kept, and the rest gives the same result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nmcompile.analysis import evaluation
from nmcompile.backends.emulator import EmulatorSession
from tests.cli.support import Command, Files

#: Timing differs from run to run.
TIMES = {"seconds", "samples_per_second", "steps_per_second"}


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "BATCH", 4)


def stop_after(batches: int, patch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C when so many batches are done."""
    run, done = EmulatorSession.run, []

    def interrupted(
        self: EmulatorSession, inputs: np.ndarray, *words: object, **more: object
    ) -> object:
        if len(inputs):  # a run without samples only warms up
            if len(done) == batches:
                raise KeyboardInterrupt
            done.append(1)
        return run(self, inputs, *words, **more)  # type: ignore[arg-type]

    patch.setattr(EmulatorSession, "run", interrupted)


@pytest.mark.parametrize("batches", [0, 1, 2])
def test_an_interrupted_evaluation_goes_on_where_it_was(
    command: Command,
    files: Files,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    batches: int,
) -> None:
    words = ("eval", files.program, "--data", files.data, "--json")
    whole = command(*words).json
    resume = tmp_path / "half"
    with monkeypatch.context() as patch:
        stop_after(batches, patch)
        stopped = command(*words, "--resume", resume)
    assert stopped.status == 130
    assert stopped.out == ""
    assert stopped.err == "interrupted\n"
    if batches:
        with np.load(resume, allow_pickle=False) as file:
            assert len(file["answers"]) == 4 * batches
    with monkeypatch.context() as patch:
        stop_after(3 - batches, patch)
        resumed = command(*words, "--resume", resume)
    assert resumed.status == 0, "batches that were done ran again"
    for key in set(whole) - TIMES:
        assert resumed.json[key] == whole[key], key


def test_a_finished_evaluation_is_not_run_again(
    command: Command, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("eval", files.program, "--data", files.data, "--json", "--resume", tmp_path / "r")
    first = command(*words).json
    stop_after(0, monkeypatch)
    assert command(*words).json == first


def test_a_resume_file_of_another_evaluation_is_refused_and_kept(
    command: Command, files: Files, tmp_path: Path
) -> None:
    resume, other = tmp_path / "r", tmp_path / "other.npz"
    np.savez(other, x=files.x[::-1], y=files.y)
    words = ("eval", files.program, "--resume", resume)
    assert command(*words, "--data", files.data).status == 0
    content = resume.read_bytes()
    net = tmp_path / "net.nmc"
    build = ("build", files.model, "--calibrate", files.calibrate, "-o", net, "--steps", "13")
    assert command(*build).status == 0
    for changed in (
        (*words, "--data", other),
        (*words, "--data", files.data, "--steps", "7"),
        (*words, "--data", files.data, "--limit", "5"),
        ("eval", net, "--data", files.data, "--steps", "12", "--resume", resume),
    ):
        command(*changed).refused("--resume", "another Program, data file", status=(2,))
        assert resume.read_bytes() == content


def test_any_other_file_is_refused_as_a_resume_file_and_kept(
    command: Command, files: Files, tmp_path: Path
) -> None:
    words = ("eval", files.program, "--data", files.data, "--resume")
    resume = tmp_path / "r"
    assert command(*words, resume).status == 0
    whole = resume.read_bytes()
    for content in (b"", b"notes", whole[:100], whole[:-30], files.data.read_bytes()):
        resume.write_bytes(content)
        command(*words, resume).refused("not a file of an interrupted evaluation", status=(2,))
        assert resume.read_bytes() == content
