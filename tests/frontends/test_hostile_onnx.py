"""Damaged and malicious ONNX files give one sentence that names the file, and nothing else."""

from __future__ import annotations

import builtins
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
sys.path.insert(0, str(Path(__file__).parent))

from files import survives  # noqa: E402
from mutations import mutated  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from nmcompile.errors import ModelError  # noqa: E402
from nmcompile.frontends import load  # noqa: E402

MODELS = Path(__file__).parent / "onnx_models"
FILES = ("torch_dynamo_residual", "torch_script_cnn", "tf2onnx_cnn", "keras_global")


def tensor(name: str, array: Any) -> TensorProto:
    return numpy_helper.from_array(np.asarray(array), name)


def floats(name: str, *shape: int) -> TensorProto:
    return tensor(name, np.ones(shape, np.float32))


def model(
    nodes: list[Any], held: list[TensorProto], *, x: tuple[Any, ...] = ("N", 4), y: str = "y",
    opset: int = 18,
) -> Any:  # fmt: skip
    """A model from x to y, unchecked."""
    graph = helper.make_graph(
        nodes, "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
        [helper.make_tensor_value_info(y, TensorProto.FLOAT, None)],
        initializer=held,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def good() -> Any:
    """A matrix and a ReLU."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="matrix"),
        helper.make_node("Relu", ["h"], ["y"], name="relu"),
    ]
    return model(nodes, [floats("w", 4, 3)])


def refused(proto: Any, folder: Path, words: str, **options: Any) -> None:
    """Whether a model is refused in one sentence that names file and place."""
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match=words) as caught:
        load(path, **options)
    assert "model.onnx" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_cut_short_is_refused(name: str, tmp_path: Path) -> None:
    data = (MODELS / f"{name}.onnx").read_bytes()
    path = tmp_path / "model.onnx"
    # The last fields say only which opset it is, so that without them nothing is left to say.
    lengths = [0, 1, 2, 4, 8, 9, 100, *range(0, len(data) - 1, len(data) // 60), len(data) - 1]
    for length in lengths:
        path.write_bytes(data[:length])
        assert not survives(path), length


@pytest.mark.parametrize("name", FILES)
def test_mutated_files_never_raise_anything_else(name: str, tmp_path: Path) -> None:
    data = (MODELS / f"{name}.onnx").read_bytes()
    path, rng, outcomes = tmp_path / "model.onnx", np.random.default_rng(5), set()
    for _ in range(100):
        path.write_bytes(mutated(data, "onnx", rng))
        outcomes.add(survives(path))
    assert outcomes == {False, True}


def test_the_good_model_loads(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(good().SerializeToString())
    assert load(path).network["matrix"].weights.shape == (4, 3)


def cycle(m: Any) -> None:
    m.graph.node[0].input[0] = "y"


def two_results(m: Any) -> None:
    m.graph.node[1].output[0] = "h"
    m.graph.output[0].name = "h"


def two_weights(m: Any) -> None:
    m.graph.initializer.add().CopyFrom(m.graph.initializer[0])


def two_attributes(m: Any) -> None:
    m.graph.node[1].attribute.extend([helper.make_attribute("a", 1)] * 2)


def missing(m: Any) -> None:
    m.graph.node[1].input[0] = "nowhere"


def no_output(m: Any) -> None:
    del m.graph.output[:]


def no_nodes(m: Any) -> None:
    del m.graph.node[:]


def no_opset(m: Any) -> None:
    del m.opset_import[:]


def old_opset(m: Any) -> None:
    m.opset_import[0].version = 10


def new_opset(m: Any) -> None:
    m.opset_import[0].version = 99


def not_finite(m: Any) -> None:
    m.graph.initializer[0].CopyFrom(tensor("w", np.full((4, 3), np.nan, np.float32)))


def beyond_floats(m: Any) -> None:
    m.graph.initializer[0].CopyFrom(tensor("w", np.full((4, 3), 1e300)))


def whole_weights(m: Any) -> None:
    m.graph.initializer[0].CopyFrom(tensor("w", np.ones((4, 3), np.int64)))


def text_weights(m: Any) -> None:
    m.graph.initializer[0].CopyFrom(helper.make_tensor("w", TensorProto.STRING, [1], [b"a"]))


def wrong_shape(m: Any) -> None:
    m.graph.initializer[0].CopyFrom(floats("w", 5, 3))


def negative_shape(m: Any) -> None:
    m.graph.initializer[0].dims[0] = -4


def huge_shape(m: Any) -> None:
    m.graph.initializer[0].dims[:] = [2**40, 2**40]


def short_weights(m: Any) -> None:
    m.graph.initializer[0].raw_data = b"abc"


def sparse(m: Any) -> None:
    m.graph.sparse_initializer.add()


def deep_axes(m: Any) -> None:
    m.graph.initializer[0].dims[:] = [1] * 1000


def huge_input(m: Any) -> None:
    m.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 2**60


def open_input(m: Any) -> None:
    m.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "width"


def text_input(m: Any) -> None:
    m.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING


def unused_input(m: Any) -> None:
    m.graph.node[0].input[0] = "w"


def wrong_output(m: Any) -> None:
    shape = ("N", 7)
    m.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, shape))


def wrong_kind(m: Any) -> None:
    m.graph.node[1].CopyFrom(helper.make_node("Softmax", ["h"], ["y"], name="soft", axis="last"))


def function_attribute(m: Any) -> None:
    m.graph.node[1].CopyFrom(helper.make_node("Softmax", ["h"], ["y"], name="soft", axis=1))
    m.graph.node[1].attribute[0].ref_attr_name = "outer"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (cycle, "form a cycle: .*matrix"),
        (two_results, "two values are called 'h'"),
        (two_weights, "two weights are called 'w'"),
        (two_attributes, "two attributes of node 'relu' are called 'a'"),
        (missing, "node 'relu' reads 'nowhere'"),
        (no_output, "no output"),
        (no_nodes, "no operators"),
        (no_opset, "names 0 versions"),
        (old_opset, "opset 10; 11 to"),
        (new_opset, "opset 99; 11 to"),
        (not_finite, "'matrix': 12 of its 12 weights are NaN"),
        (beyond_floats, "'matrix': 12 of its 12 weights are NaN or infinite"),
        (whole_weights, "'matrix' .MatMul.: its weights are of type int64"),
        (text_weights, "matrix .MatMul.: it holds numbers of type text"),
        (wrong_shape, r"'matrix' .MatMul.: its weights of shape \(5, 3\) meet"),
        (negative_shape, r"'matrix' .MatMul.: its shape \(-4, 3\) is none"),
        (huge_shape, "'matrix' .MatMul.: its .* bytes go beyond the limit"),
        (short_weights, "'matrix' .MatMul.: it holds 3 bytes, but its shape needs 48"),
        (sparse, "sparse weights"),
        (deep_axes, "its shape .* is none"),
        (huge_input, "'x': its output of shape .* far beyond any chip"),
        (open_input, "shape of one sample is not fixed"),
        (text_input, "x .Input.: it takes text"),
        (unused_input, "no output depends on an input"),
        (wrong_output, r"output 'y' has shape \(3,\) for a sample, but the file says \(7,\)"),
        (wrong_kind, "'soft' .Softmax.: its axis is of kind a word, expected a whole number"),
        (function_attribute, "'soft' .Softmax.: its axis is that of a function"),
    ],
)
def test_impossible_models_are_refused_with_their_place(
    change: Callable[[Any], None], words: str, tmp_path: Path
) -> None:
    proto = good()
    change(proto)
    refused(proto, tmp_path, words)


def conv(**options: Any) -> Any:
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], name="conv", **options)]
    return model(nodes, [floats("w", 2, 1, 3, 3)], x=("N", 1, 8, 8))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pads": [2**40] * 4}, "far beyond any chip"),
        ({"pads": [2**40] * 4, "strides": [2**40] * 2}, "its padded input"),
        ({"pads": [-1] * 4}, "'conv' .Conv.: its pads is"),
        ({"pads": [1]}, "expected 4 numbers"),
        ({"strides": [0, 1]}, "its strides is .0, 1., expected a few whole numbers of at least 1"),
        ({"strides": "2"}, "its strides is of kind a word, expected whole numbers"),
        ({"strides": [1] * 100}, "its strides"),
        ({"dilations": [2**50, 1]}, "would be empty"),
        ({"group": 7}, "in 7 groups do not fit"),
        ({"group": 0}, "in 0 groups do not fit"),
        ({"kernel_shape": [2, 2]}, r"its kernel_shape is \(2, 2\), expected \(3, 3\)"),
        ({"auto_pad": "SAME"}, "its auto_pad is 'SAME', expected NOTSET or"),
        ({"colour": 3}, "its attribute colour is not known"),
    ],
)
def test_impossible_windows_are_refused(
    options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    refused(conv(**options), tmp_path, words)


def test_what_is_computed_from_constants_is_counted_before_it_is_made(tmp_path: Path) -> None:
    node = helper.make_node
    wide = [
        node("Add", ["a", "b"], ["c"], name="wide"), node("MatMul", ["x", "c"], ["y"]),
    ]  # fmt: skip
    held = [floats("a", 60_000, 1), floats("b", 1, 60_000)]
    refused(model(wide, held), tmp_path, "'wide' .Add.: its 28800000000 bytes go beyond the limit")
    filled = [node("ConstantOfShape", ["s"], ["c"], name="fill"), node("MatMul", ["x", "c"], ["y"])]
    held = [tensor("s", np.array([2**31, 2**31]))]
    refused(model(filled, held), tmp_path, "'fill' .ConstantOfShape.: its .* beyond the limit")
    doubled = [node("Concat", [f"c{k}"] * 2, [f"c{k + 1}"], axis=0) for k in range(40)]
    doubled.append(node("MatMul", ["x", "c40"], ["y"]))
    refused(model(doubled, [floats("c0", 4, 3)]), tmp_path, "beyond the limit", max_bytes=10**6)


def test_weights_that_many_operators_share_are_counted_each_time(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", [f"v{k}", "w"], [f"v{k + 1}"]) for k in range(500)]
    nodes[0].input[0] = "x"
    held = [floats("w", 100, 100)]
    proto = model(nodes, held, x=("N", 100), y="v500")
    refused(proto, tmp_path, "beyond the limit", max_bytes=2 * 10**6)


def test_many_equal_names_take_no_time(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", [f"v{k}"], [f"v{k + 1}"], name="same") for k in range(3000)]
    nodes[0].input[0] = "x"
    path = tmp_path / "model.onnx"
    path.write_bytes(model(nodes, [], y="v3000").SerializeToString())
    start = time.process_time()
    load(path)
    assert time.process_time() - start < 10


def test_deeply_nested_files_are_refused(tmp_path: Path) -> None:
    inner = b""
    for _ in range(3000):  # graphs in attributes of nodes in graphs
        attribute = b"\x32" + length(inner) + inner
        node = b"\x2a" + length(attribute) + attribute
        inner = b"\x0a" + length(node) + node
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x08\x08" + b"\x3a" + length(inner) + inner)
    with pytest.raises(ModelError, match="cut short or damaged"):
        load(path)


def length(data: bytes) -> bytes:
    """The length of a field as protobuf writes it."""
    n, out = len(data), b""
    while n > 0x7F:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


@pytest.mark.parametrize("content", [b"\x08", b"\x08\x08", b"\x08\x08\x3a\x02\x0a\x00"])
def test_files_that_only_begin_like_onnx_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert not survives(path)


def test_a_file_over_the_limit_is_refused() -> None:
    with pytest.raises(ModelError, match="limit of 100"):
        load(MODELS / "torch_script_cnn.onnx", max_bytes=100)


def outside(location: str = "weights.bin", **more: str) -> Any:
    """The good model with its matrix in another file."""
    proto = good()
    held = proto.graph.initializer[0]
    held.ClearField("raw_data")
    held.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        held.external_data.add(key=key, value=value)
    return proto


def test_weights_in_a_file_beside_the_model_are_read(tmp_path: Path) -> None:
    weights = np.arange(12, dtype=np.float32).reshape(4, 3)
    for location, more in (("weights.bin", {}), ("sub/w", {"offset": "8", "length": "48"})):
        path = tmp_path / location
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(8 if more else 0) + weights.tobytes())
        file = tmp_path / "model.onnx"
        file.write_bytes(outside(location, **more).SerializeToString())
        first = load(file)
        assert np.array_equal(first.network["matrix"].weights, weights)
        path.write_bytes(bytes(8 if more else 0) + (weights + 1).tobytes())
        assert load(file).sha256 != first.sha256


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("../weights.bin", "leaves the model's folder"),
        ("sub/../../weights.bin", "leaves the model's folder"),
        ("/etc/hostname", "leaves the model's folder"),
        ("C:\\weights.bin", "leaves the model's folder"),
        ("", "leaves the model's folder"),
        ("./weights.bin", "leaves the model's folder"),
        ("a" * 2000, "leaves the model's folder"),
        ("missing.bin", "is not beside the model"),
        ("sub", "is a link or no file"),
        ("link.bin", "is a link or no file"),
        ("linked/weights.bin", "is a link or no file"),
        ("pipe", "is a link or no file"),
    ],
)
def test_weights_are_read_only_from_the_models_folder(
    location: str, words: str, tmp_path: Path
) -> None:
    inside = tmp_path / "inside"
    (inside / "sub").mkdir(parents=True)
    (tmp_path / "weights.bin").write_bytes(bytes(48))
    (inside / "link.bin").symlink_to(tmp_path / "weights.bin")
    (inside / "linked").symlink_to(tmp_path)
    os.mkfifo(inside / "pipe")
    refused(outside(location), inside, words)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"offset": "8"}, "holds 40 bytes for it, but its shape needs 48"),
        ({"offset": "-8"}, "its offset is '-8', no number"),
        ({"offset": "9" * 40}, "its offset is"),
        ({"offset": "9" * 18}, "holds 0 bytes for it"),
        ({"length": "12"}, "holds 12 bytes for it"),
        ({"length": "1e9"}, "its length is '1e9', no number"),
    ],
)
def test_impossible_places_in_other_files_are_refused(
    more: dict[str, str], words: str, tmp_path: Path
) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(48))
    refused(outside(**more), tmp_path, words)


def test_a_model_in_memory_has_no_files_beside_it() -> None:
    with pytest.raises(ModelError, match=r"'weights.bin', which a model in memory does not have"):
        load(outside())


def test_without_the_package_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = builtins.__import__

    def missing(name: str, *args: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "onnx":
            raise ImportError(name)
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ModelError, match=r"pip install 'nmcompile\[onnx\]'"):
        load(MODELS / "torch_script_cnn.onnx")
