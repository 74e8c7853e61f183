"""`board-image`, and `run` and `eval` on the virtual board."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.support import Command, Files

ROOT = Path(__file__).parents[2]


def test_from_an_image_to_an_evaluation(files: Files, command: Command, tmp_path: Path) -> None:
    folder, result = tmp_path / "image", tmp_path / "result.npz"
    made = command("board-image", files.program, "-o", folder, "--input", files.data, "--limit", 3)
    assert made.status == 0, made.err
    environment = {**os.environ, "NMCOMPILE_PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    runner = [sys.executable, folder / "runner.py", "--board", "virtual", "-o", result]
    subprocess.run(runner, check=True, env=environment)
    words = ("eval", files.program, "--data", files.data, "--limit", 3, "--json")
    board = command(*words, "--backend", f"board:{result}").json
    emulator = command(*words).json
    assert board["backend"] == "board virtual"
    for name in ("accuracy", "layer_spikes", "synaptic_events_per_sample"):
        assert board[name] == emulator[name]


def test_a_run_on_the_virtual_board(files: Files, command: Command, tmp_path: Path) -> None:
    words = ("run", files.program, "--input", files.data, "--limit", 2)
    for name in ("emulator", "board:virtual"):
        output = tmp_path / f"{name[:3]}.npz"
        done = command(*words, "--backend", name, "-o", output)
        assert done.status == 0, done.err
    with np.load(tmp_path / "emu.npz") as emulator, np.load(tmp_path / "boa.npz") as board:
        assert set(board.files) == set(emulator.files)
        for name in board.files:
            if name != "meta":
                np.testing.assert_array_equal(board[name], emulator[name])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--backend", "moon"), "there are emulator, board"),
        (("--backend", "board"), "nxsdk"),
        (("--board-python", "x"), "for boards and Lava"),
    ],
)
def test_a_board_that_is_not_there_is_refused(
    words: tuple[str, ...], said: str, files: Files, command: Command
) -> None:
    command("run", files.program, "--input", files.data, *words).refused(said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--steps", "3"), "give its samples"),
        (("--input", "DATA", "--probe", "nothing:v"), "layers on the chip are"),
    ],
)
def test_an_image_without_sense_is_refused(
    words: tuple[str, ...], said: str, files: Files, command: Command, tmp_path: Path
) -> None:
    given = [str(files.data) if word == "DATA" else word for word in words]
    command("board-image", files.program, "-o", tmp_path / "image", *given).refused(said)


def test_a_file_is_no_folder(files: Files, command: Command) -> None:
    command("board-image", files.program, "-o", files.data).refused("is a file")


def test_other_folders_are_not_filled(files: Files, command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    command("board-image", files.program, "-o", tmp_path).refused("holds other files")


def rehearse(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """The runner of an image, on the virtual board."""
    environment = {**os.environ, "NMCOMPILE_PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, folder / "runner.py", "--board", "virtual", *map(str, words)]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.fixture
def image(files: Files, command: Command, tmp_path: Path) -> Path:
    """An image with a sample."""
    folder = tmp_path / "image"
    command("board-image", files.program, "-o", folder, "--input", files.data, "--limit", 1)
    return folder


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"board_id": 1', '"board_id": 2', "its checksum differs"),
        ('"target"', '"aim"', "its checksum differs"),
        ('"checksum"', '"sum"', "its checksum differs"),
        ('"sha256"', '"sha"', "holds no image.json of an image"),
        ("{", "[{", "cannot be read"),
    ],
)
def test_an_image_json_that_was_edited_is_refused(
    old: str, new: str, said: str, image: Path, tmp_path: Path
) -> None:
    text = (image / "image.json").read_text()
    assert old in text
    (image / "image.json").write_text(text.replace(old, new, 1))
    done = rehearse(image, "-o", tmp_path / "result.npz")
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (1, True, False)
    assert not (tmp_path / "result.npz").exists()


def test_options_of_the_runner_have_limits(image: Path, tmp_path: Path) -> None:
    for words in (("--batch", -1), ("--limit", 0), ("--time-limit", 0), ("--retries", -1)):
        done = rehearse(image, *words, "-o", tmp_path / "result.npz")
        assert (done.returncode, "is below" in done.stderr) == (2, True)
    done = rehearse(image, "--spikes-per-step", 1, "-o", tmp_path / "result.npz")
    assert done.returncode == 1
    assert done.stderr.count("--spikes-per-step is 1") == 1
    assert "start again" not in done.stderr


def test_a_boards_result_is_not_overwritten(
    files: Files, command: Command, image: Path, tmp_path: Path
) -> None:
    result = tmp_path / "result.npz"
    assert rehearse(image, "-o", result).returncode == 0
    before = result.read_bytes()
    words = ("run", files.program, "--input", files.data, "--limit", 1)
    command(*words, "--backend", f"board:{result}", "-o", result).refused("is an input")
    assert result.read_bytes() == before
