"""The page on ONNX: its commands run, its Python is valid, and its table is whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

from nmcompile.cli.app import main
from nmcompile.frontends.onnx.constants import FOLDS
from nmcompile.frontends.onnx.graph import NEWEST, OLDEST
from nmcompile.frontends.onnx.registry import OPERATORS
from tests.docs.pages import python_blocks, run_commands

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "onnx.md").read_text("utf-8")
MODELS = ROOT / "tests" / "frontends" / "onnx_models"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the page speaks of."""
    shutil.copy(MODELS / "torch_dynamo_cnn.onnx", tmp_path / "model.onnx")
    rng = np.random.default_rng(0)
    for name in ("data.npz", "test.npz"):
        x = rng.random((20, 1, 16, 15), np.float32)
        np.savez(tmp_path / name, x=x, y=rng.integers(0, 10, 20))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_its_commands_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_commands(PAGE) == 3
    shown = capsys.readouterr().out
    assert "no obstacles" in shown
    assert "chip accuracy" in shown


def test_a_model_in_memory_loads(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(python_blocks(PAGE)[0], {})
    assert "Conv2d" in capsys.readouterr().out


def test_its_other_snippets_are_python() -> None:
    for block in python_blocks(PAGE):
        compile(block, "onnx.md", "exec")


def test_every_operator_is_on_the_page() -> None:
    assert [name for name in (*OPERATORS, *FOLDS) if f"`{name}`" not in PAGE] == []
    assert f"Opsets {OLDEST} to {NEWEST}." in PAGE


def test_samples_of_another_layout_are_refused_with_the_right_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(folder / "last.npz", x=np.zeros((20, 16, 15, 1), np.float32))
    assert main(["build", "model.onnx", "--calibrate", "last.npz", "-o", "net.nmc"]) == 1
    assert "has shape (16, 15, 1), the network takes (1, 16, 15)" in capsys.readouterr().err


def test_a_model_that_cannot_be_compiled_is_told_in_full(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnx

    model = onnx.load("model.onnx")
    for node in model.graph.node:
        if node.op_type == "Relu":
            node.op_type = "Tanh"
    onnx.save(model, "model.onnx")
    assert main(["check", "model.onnx"]) == 1
    shown = capsys.readouterr().out
    assert "2 obstacles" in shown
    assert shown.count("Tanh") == 2
