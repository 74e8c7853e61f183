"""Random ONNX models in the words of several exporters, for comparison with ONNX' own evaluator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

#: Opsets that the models are written in.
OPSETS = (11, 12, 13, 14, 15, 17, 18, 20, 21, 22)
#: Samples of the models with a fixed number.
SAMPLES = 2


@dataclass(frozen=True)
class Value:
    """A result: its name, and its shape without the sample axis, channels first."""

    name: str
    shape: tuple[int, ...]


class Draft:
    """A model that grows, operator by operator.

    Attributes
    ----------
    wide : whether it may hold what ONNX' own evaluator does not compute, but onnxruntime does
    """

    def __init__(self, seed: int, *, wide: bool) -> None:
        self.rng, self.wide = np.random.default_rng(seed), wide
        self.opset = int(self.rng.choice(OPSETS))
        self.nodes: list[NodeProto] = []
        self.held: list[TensorProto] = []

    def pick(self, *values: Any) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def constant(self, array: NDArray[Any]) -> str:
        """Numbers: in the file, from a Constant, or as whole numbers with scales."""
        array = np.asarray(array)
        name = f"c{len(self.held)}_{len(self.nodes)}"
        understood = self.wide or self.opset > 18
        if array.dtype == np.float32 and array.ndim > 1 and understood and self.chance(0.3):
            return self._quantised(array, name)
        tensor = numpy_helper.from_array(np.array(array, order="C"), name)
        if self.chance(0.2):
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        else:
            self.held.append(tensor)
        return name

    def _quantised(self, array: NDArray[Any], name: str) -> str:
        each = self.opset > 12 and self.chance(0.5)
        axis = int(self.rng.integers(array.ndim)) if each else 0
        shape = (array.shape[axis],) if each else ()
        scale = np.asarray(self.rng.uniform(0.005, 0.02, shape), np.float32)
        kind = self.pick(np.int8, np.uint8)
        whole = self.rng.integers(-90, 90, array.shape) + (128 if kind == np.uint8 else 0)
        zero = np.full(shape, 128 if kind == np.uint8 else 0, kind)
        for each_name, value in ((f"{name}_q", whole.astype(kind)), (f"{name}_s", scale),
                                 (f"{name}_z", zero)):  # fmt: skip
            self.held.append(numpy_helper.from_array(value, each_name))
        options = {"axis": axis} if each else {}
        parts = [f"{name}_q", f"{name}_s", f"{name}_z"]
        self.nodes.append(helper.make_node("DequantizeLinear", parts, [name], **options))
        return name

    def floats(self, *shape: int, low: float = -0.8, high: float = 0.8) -> NDArray[np.float32]:
        return np.asarray(self.rng.uniform(low, high, shape), np.float32)

    def add(self, kind: str, inputs: Sequence[str], shape: Sequence[int], **options: Any) -> Value:
        name = f"v{len(self.nodes)}"
        label = f"{kind.lower()}_{len(self.nodes)}" if self.chance(0.8) else ""
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=label, **options))
        return Value(name, tuple(shape))

    def axes(self, kind: str, x: Value, axes: Sequence[int], shape: Sequence[int], since: int,
             **options: Any) -> Value:  # fmt: skip
        """An operator whose axes became an input in some version."""
        if self.opset < since:
            return self.add(kind, [x.name], shape, axes=list(axes), **options)
        where = self.constant(np.array(axes, np.int64))
        return self.add(kind, [x.name, where], shape, **options)

    def model(self, x: Value, out: Value) -> ModelProto:
        samples = self.pick("N", "N", SAMPLES)
        graph = helper.make_graph(
            self.nodes, "net",
            [helper.make_tensor_value_info(x.name, TensorProto.FLOAT, [samples, *x.shape])],
            [helper.make_tensor_value_info(out.name, TensorProto.FLOAT, [samples, *out.shape])],
            initializer=self.held,
        )  # fmt: skip
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def random_onnx(seed: int, *, wide: bool = False) -> ModelProto:
    """A small random model."""
    d = Draft(seed, wide=wide)
    spatial = d.pick(2, 2, 1)
    last = d.chance(0.3)  # channels last, with Transposes around each operator on images
    channels, size = int(d.rng.integers(1, 4)), [int(n) for n in d.rng.integers(6, 11, spatial)]
    if d.chance(0.12):
        x = Value("x", (int(d.rng.integers(3, 12)),))
        return d.model(x, dense_end(d, x))
    x = here = Value("x", (*size, channels) if last else (channels, *size))
    for _ in range(int(d.rng.integers(2, 6))):
        before = here
        if last:
            here = turned(d, here, to_first=True)
        here = random_layer(d, here)
        if d.chance(0.25):
            here = branch(d, here)
        if last:
            here = turned(d, here, to_first=False)
        elif d.chance(0.1):
            here = wandering(d, here)
        if before.shape == here.shape and before is not here and d.chance(0.2):
            here = d.add("Add", [before.name, here.name], here.shape)
    if last and d.chance(0.5):
        here = turned(d, here, to_first=True)
        last = False
    return d.model(x, dense_end(d, vector(d, here, last)))


def turned(d: Draft, x: Value, *, to_first: bool) -> Value:
    rank = len(x.shape)
    order = (rank - 1, *range(rank - 1)) if to_first else (*range(1, rank), 0)
    perm = [0, *(axis + 1 for axis in order)]
    return d.add("Transpose", [x.name], [x.shape[k] for k in order], perm=perm)


def wandering(d: Draft, x: Value) -> Value:
    """The same numbers by another way: transposed, reshaped, and back."""
    order = [int(k) for k in d.rng.permutation(len(x.shape))]
    y = d.add("Transpose", [x.name], [x.shape[k] for k in order], perm=[0, *(k + 1 for k in order)])
    y = d.add("Relu", [y.name], y.shape)
    target = d.constant(np.array([0, -1], np.int64))
    flat = d.add("Reshape", [y.name, target], [int(np.prod(y.shape))])
    target = d.constant(np.array([d.pick(0, -1), *y.shape], np.int64))
    y = d.add("Reshape", [flat.name, target], y.shape)
    back = [order.index(k) for k in range(len(order))]
    y = d.add("Transpose", [y.name], x.shape, perm=[0, *(k + 1 for k in back)])
    return d.add("Add", [x.name, y.name], x.shape)


def random_layer(d: Draft, x: Value) -> Value:
    makers = (
        conv,
        conv,
        conv,
        batch_norm,
        relu,
        relu,
        clip,
        pool,
        padding,
        constants,
        idle,
        squares,
    )
    return makers[int(d.rng.integers(len(makers)))](d, x)


def window(d: Draft, x: Value, *, pool: bool) -> tuple[dict[str, Any], list[int]] | None:
    """Options of a window, and the lengths that it gives."""
    spatial = len(x.shape) - 1
    kernel = [int(n) for n in d.rng.integers(1, 4, spatial)]
    stride = [int(n) for n in d.rng.integers(1, 3, spatial)]
    dilation = [1 if pool else int(d.pick(1, 1, 2)) for _ in range(spatial)]
    options: dict[str, Any] = {"kernel_shape": kernel, "strides": stride}
    if not pool:
        options["dilations"] = dilation
    span = [(k - 1) * e + 1 for k, e in zip(kernel, dilation, strict=True)]
    size = x.shape[1:]
    auto = d.pick("NOTSET", "NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
    if auto != "NOTSET":
        options["auto_pad"] = auto
    if auto.startswith("SAME"):
        if pool and (not d.wide or any(k < s for k, s in zip(kernel, stride, strict=True))):
            return None
        if not pool:
            options["dilations"] = [1] * spatial  # onnxruntime takes no others here
        return options, [-(-n // s) for n, s in zip(size, stride, strict=True)]
    before, after = [0] * spatial, [0] * spatial
    if auto == "NOTSET" and d.chance(0.6):
        before, after = (
            [int(d.rng.integers(k)) for k in (kernel if pool else span)] for _ in range(2)
        )
        options["pads"] = [*before, *after]
    out = [
        (n + b + e - k) // s + 1
        for n, b, e, k, s in zip(size, before, after, span, stride, strict=True)
    ]
    if pool and d.wide and auto == "NOTSET" and d.chance(0.4):
        options["ceil_mode"] = 1
        for k in range(spatial):
            out[k] = -(-(size[k] + before[k] + after[k] - kernel[k]) // stride[k]) + 1
            if (out[k] - 1) * stride[k] >= size[k] + before[k]:
                if d.opset < 22:  # versions differ in whether there is such a window
                    return None
                out[k] -= 1
    return (options, out) if min(out) > 0 else None


def conv(d: Draft, x: Value) -> Value:
    found = window(d, x, pool=False)
    if found is None:
        return x
    options, size = found
    channels = x.shape[0]
    groups = channels if d.chance(0.25) else 2 if channels % 2 == 0 and d.chance(0.3) else 1
    out = groups * int(d.rng.integers(1, 4))
    weights = d.constant(d.floats(out, channels // groups, *options["kernel_shape"]))
    bias = [d.constant(d.floats(out))] if d.chance(0.6) else []
    return d.add("Conv", [x.name, weights, *bias], [out, *size], group=groups, **options)


def batch_norm(d: Draft, x: Value) -> Value:
    n = x.shape[0]
    parts = [d.floats(n), d.floats(n), d.floats(n), d.floats(n, low=0.2, high=2)]
    options = {"epsilon": d.pick(1e-5, 1e-2)}
    if d.opset < 14 and not d.wide:
        options["momentum"] = 1.0  # else ONNX' own evaluator mixes in the samples' statistics
    return d.add("BatchNormalization", [x.name, *map(d.constant, parts)], x.shape, **options)


def relu(d: Draft, x: Value) -> Value:
    return d.add("Relu", [x.name], x.shape)


def clip(d: Draft, x: Value) -> Value:
    top = d.floats(*d.pick((), (1,)), low=0.3, high=2)
    if d.chance(0.3):
        kind = d.pick("Relu", "Max")
        parts = [x.name] if kind == "Relu" else [x.name, d.constant(np.float32(0))]
        x = d.add(kind, parts, x.shape)
        return d.add("Min", [x.name, d.constant(top)], x.shape)
    bounds = [d.constant(np.float32(0)), d.constant(top.reshape(()))]
    return d.add("Clip", [x.name, *bounds[: d.pick(1, 2)]], x.shape)


def pool(d: Draft, x: Value) -> Value:
    found = window(d, x, pool=True)
    if found is None:
        return x
    options, size = found
    if d.chance(0.5):
        options["count_include_pad"] = 1
    return d.add("AveragePool", [x.name], [x.shape[0], *size], **options)


def padding(d: Draft, x: Value) -> Value:
    spatial = len(x.shape) - 1
    pads = [[int(n) for n in d.rng.integers(-1, 3, spatial)] for _ in range(2)]
    size = [n + a + b for n, a, b in zip(x.shape[1:], *pads, strict=True)]
    if min(size) < 2:
        return x
    if not d.wide:
        pads = [[max(0, n) for n in row] for row in pads]
        size = [n + a + b for n, a, b in zip(x.shape[1:], *pads, strict=True)]
    full = [0, 0, *pads[0], 0, 0, *pads[1]]
    value = [d.constant(np.float32(0))] if d.chance(0.5) else []
    where = d.constant(np.array(full, np.int64))
    return d.add("Pad", [x.name, where, *value], [x.shape[0], *size])


def constants(d: Draft, x: Value) -> Value:
    shape = d.pick((), (1, x.shape[0], *(1,) * (len(x.shape) - 1)),
                   (x.shape[0], *(1,) * (len(x.shape) - 1)), x.shape[-1:], x.shape)  # fmt: skip
    kind = d.pick("Add", "Sub", "Mul", "Div")
    number = d.constant(d.floats(*shape, low=0.5, high=1.5))
    pair = [x.name, number] if kind == "Div" or d.chance(0.6) else [number, x.name]
    return d.add(kind, pair, x.shape)


def idle(d: Draft, x: Value) -> Value:
    kind = d.pick("Identity", "Dropout", "Cast", "Neg", "Squeeze")
    if kind == "Squeeze":
        axis = int(d.rng.integers(1, len(x.shape) + 2))
        y = d.axes("Unsqueeze", x, [axis], (*x.shape[: axis - 1], 1, *x.shape[axis - 1 :]), 13)
        return d.axes("Squeeze", y, [axis], x.shape, 13)
    return d.add(kind, [x.name], x.shape, **({"to": TensorProto.FLOAT} if kind == "Cast" else {}))


def squares(d: Draft, x: Value) -> Value:
    """A product along the last axis, as Dense layers on images have it."""
    units = int(d.rng.integers(2, 7))
    weights = d.constant(d.floats(x.shape[-1], units))
    return d.add("MatMul", [x.name, weights], [*x.shape[:-1], units])


def branch(d: Draft, x: Value) -> Value:
    other = random_layer(d, x)
    if other.shape == x.shape:
        return d.add(d.pick("Add", "Sum"), [x.name, other.name], x.shape)
    for axis in range(len(x.shape)):
        if x.shape[:axis] + x.shape[axis + 1 :] == other.shape[:axis] + other.shape[axis + 1 :]:
            shape = [*x.shape[:axis], x.shape[axis] + other.shape[axis], *x.shape[axis + 1 :]]
            where = d.pick(axis + 1, axis - len(x.shape))
            return d.add("Concat", [x.name, other.name], shape, axis=where)
    return other


def vector(d: Draft, x: Value, last: bool) -> Value:
    """One row of numbers for each sample."""
    values, rank = int(np.prod(x.shape)), len(x.shape)
    way = d.pick("Flatten", "Reshape", "Computed", "Mean", "Global")
    if way == "Global" and not last:
        x = d.add("GlobalAveragePool", [x.name], [x.shape[0], *(1,) * (rank - 1)])
        values, way = x.shape[0], "Flatten"
    if way in ("Mean", "Global"):
        axes = list(range(1, rank)) if last else list(range(2, rank + 1))
        keep = d.pick(0, 1)
        left = [x.shape[-1 if last else 0]]
        kept = [1 if k + 1 in axes else n for k, n in enumerate(x.shape)]
        if d.chance(0.5):
            axes = [axis - rank - 1 for axis in axes]
        x = d.axes("ReduceMean", x, axes, kept if keep else left, 18, keepdims=keep)
        if not keep:
            return x
        values, way = left[0], "Flatten"
    if way == "Flatten":
        return d.add("Flatten", [x.name], [values], **d.pick({}, {"axis": 1}))
    if way == "Reshape":
        first, second = d.pick((0, -1), (-1, values), (0, values))
        target = d.constant(np.array([first, second], np.int64))
        return d.add("Reshape", [x.name, target], [values])
    size = d.add("Shape", [x.name], [])
    first = d.add("Gather", [size.name, d.constant(np.int64(0))], [], axis=0)
    row = d.axes("Unsqueeze", first, [0], [], 13)
    rest = d.constant(np.array([-1], np.int64))
    target = d.add("Concat", [row.name, rest], [], axis=0).name
    return d.add("Reshape", [x.name, target], [values])


def dense_end(d: Draft, x: Value) -> Value:
    for k in range(int(d.rng.integers(1, 3))):
        if k:
            x = relu(d, x)
        x = dense(d, x, int(d.rng.integers(2, 7)))
    end = d.pick("", "", "Relu", "Softmax")
    if end == "Softmax":
        return d.add("Softmax", [x.name], x.shape, **d.pick({}, {"axis": 1}, {"axis": -1}))
    return d.add(end, [x.name], x.shape) if end else x


def dense(d: Draft, x: Value, units: int) -> Value:
    weights = d.floats(x.shape[0], units)
    if d.chance(0.4):
        y = d.add("MatMul", [x.name, d.constant(weights)], [units])
        return d.add("Add", [y.name, d.constant(d.floats(units))], [units])
    transposed = d.chance(0.6)
    parts = [x.name, d.constant(weights.T if transposed else weights)]
    if d.chance(0.7):
        parts.append(d.constant(d.floats(*d.pick((units,), (1, units), ()))))
    options = d.pick({}, {"alpha": 0.5, "beta": 2.0})
    return d.add("Gemm", parts, [units], transB=int(transposed), **options)
