"""What goes wrong on a board: nothing is lost, nothing hangs, the board is given back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nmcompile.backends.board.portable import runner
from nmcompile.backends.board.result import BoardResult
from nmcompile.chip.program import Program
from tests.backends.board.cases import case
from tests.backends.board.through import all_probes, assert_equal, emulated, through_board, written

ROOT = Path(__file__).parents[3]
#: The faults of the virtual board that end a run, with a word that the runner then says.
KINDS = {
    "hang": "nothing came from the board",
    "lost": "connection to the board was lost",
    "taken": "taken by another process",
    "exception": "NxSDK failed",
    "short": "of 12 steps",
    "fewer": "the emulator",
    "kill": "status -9",
    "corrupt": "no number of spikes",
}
SAMPLES = 4
#: Those of the quick suite; `slow` has all.
QUICK = ("hang", "kill")
#: Seconds that a sample may take, on machines that do much else too; a hang is waited for.
TIME_LIMIT, HANG_LIMIT = "300", "20"


@pytest.fixture(autouse=True, scope="module")
def _compiled(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Kernels are compiled here, lest a limit on time end the process that compiles them."""
    through_board(*case(11), tmp_path_factory.mktemp("compiled"))


def network() -> tuple[Program, Any]:
    """A small network, and as many different samples."""
    program, x = case(11)
    return program, np.concatenate([x, x[::-1] * 0.7, x * 0.4])[:SAMPLES]


def limit(kind: str) -> str:
    """Seconds that a sample may take where there is such a fault."""
    return HANG_LIMIT if kind == "hang" else TIME_LIMIT


def environment(folder: Path, fault: str) -> dict[str, str]:
    """Where the virtual board keeps its state, and how it fails."""
    state = folder / "state"
    state.mkdir(exist_ok=True)
    return {
        **os.environ,
        "NMCOMPILE_VIRTUAL_FAULT": fault,
        "NMCOMPILE_VIRTUAL_STATE": str(state),
        "PYTHONPATH": str(ROOT),
    }


def start_words(folder: Path, *words: str) -> list[str]:
    """The command that starts the runner."""
    command = [sys.executable, str(folder / "image" / "runner.py"), "--board", "virtual"]
    command += ["-o", str(folder / "result.npz"), "--batch", str(SAMPLES), "--wait", "0.1"]
    return [*command, *words]


def start(folder: Path, *words: str, fault: str = "") -> subprocess.Popen[str]:
    """The runner as a process of its own."""
    command = start_words(folder, *words)
    return subprocess.Popen(
        command, env=environment(folder, fault), stderr=subprocess.PIPE, text=True
    )


def wait_for(happened: Callable[[], bool]) -> None:
    """Wait until something has happened, for a minute at most."""
    end = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def run(folder: Path, *words: str, fault: str = "", status: int = 0) -> str:
    """What the runner says on standard error."""
    process = start(folder, *words, fault=fault)
    said = process.communicate(timeout=600)[1]
    assert process.returncode == status, said
    return said


def assert_whole(folder: Path, program: Program, x: Any) -> None:
    """The result is the emulator's, and nobody holds the board."""
    found = BoardResult(program, folder / "result.npz").take(x, None, all_probes(program))
    assert_equal(found, emulated(program, x))
    assert_given_back(folder)


def assert_given_back(folder: Path) -> None:
    lock = folder / "state" / "board.lock"
    if lock.exists():
        with pytest.raises(ProcessLookupError):
            os.kill(int(lock.read_text()), 0)


