"""What ONNX models hold that cannot be compiled is refused by name, all at once, with a remedy."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
sys.path.insert(0, str(Path(__file__).parent))

from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

from nmcompile.errors import NmcompileWarning, UnsupportedError  # noqa: E402
from nmcompile.frontends import check, load  # noqa: E402
from nmcompile.frontends.onnx.refusals import REFUSED  # noqa: E402
from nmcompile.frontends.onnx.registry import OPERATORS  # noqa: E402
from nmcompile.ir import evaluate, nodes  # noqa: E402


def chain(
    *kinds: tuple[str, list[Any], dict[str, Any]], x: tuple[Any, ...] = ("N", 2, 8, 8),
    opset: int = 18, inputs: int = 1,
) -> Any:  # fmt: skip
    """Operators in a row, each with constants behind its first input."""
    held, made, here = [], [], "x"
    for k, (kind, constants, options) in enumerate(kinds):
        names = [here]
        for j, value in enumerate(constants):
            if isinstance(value, str):
                names.append(value)
                continue
            held.append(numpy_helper.from_array(np.asarray(value), f"c{k}_{j}"))
            names.append(f"c{k}_{j}")
        here = f"v{k}"
        made.append(helper.make_node(kind, names, [here], name=f"{kind.lower()}{k}", **options))
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, x) for name in ("x", "z")[:inputs]
    ]
    last = helper.make_tensor_value_info(here, TensorProto.FLOAT, None)
    graph = helper.make_graph(made, "net", ports, [last], initializer=held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def floats(*shape: int) -> Any:
    return np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def test_every_obstacle_is_listed_at_once_with_node_operator_and_remedy() -> None:
    proto = chain(
        ("MaxPool", [], {"kernel_shape": [2, 2]}),
        ("Conv", [floats(3, 2, 3, 3)], {"colour": 1}),
        ("LeakyRelu", [], {"alpha": 0.1}),
        ("Relu", [], {}),
        ("Sigmoid", [], {}),
    )
    found = check(proto)
    assert [(each.layer, each.kind) for each in found] == [
        ("maxpool0", "MaxPool"),
        ("conv1", "Conv"),
        ("leakyrelu2", "LeakyRelu"),
        ("sigmoid4", "Sigmoid"),
    ]
    assert "average pooling" in found[0].remedy
    assert "drop it" in found[3].remedy
    with pytest.raises(UnsupportedError, match="4 layers cannot be compiled: maxpool0") as caught:
        load(proto)
    assert list(caught.value.obstacles) == found


@pytest.mark.parametrize("kind", sorted({*REFUSED, "Unheard", "Bernoulli"} - {"If"}))
def test_operators_that_are_not_taken_are_refused_by_name(kind: str) -> None:
    (found,) = check(chain((kind, [], {})))
    assert (found.layer, found.kind) == (f"{kind.lower()}0", kind)
    assert found.why
    assert found.remedy


def test_what_is_taken_is_not_refused() -> None:
    assert not set(OPERATORS) & set(REFUSED)


def test_operators_of_other_domains_are_refused_with_their_domain() -> None:
    proto = chain(("FusedConv", [], {}))
    proto.graph.node[0].domain = "com.microsoft"
    (found,) = check(proto)
    assert found.kind == "com.microsoft.FusedConv"


@pytest.mark.parametrize(
    ("kind", "constants", "options", "words"),
    [
        ("Clip", [np.float32(-1), np.float32(1)], {}, "clips to -1 … 1"),
        ("Clip", [], {}, "clips to -∞ … .∞"),
        ("Clip", [np.float32(0), np.float32(0)], {}, "clips to 0 … 0"),
        ("Max", [np.float32(0.1)], {}, "choose or compare"),
        ("Max", ["x"], {}, "choose or compare"),
        ("Min", [np.float32(1)], {}, "choose or compare"),
        ("Pad", [np.array([0, 0, 1, 1, 0, 0, 1, 1])], {"mode": "reflect"}, "mode is reflect"),
        ("Pad", [np.array([0, 0, 1, 1, 0, 0, 1, 1]), np.float32(2)], {}, "pads with 2"),
        ("Pad", [np.array([1, 0, 0, 0, 0, 0, 0, 0])], {}, "axis 0 is not one"),
        ("Transpose", [], {"perm": [1, 0, 2, 3]}, "mixes samples"),
        ("Flatten", [], {"axis": 2}, "mixes samples"),
        ("Reshape", [np.array([-1])], {}, "mixes samples"),
        ("Reshape", [np.array([-1, 64])], {}, "cannot turn 128 values of each sample into shape"),
        ("Reshape", [np.array([5, 128])], {}, "fixes the number of samples to 5"),
        ("ReduceMean", [np.array([0, 2])], {}, "axis 0 is not one"),
        ("ReduceMean", [], {}, "averages over samples"),
        ("Concat", ["x"], {"axis": 0}, "axis 0 is not one"),
        ("Mul", ["x"], {}, "multiplies activations"),
        ("Sub", ["x"], {}, "differences of layers"),
        ("Div", ["x"], {}, "divides by activations"),
        ("MatMul", ["x"], {}, "multiplies activations"),
        ("Add", [floats(3, 2, 8, 8)], {}, "differs between samples"),
        ("Cast", [], {"to": TensorProto.INT64}, "rounds activations to int64"),
        ("AveragePool", [], {"kernel_shape": [2, 2], "dilations": [2, 2]}, "dilations"),
        ("BatchNormalization", [floats(2)] * 4, {"training_mode": 1}, "in training mode"),
        ("Dropout", [np.float32(0.5), np.array(True)], {}, "in training mode"),
        ("DequantizeLinear", [np.float32(0.5)], {}, "no QuantizeLinear"),
    ],
)
def test_uses_that_cannot_be_compiled_are_refused(
    kind: str, constants: list[Any], options: dict[str, Any], words: str
) -> None:
    found = check(chain((kind, constants, options), ("Relu", [], {}), opset=19))
    assert [each.kind for each in found] == [kind]
    assert re.search(words, found[0].why)


def test_a_softmax_inside_the_network_is_refused() -> None:
    (found,) = check(chain(("Softmax", [], {}), ("Relu", [], {})))
    assert "only as the last layer" in found.why
    assert check(chain(("Relu", [], {}), ("Softmax", [], {}))) == []


def test_several_inputs_are_taken() -> None:
    assert check(chain(("Add", ["z"], {}), inputs=2)) == []


def test_weights_that_the_input_makes_are_refused() -> None:
    found = check(chain(("Relu", [], {}), ("Conv", ["v0"], {})))
    assert "computed from the input" in found[0].why


def test_a_mask_of_a_dropout_that_is_read_is_refused() -> None:
    proto = chain(("Dropout", [], {}), ("Relu", [], {}))
    proto.graph.node[0].output.append("mask")
    proto.graph.node[1].input[0] = "mask"
    assert "second result" in check(proto)[0].why


@pytest.mark.parametrize("kind", ["same", "other"])
def test_whole_numbers_of_activations_go_only_into_their_own_scale(kind: str) -> None:
    first = [np.float32(0.1), np.uint8(0)]
    second = first if kind == "same" else [np.float32(0.2), np.uint8(0)]
    proto = chain(("Relu", [], {}), ("QuantizeLinear", first, {}), ("DequantizeLinear", second, {}))
    with pytest.warns(NmcompileWarning, match="'quantizelinear1' .*rounding to steps of 0.1"):
        found = check(proto)
    assert bool(found) == (kind == "other")


def test_whole_numbers_are_not_computed_with() -> None:
    scale = [np.float32(0.1), np.uint8(0)]
    proto = chain(("QuantizeLinear", scale, {}), ("Relu", [], {}))
    with pytest.warns(NmcompileWarning):
        assert "whole numbers of a QuantizeLinear" in check(proto)[0].why
    with pytest.warns(NmcompileWarning):
        assert check(chain(("QuantizeLinear", scale, {})))[0].kind == "Output"


def test_left_out_roundings_of_activations_change_results_by_half_a_step() -> None:
    scale = [np.float32(0.02), np.uint8(0)]
    weights = ("Conv", [floats(3, 2, 3, 3)], {})
    proto = chain(
        weights, ("Relu", [], {}), ("QuantizeLinear", scale, {}), ("DequantizeLinear", scale, {}),
        ("AveragePool", [], {"kernel_shape": [2, 2]}), opset=19,
    )  # fmt: skip
    with pytest.warns(NmcompileWarning) as said:
        network = load(proto).network
    assert "limits" not in str(said[0].message)
    (relu,) = (node for node in network if isinstance(node, nodes.ReLU))
    assert relu.max_value == pytest.approx(255 * 0.02)
    x = np.random.default_rng(1).uniform(-1, 2, (4, 2, 8, 8)).astype(np.float32)
    (expected,) = ReferenceEvaluator(proto).run(None, {"x": x})
    assert expected.max() == pytest.approx(255 * 0.02)  # some are at the limit
    assert 1e-4 < np.abs(evaluate(network, x)["output"] - expected).max() <= 0.01 + 1e-5


def test_a_relu_and_a_clip_behind_it_are_one_layer() -> None:
    bounds = [np.float32(0), np.float32(6)]
    network = load(chain(("Relu", [], {}), ("Clip", bounds, {}))).network
    assert [n.max_value for n in network if isinstance(n, nodes.ReLU)] == [6]
    both = chain(("Relu", [], {}), ("Clip", bounds, {}), ("Add", ["v0"], {}))
    network = load(both).network
    assert [n.max_value for n in network if isinstance(n, nodes.ReLU)] == [None, 6]
