"""The float network: checked when built, readable, and whole again after a trip through JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nmcompile.errors import ModelError, VerifyError
from nmcompile.ir import Network, evaluate, nodes
from nmcompile.ir.serialise import network_from_tensors, network_tensors
from nmcompile.ir.text import shape_text, table_text
from tests.networks import dense, random_network, relu, small_cnn

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("seed", range(8))
def test_a_network_survives_json_and_arrays(seed: int) -> None:
    network = random_network(seed)
    structure, tensors = network_tensors(network)
    restored = network_from_tensors(json.loads(json.dumps(structure)), tensors)
    assert str(restored) == str(network)
    assert [node.origin for node in restored] == [node.origin for node in network]
    x = np.random.default_rng(seed).random((2, *network.inputs[0].size), dtype=np.float32)
    name = network.outputs[0].name
    np.testing.assert_array_equal(evaluate(restored, x)[name], evaluate(network, x)[name])
    assert evaluate(network, x)[name].any()


def node_of(structure: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(entry for entry in structure["nodes"] if entry["kind"] == kind)


DAMAGE: dict[str, Callable[[dict[str, Any], dict[str, Any]], object]] = {
    "no nodes": lambda s, t: s.pop("nodes"),
    "unknown kind": lambda s, t: node_of(s, "Conv2d").update(kind="Lambda"),
    "a kind that is no node": lambda s, t: node_of(s, "Conv2d").update(kind="__import__"),
    "unknown option": lambda s, t: node_of(s, "Conv2d")["options"].update(colour=3),
    "no name": lambda s, t: node_of(s, "Conv2d")["options"].pop("name"),
    "missing array": lambda s, t: t.clear(),
    "array of another shape": lambda s, t: t.update({k: v[..., :1] for k, v in t.items()}),
    "unknown input": lambda s, t: node_of(s, "Conv2d")["options"].update(inputs=["nowhere"]),
    "time step": lambda s, t: s.update(dt_s="soon"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_what_is_no_network_is_refused(what: str) -> None:
    structure, tensors = network_tensors(small_cnn())
    structure = json.loads(json.dumps(structure))
    DAMAGE[what](structure, tensors)
    with pytest.raises(ModelError, match="stored float network is not whole"):
        network_from_tensors(structure, tensors)


def image(*more: nodes.Node) -> list[nodes.Node]:
    return [nodes.Input(name="image", size=(4, 4, 2)), *more]


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([], "no input"),
        (image(), "no input"),
        (image(nodes.Output(name="out", inputs=("flat",))), "'out' reads from 'flat'"),
        (image(relu("image", "image")), "two layers are called 'image'"),
        (
            image(relu("a", "b"), relu("b", "a"), nodes.Output(name="out", inputs=("b",))),
            "cycle",
        ),
        (
            image(dense(RNG, "fc", "image", (32, 3)), nodes.Output(name="out", inputs=("fc",))),
            "layer 'fc': weights of shape (32, 3)",
        ),
        (
            image(
                nodes.AvgPool2d(name="pool", inputs=("image",), size=(9, 9), stride=(1, 1)),
                nodes.Output(name="out", inputs=("pool",)),
            ),
            "layer 'pool': its output would be empty",
        ),
        (
            image(
                relu("a", "image"),
                nodes.ReLU(name="b", inputs=("a", "image")),
                nodes.Output(name="out", inputs=("b",)),
            ),
            "layer 'b': takes 1 input(s), but has 2",
        ),
    ],
)
def test_a_network_that_cannot_be_names_the_layer(layers: list[nodes.Node], words: str) -> None:
    with pytest.raises(VerifyError) as caught:
        Network.build(layers)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_must_be_numbers(value: float) -> None:
    fc = dense(RNG, "fc", "flat", (32, 3))
    fc.weights[3, 1] = value
    layers = image(
        nodes.Flatten(name="flat", inputs=("image",)), fc, nodes.Output(name="out", inputs=("fc",))
    )
    with pytest.raises(VerifyError, match="layer 'fc': 1 of its 96 weights are NaN or infinite"):
        Network.build(layers)


def test_layers_that_no_output_needs_are_left_out() -> None:
    network = Network.build(
        image(
            relu("used", "image"),
            relu("spare", "image"),
            nodes.Output(name="out", inputs=("used",)),
        )
    )
    assert "spare" not in network
    assert [node.name for node in network] == ["image", "used", "out"]


def test_a_network_prints_as_a_table() -> None:
    lines = str(small_cnn()).splitlines()
    assert lines[0] == "network small, dt 1 ms"
    assert lines[1].split() == ["place", "name", "kind", "inputs", "shape", "options"]
    assert lines[2].split() == ["-", "image", "Input", "-", "10x10x1"]
    (row,) = [line for line in lines if " conv/linear " in line and "Conv2d" in line]
    assert row.split()[:5] == ["-", "conv/linear", "Conv2d", "enc", "10x10x8"]
    assert "3x3 -> 8" in row
    assert len(lines) == 2 + len(small_cnn().nodes)


def test_tables_align_and_end_without_blanks() -> None:
    assert table_text(("a", "bb"), [("ccc", 1), ("d", "")]) == "a    bb\nccc  1\nd"
    assert shape_text((2, 30, 1)) == "2x30x1"


def test_editing_makes_a_new_network_and_leaves_the_old() -> None:
    network = small_cnn()
    before = str(network)
    edited = network.rewire("enc", "enc/linear", {"enc": ()})
    assert str(network) == before
    assert "enc" not in edited
    assert edited["conv/linear"].inputs == ("enc/linear",)


def test_a_mean_over_padding_alone_is_refused() -> None:
    with pytest.raises(VerifyError, match="layer 'pool': a window of 2 rows lies wholly in"):
        Network.build(
            [
                nodes.Input(name="image", size=(4, 4, 1)),
                nodes.AvgPool2d(
                    name="pool",
                    inputs=("image",),
                    size=(2, 2),
                    stride=(2, 2),
                    padding=((2, 0), (0, 0)),
                ),
                nodes.Output(name="output", inputs=("pool",)),
            ]
        )
