"""The page on comparing runs: its commands run, and its first line has the form that is printed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from nmcompile.cli.app import main
from tests.chip.programs import small_program
from tests.docs.pages import run_commands

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "compare.md").read_text("utf-8")


def test_its_commands_run_and_print_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    program = small_program()
    program.save("net.nmc")
    x = np.random.default_rng(0).random((2, *program.encoder.input_shape), dtype=np.float32)
    np.savez("data.npz", x=x)
    page = PAGE.replace("conv1:", f"{program.layers[0].name}:")
    run, compare = re.findall(r"^    python -m nmcompile .*$", page, re.M)
    assert run_commands(run) == 1
    with np.load("emulator.npz") as held:
        arrays = dict(held)
    np.savez("board.npz", **arrays)
    assert run_commands(compare) == 1
    arrays[f"probe/{program.layers[0].name}:v"][1, 7, 5] -= 64
    np.savez("board.npz", **arrays)
    capsys.readouterr()
    assert main(["compare", "emulator.npz", "board.npz"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    shown = next(line for line in PAGE.splitlines() if line.startswith("    first differs"))
    shown = shown.strip().replace("conv1", program.layers[0].name)
    numbers = re.compile(r"-?\d+")
    assert printed.startswith(numbers.sub("{}", shown).format(*numbers.findall(printed))), printed
