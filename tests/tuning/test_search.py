"""A search finds points, keeps them through stops and kills, and its commands build them."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nmcompile
from nmcompile.chip.file import program_checksum
from nmcompile.cli.app import main
from nmcompile.errors import CompileError, UsageError
from nmcompile.host.data import load_data
from nmcompile.tuning import Tuning, judge, space, split, storage, study, workers
from tests.cli.support import MODEL

optuna = pytest.importorskip("optuna")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two first trials, one random, and then those that learn."""
    monkeypatch.setattr(space, "KNOWN_GOOD", space.KNOWN_GOOD[1:2])
    monkeypatch.setattr(study, "STARTUP", 3)
    monkeypatch.setattr(judge, "FEWEST", 20)


def tune(data: Path, storage: Path, trials: int = 4, **options: Any) -> Tuning:
    options = {"jobs": 1, "limit": 120, "allowed_loss": 0.05, "objective": "spikes", **options}
    return nmcompile.tune(MODEL, data, storage=storage, trials=trials, **options)


def kept_trials(path: Path) -> list[Any]:
    log = optuna.storages.journal.JournalFileBackend(str(path))
    store = optuna.storages.JournalStorage(log)
    return optuna.load_study(study_name=storage.STUDY, storage=store).trials


def alike(found: Tuning) -> list[tuple[Any, ...]]:
    """What must not depend on the file, nor on which number a trial has after a stop."""
    return [(each.measured, sorted(each.settings.items())) for each in found.points]


def test_equal_seeds_give_equal_points_also_after_a_stop(data: Path, tmp_path: Path) -> None:
    whole = tune(data, tmp_path / "a", trials=5)
    tune(data, tmp_path / "b", trials=4)
    again = tune(data, tmp_path / "b", trials=5)
    assert alike(again) == alike(whole)
    assert [each.params for each in kept_trials(tmp_path / "a")] == [
        each.params for each in kept_trials(tmp_path / "b")
    ]
    before = (tmp_path / "b").read_bytes()
    assert tune(data, tmp_path / "b", trials=2) == again
    assert (tmp_path / "b").read_bytes() == before, "nothing was left to do"


def test_the_command_of_each_point_builds_it(data: Path, tmp_path: Path) -> None:
    found = tune(data, tmp_path / "s", trials=5)
    parts = split.split_data(load_data(data, labels=5), None, 120, seed=0)
    assert found.checked == len(parts.check) == 120
    for point in found.points:
        words = list(point.command)
        assert words[:4] == ["python", "-m", "nmcompile", "build"]
        words[-1] = str(tmp_path / "net.nmc")
        assert main(words[3:]) == 0
        program = nmcompile.Program.load(tmp_path / "net.nmc")
        calibrate = tmp_path / "s.calibrate.npz"
        same = nmcompile.build(MODEL, calibrate=calibrate, **point.options)
        assert program_checksum(same) == program_checksum(program)
        judged = nmcompile.evaluate(program, parts.check)
        assert judged.accuracy == point.measured.accuracy
        assert judged.lost == point.measured.lost
        assert judged.spikes_per_sample == pytest.approx(point.measured.spikes, rel=1e-12)
        assert (judged.cores, judged.steps) == (point.measured.cores, point.measured.steps)


def test_a_setting_without_a_program_ends_nothing(data: Path, tmp_path: Path) -> None:
    found = tune(data, tmp_path / "s", trials=4, fixed={"refractory": 0.003}, allowed_loss=0.9)
    assert found.trials == 4
    assert {0, 1} <= set(found.failures)
    assert found.usual is None
    assert "refractory period of 0.003 s allows at most 250 Hz" in found.failures[0]
    assert found.points


def test_a_search_without_any_program_says_why(data: Path, tmp_path: Path) -> None:
    fixed = {"refractory": 0.003, "max_rate": 900.0}
    with pytest.raises(CompileError, match="none of 2 trials .* refractory period"):
        tune(data, tmp_path / "s", trials=2, fixed=fixed)


def test_what_is_clearly_worse_is_stopped_early(data: Path, tmp_path: Path) -> None:
    fixed = {"threshold_gain": 2.0, "steps": 6}
    found = tune(data, tmp_path / "s", trials=5, fixed=fixed, allowed_loss=0.0)
    first, *rest = (each.user_attrs for each in kept_trials(tmp_path / "s"))
    usual = first["measured"]
    others = [each["measured"] for each in rest if each["settings"] != first["settings"]]
    assert not usual["stopped"], "it is what the others are compared with"
    assert found.stopped == sum(each["stopped"] for each in others) > 0
    for each in others:
        assert each["stopped"] == (each["samples"] < 120) == (each["lost_low"] > study.MARGIN)


def test_processes_find_what_one_finds_though_one_is_killed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = tune(data, tmp_path / "alone", trials=2)
    started = []
    start = workers.Workers._start

    def first_is_killed(self: workers.Workers) -> Any:
        process = start(self)
        started.append(process)
        if len(started) == 1:
            process.kill()
        return process

    monkeypatch.setattr(workers.Workers, "_start", first_is_killed)
    found = tune(data, tmp_path / "s", trials=2, jobs=2)
    assert (found.trials, found.failures) == (2, {})
    assert alike(found) == alike(alone)
    assert len(started) == 3
    assert all(process.poll() is not None for process in started), "none is left behind"


def test_a_setting_that_kills_its_process_counts_as_failed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def died(self: workers.Workers, request: judge.Request) -> Future[Any]:
        result: Future[Any] = Future()
        result.set_exception(workers.WorkerDied())
        return result

    monkeypatch.setattr(workers.Workers, "submit", died)
    with pytest.raises(CompileError, match=r"killed, perhaps for its memory \(2 times\)"):
        tune(data, tmp_path / "s", trials=1)