@pytest.mark.parametrize("kind", QUICK)
def test_a_fault_costs_no_sample(kind: str, tmp_path: Path) -> None:
    program, x = network()
    written(program, x, tmp_path / "image")
    said = run(tmp_path, "--time-limit", limit(kind), fault=f"{kind}:2")
    assert KINDS[kind] in said
    assert_whole(tmp_path, program, x)
    meta = BoardResult(program, tmp_path / "result.npz").meta
    assert len(meta["trouble"]) == 1
    # What was finished before the fault was not run again.
    runs = (tmp_path / "state" / "runs").stat().st_size
    assert runs == SAMPLES + 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_twenty_faults_of_a_kind_cost_no_sample(kind: str, tmp_path: Path) -> None:
    program, x = network()
    for number in range(20):
        folder = tmp_path / str(number)
        written(program, x, folder / "image")
        run(folder, "--time-limit", limit(kind), fault=f"{kind}:{1 + number % SAMPLES}")
        assert_whole(folder, program, x)


def test_what_fails_again_and_again_is_said_and_the_rest_is_kept(tmp_path: Path) -> None:
    program, x = network()
    written(program, x, tmp_path / "image")
    said = run(tmp_path, "--retries", "0", fault="exception:3", status=runner.STOPPED)
    assert "2 of 4 samples are finished and kept" in said
    assert not (tmp_path / "result.npz").exists()
    run(tmp_path)
    assert_whole(tmp_path, program, x)
    assert (tmp_path / "state" / "runs").stat().st_size == SAMPLES + 1


def test_a_damaged_sample_is_run_again(tmp_path: Path) -> None:
    program, x = network()
    written(program, x, tmp_path / "image")
    run(tmp_path)
    part = tmp_path / "result.npz.parts" / "sample0000001.npz"
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 4
    part.write_bytes(data)
    run(tmp_path)
    assert_whole(tmp_path, program, x)
    assert (tmp_path / "state" / "runs").stat().st_size == SAMPLES + 1


@pytest.mark.slow
def test_samples_of_another_image_are_not_taken(tmp_path: Path) -> None:
    program, x = network()
    written(program, x, tmp_path / "image")
    run(tmp_path)
    written(program, x[::-1], tmp_path / "image")
    run(tmp_path)
    assert_whole(tmp_path, program, x[::-1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_runner_that_is_stopped_gives_the_board_back_and_goes_on_later(
    number: signal.Signals, tmp_path: Path
) -> None:
    program, x = network()
    written(program, x, tmp_path / "image")
    process = start(tmp_path, fault="hang:3")
    parts = tmp_path / "result.npz.parts"
    runs = tmp_path / "state" / "runs"
    wait_for(lambda: runs.exists() and runs.stat().st_size == 3)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == runner.STOPPED
    assert f"error: ended from outside (signal {number.value})" in said
    assert "Traceback" not in said
    assert_given_back(tmp_path)
    assert len(list(parts.glob("*.sha256"))) == 2
    run(tmp_path)
    assert_whole(tmp_path, program, x)


def test_a_runner_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    program, x = network()
    written(program, x, tmp_path / "image")
    log = tmp_path / "log"
    command = start_words(tmp_path, "--with-parent")
    parent = subprocess.Popen(
        [sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[2:], "
         "stderr=open(sys.argv[1], 'w'))", str(log), *command],
        env=environment(tmp_path, "hang:1"),
    )  # fmt: skip
    wait_for(lambda: (tmp_path / "state" / "runs").exists())
    parent.kill()
    parent.wait()
    wait_for(lambda: "the process that started the runner has ended" in log.read_text())
    assert_given_back(tmp_path)


@pytest.mark.slow
def test_a_board_that_always_loses_spikes_is_told_on_but_its_result_kept(tmp_path: Path) -> None:
    program, x = network()
    image = written(program, x, tmp_path / "image")
    spikes = dict(image.spikes)
    spikes["expected"] = spikes["expected"] + 1
    np.savez(tmp_path / "more.npz", **spikes)
    run(tmp_path, "--retries", "1", "--spikes", str(tmp_path / "more.npz"))
    meta = BoardResult(program, tmp_path / "result.npz").meta
    assert len(meta["lacking"]) == SAMPLES
    assert json.dumps(meta["trouble"]).count("the emulator") == 1
