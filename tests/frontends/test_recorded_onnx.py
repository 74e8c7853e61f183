"""Recorded ONNX models of PyTorch, Keras and tf2onnx give what their frameworks gave."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from nmcompile.frontends import check, load  # noqa: E402
from nmcompile.ir import Network, evaluate, nodes  # noqa: E402

MODELS = Path(__file__).parent / "onnx_models"
FILES = sorted(path.stem for path in MODELS.glob("*.onnx"))


def count(network: Network, kind: type[nodes.Node]) -> int:
    return sum(isinstance(node, kind) for node in network)


@pytest.mark.parametrize("name", FILES)
def test_the_reference_agrees_with_the_framework(name: str) -> None:
    recorded = np.load(MODELS / f"{name}.npz")
    expected = recorded["y"]
    result = evaluate(load(MODELS / f"{name}.onnx").network, recorded["x"])["output"]
    assert result.shape == expected.shape
    assert np.abs(result - expected).max() <= 1e-4 * np.abs(expected).max()


def test_there_are_models_of_every_exporter() -> None:
    makers = {name.rpartition("_")[0] for name in FILES}
    assert makers == {"torch_dynamo", "torch_script", "keras", "tf2onnx"}
    assert all(path.stat().st_size < 200_000 for path in MODELS.iterdir())


@pytest.mark.parametrize("name", FILES)
def test_good_models_have_no_obstacles(name: str) -> None:
    assert check(MODELS / f"{name}.onnx") == []


def test_a_model_in_memory_is_that_of_its_file() -> None:
    path = MODELS / "torch_script_cnn.onnx"
    assert str(load(onnx.load(path)).network) == str(load(path).network)


def test_the_hash_is_that_of_the_file() -> None:
    path = MODELS / "torch_script_cnn.onnx"
    assert load(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert load(str(path)).path == str(path)


def test_the_format_is_told_by_content_and_not_by_name(tmp_path: Path) -> None:
    for name in ("model.keras", "model.h5", "model"):
        path = tmp_path / name
        path.write_bytes((MODELS / "keras_cnn.onnx").read_bytes())
        assert str(load(path).network) == str(load(MODELS / "keras_cnn.onnx").network)
    path = tmp_path / "model.onnx"
    path.write_bytes((MODELS.parent / "models" / "cnn.keras").read_bytes())
    assert str(load(path).network) == str(load(MODELS.parent / "models" / "cnn.keras").network)


def test_samples_lie_as_in_the_file() -> None:
    assert load(MODELS / "torch_dynamo_cnn.onnx").network.inputs[0].size == (1, 16, 15)
    assert load(MODELS / "tf2onnx_cnn.onnx").network.inputs[0].size == (11, 10, 3)


def test_axes_are_moved_only_where_they_must() -> None:
    assert count(load(MODELS / "tf2onnx_cnn.onnx").network, nodes.Transpose) == 0
    assert count(load(MODELS / "torch_dynamo_cnn.onnx").network, nodes.Transpose) == 1
    assert count(load(MODELS / "torch_dynamo_global.onnx").network, nodes.Transpose) == 1


def test_nodes_carry_the_names_of_operators() -> None:
    network = load(MODELS / "torch_script_cnn.onnx").network
    found = [node.name for node in network if isinstance(node, nodes.Conv2d)]
    assert found == ["/0/Conv", "/5/Conv"]
    assert network["/5/Conv"].origin == ("/5/Conv",)
