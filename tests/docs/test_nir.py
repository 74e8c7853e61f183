"""The page on NIR: its commands run, its Python is valid, and its tables are whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from nmcompile.frontends.nir.dialects import DIALECTS
from nmcompile.frontends.nir.registry import CONVERTERS
from tests.docs.pages import python_blocks, run_commands

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "nir.md").read_text("utf-8")
MODELS = ROOT / "tests" / "frontends" / "nir_models"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the page speaks of; labels are what the tool answers."""
    shutil.copy(MODELS / "snntorch_image.nir", tmp_path / "model.nir")
    with np.load(MODELS / "snntorch_image.npz") as held:
        x, y = held["x"].astype(np.float32), held["spikes"].sum(axis=1).argmax(axis=1)
    for name in ("data.npz", "test.npz"):
        np.savez(tmp_path / name, x=x, y=y)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_its_commands_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_commands(PAGE) == 4
    shown = capsys.readouterr()
    assert "no obstacles" in shown.out
    assert "chip accuracy" in shown.out
    assert (folder / "copy.nir").is_file()
    assert "warning: model.nir: assumed: a time step is 0.0001 s" in shown.err


def test_its_snippets_run_or_are_python(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, *others = python_blocks(PAGE)
    with pytest.warns(match="assumed"):
        exec(first, {})
    assert "Conv2d" in capsys.readouterr().out
    for block in others:
        compile(block, "nir.md", "exec")


def test_every_node_and_dialect_is_on_the_page() -> None:
    names = (*CONVERTERS, *DIALECTS, "Input", "Output", "NIRGraph")
    assert [name for name in names if f"`{name}`" not in PAGE] == []
