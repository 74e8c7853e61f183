"""ONNX operators on constants and on shapes: computed here, with their size counted before."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.errors import ModelError
from nmcompile.frontends.layout import Refused, Tensor
from nmcompile.frontends.onnx.attributes import Attributes
from nmcompile.frontends.onnx.quantise import dequantized, quantized
from nmcompile.frontends.onnx.step import BATCH, Constant, Context
from nmcompile.frontends.onnx.tensors import TYPES, TensorReader, type_name
from nmcompile.frontends.reading import MALFORMED, short

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Fold:
    """One operator on constants.

    Attributes
    ----------
    a : its attributes
    given : its inputs, None where one is left out
    """

    a: Attributes
    given: Sequence[Array | None]
    context: Context
    reader: TensorReader

    def __getitem__(self, k: int) -> Array:
        found = self.get(k)
        if found is None:
            raise ValueError(f"input {k} is left out")
        return found

    def get(self, k: int) -> Array | None:
        """An input, or None where it is left out."""
        return self.given[k] if k < len(self.given) else None

    def take(self, *shape: int) -> None:
        """Count the memory of a result before it is made."""
        self.context.kept.take(8 * math.prod(shape), self.context.place(self.a.op))

    def axes(self, k: int, since: int) -> tuple[int, ...] | None:
        """Axes, which are an attribute in versions before `since` and an input from then on."""
        if self.a.opset < since:
            return self.a.ints("axes")
        found = self.get(k)
        return None if found is None else tuple(int(n) for n in found.reshape(-1))


def fold(f: Fold) -> Constant:
    """The operator's result.

    Raises
    ------
    Refused, ModelError
        Numbers of types that are not read, or that do not fit each other.
    """
    try:
        result = Constant(np.asarray(FOLDS[f.a.op.kind](f)))
    except MALFORMED as error:
        raise ModelError(
            f"{f.context.where}: {f.context.place(f.a.op)}: its constants do not fit each other "
            f"({short(error)}); export the model again"
        ) from error
    f.a.finish()
    return result


def shape_of(tensor: Tensor, a: Attributes) -> Constant:
    """The shape of a tensor of the network, for models that compute with it."""
    found = _part((BATCH, *tensor.shape), a)
    a.finish()
    return Constant(found)


def _part(shape: tuple[int, ...], a: Attributes) -> Array:
    return np.array(shape[a.whole("start", 0) : a.whole("end", len(shape))], np.int64)


def _constant(f: Fold) -> Array:
    kinds = {"value": "t", "value_float": "f", "value_int": "i", "value_floats": "floats",
             "value_ints": "ints"}  # fmt: skip
    found = {key: f.a.raw(key, kind) for key, kind in kinds.items() if key in f.a.op.attributes}
    if len(found) != 1:
        raise Refused("it holds no tensor of numbers", "export the model with dense constants")
    ((key, value),) = found.items()
    if key == "value":
        return f.reader.read(value, f.context.place(f.a.op))
    f.take(len(value) if key.endswith("s") else 1)
    return np.array(value, np.float32 if "float" in key else np.int64)


def _constant_of_shape(f: Fold) -> Array:
    shape = tuple(int(n) for n in f[0].reshape(-1))
    value = f.a.raw("value", "t")
    number = (
        f.reader.read(value, f.context.place(f.a.op))
        if value is not None
        else np.zeros(1, np.float32)
    )
    if len(shape) > 16 or any(n < 0 for n in shape):
        raise ValueError(f"a shape of {str(shape[:16])[:60]}")
    f.take(*shape)
    return np.full(shape, number.reshape(-1)[0])


def _cast(f: Fold) -> Array:
    name = TYPES.get(f.a.whole("to", 0))
    f.a.ignore("saturate", "round_mode")
    if name is None or name == "bfloat16":
        raise Refused(f"it casts to {type_name(f.a.whole('to', 0))}", "use float32 or int64")
    f.take(f[0].size)
    kind = np.dtype(name)
    if kind.kind in "iu":
        if f[0].dtype.kind == "f" and not np.isfinite(f[0]).all():
            raise ValueError("NaN or infinite numbers as whole ones")
        if not (f[0] == BATCH).any():
            return f[0].astype(kind)
        return f[0]
    return _whole(f[0]).astype(kind)


def _gather(f: Fold) -> Array:
    data, where = f[0], f[1]
    axis = f.a.whole("axis", 0)
    f.take(*where.shape, data.size // max(1, data.shape[axis]))
    return np.take(data, where, axis=axis)


def _slice(f: Fold) -> Array:
    data = f[0]
    starts, ends = (f[k].reshape(-1).tolist() for k in (1, 2))
    axes = f.axes(3, 0)
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if f.get(4) is None else f[4].reshape(-1).tolist()
    parts = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        backwards = step < 0 and end < -data.shape[axis]
        parts[axis] = slice(start, None if backwards else end, step)
    return data[tuple(parts)]


def _concat(f: Fold) -> Array:
    parts = [f[k] for k in range(len(f.given))]
    f.take(sum(part.size for part in parts))
    return np.concatenate(parts, axis=f.a.whole("axis", 0))


def _reshape(f: Fold) -> Array:
    target = [int(n) for n in f[1].reshape(-1)]
    if not f.a.flag("allowzero"):
        target = [f[0].shape[k] if n == 0 else n for k, n in enumerate(target)]
    return f[0].reshape(target)


def _transpose(f: Fold) -> Array:
    return f[0].transpose(f.a.ints("perm"))


def _squeeze(f: Fold) -> Array:
    return f[0].squeeze(f.axes(1, 13))


def _unsqueeze(f: Fold) -> Array:
    axes = f.axes(1, 13)
    if not axes or f[0].ndim + len(axes) > 16:
        raise ValueError("no axes, or too many")
    return np.expand_dims(f[0], axes)


def _arithmetic(compute: Callable[[Array, Array], Array]) -> Callable[[Fold], Array]:
    def inner(f: Fold) -> Array:
        first, second = _whole(f[0]), _whole(f[1])
        f.take(*np.broadcast_shapes(first.shape, second.shape))
        with np.errstate(all="ignore"):
            return np.asarray(compute(first, second), np.result_type(first, second))

    return inner


def _single(compute: Callable[[Array], Array]) -> Callable[[Fold], Array]:
    def inner(f: Fold) -> Array:
        f.take(f[0].size)
        with np.errstate(all="ignore"):
            return np.asarray(compute(_whole(f[0])))

    return inner


def _divide(first: Array, second: Array) -> Array:
    if first.dtype.kind == "f":
        return first / second
    if not second.all():
        raise ValueError("a division by 0")
    return np.sign(first) * np.sign(second) * (np.abs(first) // np.abs(second))


def _whole(array: Array) -> Array:
    if array.dtype.kind not in "fiu":
        raise ValueError(f"numbers of type {array.dtype}")
    if array.dtype.kind == "i" and (array == BATCH).any():
        raise Refused(
            "it computes with the number of samples", "export with a fixed shape for each sample"
        )
    return array


def _quantised(
    compute: Callable[[Array, Array, Array | None, Attributes], Array],
) -> Callable[[Fold], Array]:
    def inner(f: Fold) -> Array:
        f.take(f[0].size)
        return compute(f[0], f[1], f.get(2), f.a)

    return inner


#: Operators that are computed where all of their inputs are constant.
FOLDS: dict[str, Callable[[Fold], Array]] = {
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Identity": lambda f: f[0],
    "Cast": _cast,
    "Shape": lambda f: _part(f[0].shape, f.a),
    "Gather": _gather,
    "Slice": _slice,
    "Concat": _concat,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Add": _arithmetic(np.add),
    "Sub": _arithmetic(np.subtract),
    "Mul": _arithmetic(np.multiply),
    "Div": _arithmetic(_divide),
    "Neg": _single(np.negative),
    "Sqrt": _single(np.sqrt),
    "Reciprocal": _single(np.reciprocal),
    "QuantizeLinear": _quantised(quantized),
    "DequantizeLinear": _quantised(dequantized),
}
