"""PyTorch modules in memory compute the same in our float reference; needs PyTorch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")
sys.path.insert(0, str(Path(__file__).parent))

import torch
from random_torch import RandomNet
from torch import nn

import nmcompile
from nmcompile.errors import ModelError, UnsupportedError, UsageError
from nmcompile.frontends import load
from nmcompile.ir import evaluate

pytestmark = pytest.mark.torch
#: Modules in the tests that always run, and in all.
FAST, ALL = 10, 500


def outputs(module: Any, x: Any) -> np.ndarray:
    before = module.training
    with torch.no_grad():
        result = module.eval()(x).numpy()
    module.train(before)
    return result


def difference(seed: int) -> float:
    """Largest difference from the module's outputs, relative to the largest of them."""
    module = RandomNet(seed)
    network = load(module, module.example).network
    x = torch.randn(3, *module.example.shape[1:])
    expected = outputs(module, x)
    found = evaluate(network, x.numpy())["output"]
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / max(1e-2, float(np.abs(expected).max())))


@pytest.mark.parametrize("seed", range(FAST))
def test_a_random_module_computes_the_same(seed: int) -> None:
    assert difference(seed) < 1e-4


@pytest.mark.slow
def test_500_random_modules_compute_the_same() -> None:
    assert {seed: gap for seed in range(FAST, ALL) if (gap := difference(seed)) >= 1e-4} == {}


@pytest.fixture(scope="module")
def small() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)
    )


EXAMPLE = np.zeros((1, 1, 8, 8), np.float32)


def test_modules_stay_as_they_are_and_run_in_inference_mode(small: Any) -> None:
    small.train()
    small[2].eval()
    before = {name: value.clone() for name, value in small.state_dict().items()}
    load(small, torch.randn(5, 1, 8, 8))
    assert [part.training for part in small.modules()] == [True, True, True, False, True, True]
    for name, value in small.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_layers_are_called_like_their_modules(small: Any) -> None:
    names = [node.name for node in load(small, EXAMPLE).network]
    assert {"2", "4"} <= set(names)
    with pytest.raises(UnsupportedError) as caught:
        load(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.MaxPool2d(2)), EXAMPLE)
    assert [each.layer for each in caught.value.obstacles] == ["1", "2"]


def test_equal_modules_have_equal_sums(small: Any) -> None:
    one, other = load(small, EXAMPLE), load(small, EXAMPLE)
    assert one.sha256 == other.sha256
    assert one.path == "Sequential"


def test_a_module_is_built_and_run(small: Any) -> None:
    x = torch.rand(64, 1, 8, 8)
    program = nmcompile.build(small, calibrate=x, example=x[:1], steps=64)
    found = nmcompile.Emulator().load(program).run(x.numpy()).scores
    assert np.corrcoef(found.ravel(), outputs(small, x).ravel())[0, 1] > 0.98


def test_a_module_is_compared_with_another(small: Any) -> None:
    assert nmcompile.diff(small, small, example=EXAMPLE).equal
    other = nn.Sequential(*small[:-1], nn.Linear(144, 3))
    assert nmcompile.diff(small, other, example=EXAMPLE).first.kind == "Dense"


def test_what_lacks_is_said_in_one_sentence(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="give one batch of inputs"):
        load(small)
    with pytest.raises(UsageError, match="no tensor or array"):
        load(small, "digit")
    with pytest.raises(ModelError, match=r"cannot export .* example of shape \(1, 3, 8, 8\)") as e:
        load(small, np.zeros((1, 3, 8, 8), np.float32))
    assert "\n" not in str(e.value)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ModelError, match=r"pip install 'nmcompile\[torch\]'"):
        load(small, EXAMPLE)


def test_neurons_of_norse_are_told_the_way_by_nir(monkeypatch: pytest.MonkeyPatch) -> None:
    class LIFCell(nn.Module):
        pass

    monkeypatch.setattr(LIFCell, "__module__", "norse.torch.module.lif")
    with pytest.raises(ModelError, match=r"norse\.torch\.to_nir.* --dialect norse"):
        load(nn.Sequential(nn.Linear(3, 2), LIFCell()), np.zeros((1, 3), np.float32))