def test_ctrl_c_keeps_what_is_done(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s"
    whole = tune(data, tmp_path / "whole", trials=5)
    real, calls = workers.judge, []

    def interrupted(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(workers, "judge", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tune(data, path, trials=5)
    assert sum(each.state.is_finished() for each in kept_trials(path)) == 3
    found = tune(data, path, trials=5)
    assert found.trials == 5
    assert alike(found) == alike(whole)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_a_killed_search_goes_on(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "s"
    words = ["tune", MODEL, "--data", data, "--storage", path, "--jobs", 2, "--trials", 500]
    options = ["--limit", 120, "--objective", "spikes", "--allowed-loss", 5]
    process = subprocess.Popen(
        [sys.executable, "-m", "nmcompile", *map(str, words), *map(str, options)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not path.exists() or path.read_bytes().count(b'"measured"') < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = path.read_bytes().count(b'"measured"')
    found = tune(data, path, trials=done + 1)
    assert found.trials == done + 1
    assert found.points


def test_a_search_killed_in_its_first_trial_keeps_what_it_compares_with(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(workers, "judge", killed)
        with pytest.raises(KeyboardInterrupt):
            tune(data, tmp_path / "s", trials=2)
    assert kept_trials(tmp_path / "s")[0].state.name == "RUNNING"
    found = tune(data, tmp_path / "s", trials=2)
    assert found.usual is not None
    assert found.usual.trial > 0
    assert found.usual.measured == tune(data, tmp_path / "t", trials=2).usual.measured


def test_a_point_that_cannot_be_checked_is_left_out(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tune(data, tmp_path / "a")
    submit = workers.Workers.submit

    def fails(self: workers.Workers, request: judge.Request) -> Future[Any]:
        if request.checking and (everything or request.settings == whole.best.settings):
            result: Future[Any] = Future()
            result.set_result(judge.Failure("out of memory"))
            return result
        return submit(self, request)

    monkeypatch.setattr(workers.Workers, "submit", fails)
    everything = True
    with pytest.raises(CompileError, match="could be judged anew: out of memory"):
        tune(data, tmp_path / "s")
    everything = False
    found = tune(data, tmp_path / "s")
    assert whole.best.settings not in [point.settings for point in found.points]
    assert found.points


def test_frames_over_time_are_tuned_with_a_step_for_each(data: Path, tmp_path: Path) -> None:
    with np.load(data) as file:
        x, y = file["x"], file["y"]
    path = tmp_path / "frames.npz"
    np.savez(path, x=np.repeat(x[:, None], 20, axis=1), y=y)
    found = tune(path, tmp_path / "s", trials=3, allowed_loss=0.5)
    assert not found.failures
    assert all(point.measured.steps >= 20 for point in found.points)


def test_a_file_of_another_search_is_refused_and_kept(data: Path, tmp_path: Path) -> None:
    path, other = tmp_path / "s", tmp_path / "other.npz"
    tune(data, path, trials=1)
    content = path.read_bytes()
    with np.load(data) as file:
        np.savez(other, x=file["x"][::-1], y=file["y"][::-1])
    for changed, words in (
        ({"objective": "latency"}, "objective"),
        ({"fixed": {"steps": 16}}, "set of options"),
        ({"data": other}, "data"),
        ({"seed": 1}, "seed"),
        ({"limit": 100}, "data"),
    ):
        with pytest.raises(UsageError, match=f"another {words}"):
            tune(**{"data": data, "storage": path, **changed})
        assert path.read_bytes() == content


def test_given_calibration_data_are_used_and_named(data: Path, tmp_path: Path) -> None:
    other = tmp_path / "calibrate.npz"
    with np.load(data) as file:
        np.savez(other, x=file["x"][:40])
    found = tune(data, tmp_path / "s", trials=1, calibrate=other)
    assert str(other) in found.best.command
    assert found.checked == 240
    assert sorted(each.name for each in tmp_path.iterdir()) == ["calibrate.npz", "s"]


def test_without_a_loss_that_is_kept_the_least_is_best(data: Path, tmp_path: Path) -> None:
    found = tune(data, tmp_path / "s", trials=2, fixed={"steps": 4}, allowed_loss=0.0)
    assert not found.met
    assert found.best.measured.lost == min(each.measured.lost for each in found.points)


def test_accuracy_needs_no_allowed_loss(data: Path, tmp_path: Path) -> None:
    found = tune(data, tmp_path / "s", trials=3, objective="accuracy", allowed_loss=0.0)
    assert found.met
    assert found.usual is not None
    every = [each.measured.accuracy for each in (*found.points, found.usual)]
    assert found.best.measured.accuracy == max(every)


def test_optuna_that_is_missing_is_named(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UsageError, match=r"pip install 'nmcompile\[tune\]'"):
        tune(data, tmp_path / "s")
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:.*assumed")
def test_a_nir_file_is_tuned_in_its_dialect(tmp_path: Path) -> None:
    model = MODEL.parents[1] / "nir_models" / "norse_dense.nir"
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x=rng.random((120, 12), np.float32), y=rng.integers(0, 6, 120))
    found = nmcompile.tune(
        model, tmp_path / "d.npz", storage=tmp_path / "s", dialect="norse", trials=2, jobs=1
    )
    words = shlex.split(found.best.command_line)
    assert words[words.index("--dialect") + 1] == "norse"
    with pytest.raises(UsageError, match="another dialect"):
        nmcompile.tune(
            model, tmp_path / "d.npz", storage=tmp_path / "s", dialect="nir",
            fixed={"dt": 1e-3}, trials=2, jobs=1,
        )  # fmt: skip
