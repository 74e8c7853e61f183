"""The page on lava-dl networks shows commands and code that run, and lists what there is."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from nmcompile.frontends.lava.registry import CONVERTERS, REFUSED
from tests.docs.pages import python_blocks, run_commands

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "lava-dl.md").read_text("utf-8")
MODELS = ROOT / "tests" / "frontends" / "lava_models"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the page takes for granted."""
    shutil.copy(MODELS / "slayer_input.net", tmp_path / "model.net")
    with np.load(MODELS / "slayer_input.npz") as held:
        np.savez(tmp_path / "data.npz", x=held["x"].astype(np.float32), y=np.zeros(2, np.int64))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_its_commands_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_commands(PAGE.replace("dense_1:v", "dense_3:v")) == 4
    shown = capsys.readouterr()
    assert "no obstacles" in shown.out
    assert "chip accuracy" in shown.out
    assert "warning: model.net: assumed: input_0" in shown.err
    assert (folder / "out.npz").is_file()


def test_its_snippet_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = python_blocks(PAGE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(block, {})
    assert capsys.readouterr().out.strip() == "(2, 4)"


def test_every_layer_is_on_the_page() -> None:
    assert [name for name in (*CONVERTERS, *REFUSED) if f"`{name}`" not in PAGE] == []
