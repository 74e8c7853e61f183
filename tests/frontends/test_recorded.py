"""Recorded models of every layer and option predict what Keras predicted; Keras is not needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nmcompile.frontends import check, load
from nmcompile.ir import Network, nodes
from nmcompile.ir.over_time import evaluate_frames

MODELS = Path(__file__).parent / "models"
FILES = sorted(path.name for path in MODELS.iterdir() if path.suffix != ".npz")


@pytest.mark.parametrize("name", FILES)
def test_the_reference_agrees_with_keras(name: str) -> None:
    recorded = np.load(MODELS / f"{name.split('.')[0]}.npz")
    source = load(MODELS / name)
    x = recorded["x"]
    result = evaluate_frames(source.network, x, x.shape[1])
    expected = recorded["y"]
    assert result.shape == expected.shape
    assert np.abs(result - expected).max() <= 1e-4 * max(1.0, float(np.abs(expected).max()))


def test_the_records_cover_every_layer_that_is_taken() -> None:
    import json
    import zipfile

    from nmcompile.frontends.keras.registry import LAYERS

    seen: set[str] = set()

    def walk(value: object) -> None:
        if isinstance(value, dict):
            seen.add(str(value.get("class_name")))
            value = list(value.values())
        if isinstance(value, list):
            for each in value:
                walk(each)

    for path in MODELS.glob("*.keras"):
        with zipfile.ZipFile(path) as archive:
            walk(json.loads(archive.read("config.json")))
    assert set(LAYERS) - seen == set()


def test_the_hash_is_that_of_the_file() -> None:
    import hashlib

    path = MODELS / "cnn.keras"
    assert load(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert load(str(path)).path == str(path)


def test_the_format_is_told_by_content_and_not_by_name(tmp_path: Path) -> None:
    renamed = tmp_path / "model.h5"
    renamed.write_bytes((MODELS / "cnn.keras").read_bytes())
    assert str(load(renamed).network) == str(load(MODELS / "cnn.keras").network)


def test_three_formats_give_one_network() -> None:
    texts = {str(load(MODELS / f"cnn.{kind}").network) for kind in ("keras", "h5", "keras2.h5")}
    assert len(texts) == 1


def test_nodes_carry_the_names_of_layers() -> None:
    network = load(MODELS / "residual.keras").network
    assert isinstance(network["stem/linear"], nodes.Conv2d)
    assert isinstance(network["stem"], nodes.ReLU)
    assert network["stem/linear"].origin == network["stem"].origin == ("stem",)
    assert isinstance(network["output"], nodes.Dense)
    assert [node.name for node in network.outputs] == ["output@1"]


def test_calls_of_a_shared_layer_share_its_weights() -> None:
    network = load(MODELS / "shared.keras").network
    first, second = network["shared/linear"], network["shared@1/linear"]
    assert isinstance(first, nodes.Conv2d)
    assert isinstance(second, nodes.Conv2d)
    assert np.array_equal(first.weights, second.weights)


def count(network: Network, kind: type[nodes.Node]) -> int:
    return sum(isinstance(node, kind) for node in network)


def test_a_channels_first_network_moves_axes_only_where_it_must() -> None:
    assert count(load(MODELS / "cnn_channels_first.keras").network, nodes.Transpose) == 2
    assert count(load(MODELS / "flatten_channels_first.keras").network, nodes.Transpose) == 1
    assert count(load(MODELS / "global_pool_keepdims.keras").network, nodes.Transpose) == 1


def test_a_network_of_series_is_made_images_once() -> None:
    assert count(load(MODELS / "conv1d.keras").network, nodes.Reshape) == 1


def test_good_models_have_no_obstacles() -> None:
    assert check(MODELS / "nested.keras") == []
