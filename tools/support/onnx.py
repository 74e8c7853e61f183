"""ONNX models with one operator each that is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

from tools.support.probe import PROBED, SEED, Made, Maker, weights

Operator = tuple[str, list[Any], dict[str, Any]]


def op(kind: str, *arrays: Any, **attributes: Any) -> Operator:
    """An operator that reads the one before and some arrays."""
    return kind, list(arrays), attributes


@dataclass(frozen=True)
class Weights:
    """Weights to be drawn: a Gemm's are (inputs, outputs), a Conv's (outputs, inputs, ...)."""

    size: tuple[int, ...]

    def drawn(self, rng: np.random.Generator) -> Any:
        """The numbers, as a network of Keras draws them."""
        if len(self.size) == 2:
            return weights(rng, self.size)
        outputs, inputs, *kernel = self.size
        return np.moveaxis(weights(rng, (*kernel, inputs, outputs)), (-1, -2), (0, 1))


def numbers(*size: int) -> Weights:
    return Weights(size)


def net(
    *middle: Operator, shape: tuple[int, ...] = (2, 8, 8), flat: int = 0,
    branch: int | None = None, at: int = -1,
) -> Maker:  # fmt: skip
    """An encoder, the operators, a ReLU behind them, and a last layer.

    Parameters
    ----------
    flat : values before the last layer; 0 for none
    branch : number of the operator whose result the one that is looked at reads, too
    at : which of the operators is looked at
    """
    spatial = len(shape) - 1
    first = (op("Gemm", numbers(shape[0], 3)) if not spatial
             else op("Conv", numbers(3, shape[0], *(1,) * spatial)))  # fmt: skip
    tail = [op("Relu"), op("Flatten"), op("Gemm", numbers(flat, 4))] if flat else []
    steps = [first, op("Relu"), *middle, *tail]

    def make(folder: Path) -> Made:
        made, held, last = [], [], "x"
        rng = np.random.default_rng(SEED)
        for k, (kind, arrays, attributes) in enumerate(steps):
            names = [f"c{k}_{j}" for j in range(len(arrays))]
            held += [numpy_helper.from_array(_array(array, rng), name)
                     for name, array in zip(names, arrays, strict=True)]  # fmt: skip
            probed = middle and k == 2 + at % len(middle)
            more = [f"v{branch}"] if probed and branch is not None else []
            name = PROBED if probed else f"op{k}"
            made.append(
                helper.make_node(kind, [last, *more, *names], [f"v{k}"], name=name, **attributes)
            )
            last = f"v{k}"
        ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, size)
                 for name, size in (("x", ["n", *shape]), (last, None))]  # fmt: skip
        graph = helper.make_graph(made, "net", ports[:1], ports[1:], held)
        opset = [helper.make_opsetid("", 18)]
        save(helper.make_model(graph, opset_imports=opset, ir_version=9), folder / "net.onnx")
        return Made(folder / "net.onnx")

    return make


def _array(value: Any, rng: np.random.Generator) -> Any:
    return np.array(value.drawn(rng) if isinstance(value, Weights) else value, order="C")


def relu(*operators: Operator) -> Maker:
    """A ReLU between two layers, which is what is looked at."""
    tail = (op("Flatten"), op("Gemm", numbers(192, 4)))
    return net(op("Conv", numbers(3, 3, 1, 1)), *operators, *tail, at=1)


def wired(edges: list[tuple[str, str]], entries: str, outputs: str) -> Maker:
    """Products with matrices of 4 x 4, and ReLUs behind those that are read; sources add up."""

    def make(folder: Path) -> Made:
        rng = np.random.default_rng(SEED)
        made, held = [], []
        for name in dict.fromkeys(stop for _, stop in edges):
            held.append(numpy_helper.from_array(weights(rng, (4, 4)), f"w_{name}"))
            source, *others = [start for start, stop in edges if stop == name]
            for other in others:
                made.append(helper.make_node("Add", [source, other], [f"sum_{name}"]))
                source = f"sum_{name}"
            last = name in outputs.split()
            product = name if last else f"p_{name}"
            made.append(helper.make_node("MatMul", [source, f"w_{name}"], [product]))
            made += [] if last else [helper.make_node("Relu", [product], [name])]
        ports = [
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4])
             for name in names.split()] for names in (entries, outputs)
        ]  # fmt: skip
        graph = helper.make_graph(made, "net", *ports, held)
        opset = [helper.make_opsetid("", 18)]
        save(helper.make_model(graph, opset_imports=opset, ir_version=9), folder / "net.onnx")
        return Made(folder / "net.onnx", None)

    return make


QUANTISED = op("QuantizeLinear", np.float32(0.02), np.uint8(0))
PROBES: dict[str, Maker | str] = {
    "dense": net(op("Gemm", numbers(3, 5)), shape=(6,), flat=5),
    "conv2d": net(op("Conv", numbers(4, 3, 3, 3)), flat=144),
    "conv1d": net(op("Conv", numbers(4, 3, 3)), shape=(2, 9), flat=28),
    "depthwise": net(op("Conv", numbers(3, 1, 3, 3), group=3), flat=108),
    "dilated": net(op("Conv", numbers(4, 3, 3, 3), dilations=[2, 2]), flat=64),
    "transposed": "ConvTranspose",
    "average": net(op("AveragePool", kernel_shape=[2, 2], strides=[2, 2]), flat=48),
    "global": net(op("GlobalAveragePool"), flat=3),
    "max": "MaxPool",
    "batch norm": net(
        op("BatchNormalization", *(np.full(3, v, np.float32) for v in (1.2, 0.1, 0.2, 0.9))),
        flat=192,
    ),
    "layer norm": "LayerNormalization",
    "rescaling": net(op("Mul", np.float32(0.5)), flat=192),
    "relu": relu(op("Relu")),
    "relu6": relu(op("Clip", np.float32(0), np.float32(1))),
    "tanh": "Tanh",
    "softmax": net(
        op("Conv", numbers(3, 3, 1, 1)),
        op("Relu"),
        op("Flatten"),
        op("Gemm", numbers(192, 4)),
        op("Softmax", axis=-1),
    ),
    "dropout": net(op("Dropout"), flat=192),
    "reshape": net(op("Transpose", perm=[0, 2, 3, 1]), flat=192),
    "padding": net(op("Pad", np.array([0, 0, 1, 1, 0, 0, 1, 1])), flat=300),
    "add": net(op("Conv", numbers(3, 3, 1, 1)), op("Relu"), op("Add"), flat=192, branch=1),
    "concat": net(
        op("Conv", numbers(3, 3, 1, 1)), op("Relu"), op("Concat", axis=1), flat=384, branch=1
    ),
    "multiply": net(op("Conv", numbers(3, 3, 1, 1)), op("Relu"), op("Mul"), flat=192, branch=1),
    "recurrent": "RNN",
    "gated": "LSTM",
    "attention": "Attention",
    "two inputs": wired(
        [("a", "c"), ("b", "d"), ("c", "e"), ("d", "e"), ("e", "last")], "a b", "last"
    ),
    "two outputs": wired([("a", "c"), ("c", "d"), ("d", "e"), ("d", "f")], "a", "e f"),
    "quantised": net(QUANTISED, op("DequantizeLinear", np.float32(0.02), np.uint8(0)), flat=192),
}
