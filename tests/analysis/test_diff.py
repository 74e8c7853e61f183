"""Networks that are alike are equal however they are written; others differ where they do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nmcompile.analysis.diff import compare_networks
from nmcompile.analysis.diff_result import Comparison
from nmcompile.errors import DataError
from nmcompile.frontends import load
from nmcompile.ir import Network, nodes
from nmcompile.passes.fold_affine import FoldAffine
from nmcompile.passes.merge_pooling import MergePooling

MODELS = Path(__file__).parents[1] / "frontends" / "models"
ONNX = MODELS.parent / "onnx_models"
NIR = MODELS.parent / "nir_models"
RNG = np.random.default_rng(0)
KERNELS = [RNG.normal(0, 0.4, size).astype(np.float32)
           for size in ((3, 3, 2, 4), (3, 3, 4, 5), (5, 5, 5, 6))]  # fmt: skip
HEAD = RNG.normal(0, 0.4, (6, 3)).astype(np.float32)
SCALE, SHIFT = RNG.uniform(0.5, 2, 4).astype(np.float32), RNG.normal(0, 1, 4).astype(np.float32)


def channels_last(**changed: Any) -> Network:
    """Two convolutions, the first with a batch norm, pooling, two dense layers."""
    k = {"k1": KERNELS[0], "k2": KERNELS[1], "k3": KERNELS[2].reshape(-1, 6), **changed}
    return Network.build([
        nodes.Input(name="in", size=(12, 12, 2)),
        nodes.Conv2d(name="conv1", inputs=("in",), weights=k["k1"], padding=((1, 1), (1, 1))),
        nodes.Affine(name="bn", inputs=("conv1",), scale=SCALE, shift=SHIFT),
        nodes.ReLU(name="relu1", inputs=("bn",), max_value=k.get("limit")),
        nodes.Conv2d(
            name="conv2", inputs=("relu1",), weights=k["k2"],
            bias=k.get("bias", np.zeros(5, np.float32)),
        ),
        nodes.ReLU(name="relu2", inputs=("conv2",)),
        nodes.AvgPool2d(name="pool", inputs=("relu2",), size=(2, 2), stride=(2, 2)),
        nodes.Flatten(name="flat", inputs=("pool",)),
        nodes.Dense(name="dense1", inputs=("flat",), weights=k["k3"]),
        nodes.ReLU(name="relu3", inputs=("dense1",)),
        nodes.Dense(name="dense2", inputs=("relu3",), weights=HEAD),
        *([nodes.Softmax(name="softmax", inputs=("dense2",))] if k.get("softmax") else []),
        nodes.Output(name="output", inputs=("softmax" if k.get("softmax") else "dense2",)),
    ])  # fmt: skip


def channels_first() -> Network:
    """The same as an exporter writes it: samples and flat values channels first, explicit zeros."""
    flat = KERNELS[2].transpose(2, 0, 1, 3).reshape(-1, 6)
    return Network.build([
        nodes.Input(name="x", size=(2, 12, 12)),
        nodes.Transpose(name="t", inputs=("x",), axes=(1, 2, 0)),
        nodes.Pad2d(name="zeros", inputs=("t",), padding=((1, 1), (1, 1))),
        nodes.Conv2d(name="Conv_0", inputs=("zeros",), weights=KERNELS[0] * SCALE, bias=SHIFT),
        nodes.ReLU(name="Relu_1", inputs=("Conv_0",)),
        nodes.Conv2d(name="Conv_2", inputs=("Relu_1",), weights=KERNELS[1]),
        nodes.Transpose(name="back", inputs=("Conv_2",), axes=(2, 0, 1)),
        nodes.ReLU(name="Relu_3", inputs=("back",)),
        nodes.Transpose(name="again", inputs=("Relu_3",), axes=(1, 2, 0)),
        nodes.AvgPool2d(name="Pool_4", inputs=("again",), size=(2, 2), stride=(2, 2)),
        nodes.Transpose(name="first", inputs=("Pool_4",), axes=(2, 0, 1)),
        nodes.Reshape(name="Flatten_5", inputs=("first",), size=(125,)),
        nodes.Dense(name="Gemm_6", inputs=("Flatten_5",), weights=flat),
        nodes.ReLU(name="Relu_7", inputs=("Gemm_6",)),
        nodes.Dense(name="Gemm_8", inputs=("Relu_7",), weights=HEAD),
        nodes.Output(name="output", inputs=("Gemm_8",)),
    ])  # fmt: skip


def differs(found: Comparison, a: str | None, b: str | None, *words: str) -> None:
    assert not found.equal
    assert found.first is not None
    assert (found.first.a, found.first.b) == (a, b), found.sentence
    for word in words:
        assert word in found.sentence


def test_a_network_equals_itself_exactly() -> None:
    found = compare_networks(channels_last(), channels_last())
    assert found.equal
    assert found.largest == 0
    assert found.assumed == ()
    assert found.sentence == "equal exactly: A (A) and B (B)"


def test_layout_names_padding_and_batch_norm_do_not_matter() -> None:
    a, b = channels_last(), channels_first()
    for one, other in ((a, b), (b, a)):
        found = compare_networks(one, other)
        assert found.equal, found.sentence
        assert 0 < found.largest < 1e-5
        assert any("channels come" in each for each in found.assumed)
        assert any("batch norm" in each for each in found.assumed)
        named = {layer.a: layer.b for layer in found.layers}
        for x, y in (("conv2", "Conv_2"), ("relu2", "Relu_3"), ("dense1", "Gemm_6")):
            assert (named[x] if one is a else {v: k for k, v in named.items()}[x]) == y
    assert found.samples == 16
    assert sum(layer.values is not None for layer in found.layers) == 4


def test_merged_pooling_does_not_matter() -> None:
    merged = MergePooling().run(FoldAffine().run(channels_last()))
    found = compare_networks(channels_first(), merged)
    assert found.equal, found.sentence
    assert any("pooling" in each for each in found.assumed)


def test_a_softmax_at_one_end_is_left_out_and_said() -> None:
    found = compare_networks(channels_last(softmax=True), channels_last())
    assert found.equal
    assert found.assumed == ("the softmax at the end of A is left out",)
    assert compare_networks(channels_last(softmax=True), channels_last(softmax=True)).assumed == ()


def test_the_first_difference_is_named_in_both_networks() -> None:
    bias = np.zeros(5, np.float32)
    bias[4] = 0.3
    found = compare_networks(channels_last(bias=bias), channels_first())
    differs(found, "conv2", "Conv_2", "weights equal", "bias differs by 0.3 at channel 4")
    later = [layer for layer in found.layers if layer.kind == "Dense"]
    assert all(layer.equal for layer in later)
    assert not found.layers[-1].equal  # Its value.


def test_a_single_weight_is_found_where_it_is() -> None:
    changed = KERNELS[1].copy()
    changed[2, 0, 3, 1] += 0.5
    found = compare_networks(channels_last(k2=changed), channels_first())
    differs(found, "conv2", "Conv_2", "by 0.5 at row 2, column 0, channel in 3, channel out 1")


def test_a_weight_behind_a_flatten_is_found_in_the_order_of_a() -> None:
    changed = KERNELS[2].copy()
    changed[1, 2, 3, 5] -= 2
    found = compare_networks(channels_last(k3=changed.reshape(-1, 6)), channels_first())
    differs(found, "dense1", "Gemm_6", f"by 2 at input {(1 * 5 + 2) * 5 + 3}, output 5")


def test_exchanged_channels_are_a_difference() -> None:
    found = compare_networks(channels_last(k1=KERNELS[0][..., ::-1, :].copy()), channels_last())
    differs(found, "conv1", "conv1", "weights differ by")


def test_another_order_of_flat_values_is_a_difference() -> None:
    wrong = KERNELS[2].transpose(2, 0, 1, 3).reshape(-1, 6)
    differs(compare_networks(channels_last(), channels_last(k3=wrong)), "dense1", "dense1")


def test_shapes_of_weights_are_told_side_by_side() -> None:
    rng = np.random.default_rng(1)
    wide = replace(channels_last()["conv2"], weights=rng.random((3, 3, 4, 7), np.float32),
                   bias=None)  # fmt: skip
    tall = replace(channels_last()["dense1"], weights=rng.random((175, 6), np.float32))
    found = compare_networks(channels_last(), channels_last().edit(
        {"conv2": (wide,), "dense1": (tall,)}
    ))  # fmt: skip
    differs(found, "conv2", "conv2", "weights of shape 3x3x4x5 against 3x3x4x7")


def test_options_are_compared() -> None:
    differs(
        compare_networks(channels_last(), channels_last(limit=6.0)), "relu1", "relu1",
        "max_value None against 6",
    )  # fmt: skip


def test_a_layer_that_only_one_has_stands_alone_and_the_rest_is_compared() -> None:
    whole = channels_last()
    without = whole.rewire("relu2", "conv2", {"relu2": ()})
    found = compare_networks(whole, without)
    differs(found, "relu2", None, "relu2 (A): ReLU of shape 10x10x5, which B lacks")
    assert [layer.b for layer in found.layers if layer.kind == "Dense"] == ["dense1", "dense2"]
    differs(compare_networks(without, whole), None, "relu2", "which A lacks")


def test_inputs_of_other_sizes_are_the_first_difference() -> None:
    dense = replace(channels_last()["dense1"], weights=np.ones((100, 6), np.float32))
    small = channels_last().edit({
        "in": (nodes.Input(name="in", size=(12, 10, 2)),), "dense1": (dense,)
    })  # fmt: skip
    found = compare_networks(channels_last(), small)
    differs(found, "in", "in", "values 288 against 240")
    assert found.samples == 0


def test_parallel_branches_are_matched_by_their_numbers() -> None:
    def network(names: tuple[str, ...]) -> Network:
        weights = {"p": KERNELS[0][:1, :1] * 1, "q": KERNELS[0][1:2, 1:2] * 1}
        return Network.build([
            nodes.Input(name="in", size=(4, 4, 2)),
            *(nodes.Conv2d(name=name, inputs=("in",), weights=weights[name[0]])
              for name in names),
            nodes.Add(name="sum", inputs=names),
            nodes.ReLU(name="relu", inputs=("sum",)),
            nodes.Output(name="output", inputs=("relu",)),
        ])  # fmt: skip

    found = compare_networks(network(("p", "q")), network(("q1", "p1")))
    assert found.equal, found.sentence
    assert {(layer.a, layer.b) for layer in found.layers} >= {("p", "p1"), ("q", "q1")}


def test_tolerance_is_relative_to_the_largest_number() -> None:
    close = KERNELS[1] + np.float32(1e-6) * np.abs(KERNELS[1]).max()
    assert compare_networks(channels_last(), channels_last(k2=close)).equal
    assert not compare_networks(channels_last(), channels_last(k2=close), tolerance=1e-7).equal


def test_data_may_lie_as_either_network_has_it() -> None:
    x = np.random.default_rng(3).random((5, 12, 12, 2), np.float32)
    a, b = channels_last(), channels_first()
    one = compare_networks(a, b, x=x)
    other = compare_networks(a, b, x=x.transpose(0, 3, 1, 2))
    assert one.equal
    assert one.as_json() == other.as_json()
    assert one.samples == 5
    frames = compare_networks(a, b, x=np.stack([x, 2 * x], axis=1), samples=4)
    assert frames.equal
    assert frames.samples == 4
    with pytest.raises(DataError, match="shape 3x3, the networks take 12x12x2 or 2x12x12"):
        compare_networks(a, b, x=np.zeros((2, 3, 3), np.float32))


@pytest.mark.parametrize("kind", ["cnn", "dense", "residual", "series"])
def test_both_exporters_of_pytorch_write_equal_networks(kind: str) -> None:
    pytest.importorskip("onnx")
    script, dynamo = (
        load(ONNX / f"torch_{each}_{kind}.onnx").network for each in ("script", "dynamo")
    )
    found = compare_networks(script, dynamo)
    assert found.equal, found.sentence


def test_formats_of_keras_hold_equal_networks() -> None:
    paths = [MODELS / f"residual_plain.{end}" for end in ("keras", "keras2.h5")]
    found = compare_networks(*(load(path).network for path in paths))
    assert found.equal, found.sentence


@pytest.mark.filterwarnings("ignore:.*assumed")
def test_parameters_of_neurons_are_compared() -> None:
    network = load(NIR / "norse_image.nir", dialect="norse").network
    assert compare_networks(network, network).equal
    name = next(node.name for node in network if isinstance(node, nodes.Spiking))
    for field, value in (("threshold", 0.5), ("dt_s", 1.0), ("synapse_s", 0.005)):
        other = network.edit({name: (replace(network[name], **{field: value}),)})
        differs(compare_networks(network, other), name, name, f"{field} ")


def test_scaled_inputs_are_drawn_from_their_range() -> None:
    def network(scale: float) -> Network:
        return Network.build([
            nodes.Input(name="in", size=(6,)),
            nodes.Affine(name="s", inputs=("in",), scale=np.array([scale], np.float32),
                         shift=np.zeros(1, np.float32)),
            nodes.ReLU(name="relu", inputs=("s",)),
            nodes.Output(name="output", inputs=("relu",)),
        ])  # fmt: skip

    found = compare_networks(network(1 / 255), network(2 / 255))
    assert found.layers[2].values is not None
    assert 0.5 < found.layers[2].values.largest < 1
