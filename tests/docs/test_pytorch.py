"""The pages on PyTorch, snnTorch and Norse: their code and commands run; needs these tools."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nmcompile.chip.program import Program
from tests.docs.pages import python_blocks, run_commands

HOW_TO = Path(__file__).resolve().parents[2] / "docs" / "how-to"
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("default")]


def samples(seed: int, shape: tuple[int, ...], classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Bright bars, one place for each class, in noise."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, 60)
    x = rng.uniform(0, 0.3, (60, *shape)).astype(np.float32)
    flat = x.reshape(60, classes, -1)
    flat[np.arange(60), y] += 0.6
    return x, y


@pytest.fixture
def names(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: Any) -> dict[str, Any]:
    """Names that the pages take for granted, and the folder with the data files."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    monkeypatch.chdir(tmp_path)
    shape, classes = request.param
    found = {}
    for seed, part in enumerate(("train", "test")):
        x, y = samples(seed, shape, classes)
        np.savez(tmp_path / f"{part}.npz", x=x, y=y)
        found |= {f"x_{part}": torch.from_numpy(x), f"y_{part}": torch.from_numpy(y)}
    return found


def run(page: str, names: dict[str, Any]) -> None:
    for block in python_blocks(page):
        exec(block, names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run_commands(page)


@pytest.mark.parametrize("names", [((1, 30, 30), 10)], indirect=True)
def test_pytorch(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxscript")
    run((HOW_TO / "pytorch.md").read_text("utf-8"), names)
    assert " float, " in capsys.readouterr().out
    assert names["found"].accuracy > 0.8
    assert Program.load("net.nmc").steps == 64


@pytest.mark.parametrize("names", [((36,), 3)], indirect=True)
def test_snntorch_and_norse(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    for package in ("snntorch", "norse", "nirtorch"):
        pytest.importorskip(package)
    run((HOW_TO / "snntorch.md").read_text("utf-8"), names)
    shown = capsys.readouterr().out
    assert "no obstacles" in shown
    assert "chip accuracy" in shown
    assert names["found"].accuracy > 0.8
    assert Program.load("norse.nmc").steps == 30
