"""The page on the way to a board: what can be done without one runs, with the virtual board."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nmcompile.cli.app import main
from tests.docs.pages import commands, run_commands

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "inrc.md").read_text("utf-8")
MODELS = ROOT / "tests" / "frontends" / "models"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the page speaks of."""
    shutil.copy(MODELS / "cnn.keras", tmp_path / "model.keras")
    with np.load(MODELS / "cnn.npz") as held:
        shape, classes = held["x"].shape[1:], held["y"].shape[1]
    rng = np.random.default_rng(0)
    x = rng.random((20, *shape), dtype=np.float32)
    for name in ("data.npz", "test.npz"):
        np.savez(tmp_path / name, x=x, y=rng.integers(0, classes, len(x)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_its_commands_run_without_a_board(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = PAGE.replace("conv1:v", "re_lu:v")
    for part in ("## At home", "## Loihi 1"):
        text = page.partition(part)[2].partition("\n## ")[0]
        for command in commands(text):
            if "board:result.npz" in command and not Path("result.npz").exists():
                words = ["image/runner.py", "--board", "virtual", "-o", "result.npz"]
                subprocess.run([sys.executable, *words], check=True, capture_output=True)
            assert run_commands(f"    {command}") == 1
    shown = capsys.readouterr().out
    assert "equal in 5 samples" in shown
    assert "emulator.npz, virtual.npz" in shown
    assert "emulator.npz, board.npz" in shown


def test_options_of_the_other_commands_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    for part in ("## Loihi 2", "## Report the first run on silicon"):
        found = commands(PAGE.partition(part)[2].partition("\n## ")[0])
        assert found
        for command in found:
            name, *words = command.split()[3:]
            assert main([name, "--help"]) == 0
            text = capsys.readouterr().out
            assert [word for word in words if word.startswith("--") and word not in text] == []
