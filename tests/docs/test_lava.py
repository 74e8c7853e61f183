"""The page on Lava: its commands of nmcompile run, and its snippet names what there is."""

from __future__ import annotations

import ast
import importlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.chip.programs import small_program
from tests.docs.pages import commands, python_blocks, run_commands

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "lava.md").read_text("utf-8")


def test_its_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    program = small_program()
    program.save("net.nmc")
    np.savez("data.npz", x=np.zeros((6, *program.encoder.input_shape), np.float32))
    page = PAGE.replace("conv1:", f"{program.layers[0].name}:")
    export, run, compare, *others = commands(page)
    assert all("--backend lava --board-python PYTHON" in each for each in others)
    assert run_commands(f"    {export}\n    {run}") == 2
    assert (tmp_path / "exported" / "run.py").is_file()
    shutil.copy("emulator.npz", "lava.npz")
    assert run_commands(f"    {compare}") == 1


def test_its_snippet_imports_what_there_is() -> None:
    (block,) = python_blocks(PAGE)
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            assert all(hasattr(module, each.name) for each in node.names)
    call = next(node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call)
                and getattr(node.func, "id", "") == "Lava")  # fmt: skip
    module.Lava(**{each.arg: ast.literal_eval(each.value) for each in call.keywords})
