"""Whole numbers in ONNX models: weights are read exactly, roundings of activations are left out."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.errors import NmcompileWarning
from nmcompile.frontends.layout import Refused, Tensor
from nmcompile.frontends.onnx.arithmetic import limited
from nmcompile.frontends.onnx.attributes import Attributes
from nmcompile.frontends.onnx.step import Converter, OpStep, Rounded
from nmcompile.frontends.onnx.tensors import TYPES, type_name

_BLOCKS = ("its scales are given block by block", "quantise per tensor or per channel")


def quantize(a: Attributes) -> Converter:
    """Activations: the chip rounds them in its own way, so this rounding is left out, and said."""
    _options(a)

    def convert(step: OpStep) -> Tensor:
        x = step.source()
        scale, zero, kind = _grid(a, step)
        limits = np.iinfo(kind)
        low, high = ((float(n) - zero) * scale for n in (limits.min, limits.max))
        kept = limited(step, x, high) if low == 0 and high > 0 else None
        limit = "" if kept else f" and its limits {low:.4g} … {high:.4g}"
        warnings.warn(
            f"{step.context.where}: {step.context.place(step.op)}: rounding to steps of {scale:.4g}"
            f"{limit} is left out, for spikes round in their own way; results differ by so much",
            NmcompileWarning,
            stacklevel=2,
        )
        return Rounded(x.node, x.shape, x.layout, scale, zero)

    return convert


def dequantize(a: Attributes) -> Converter:
    _options(a)

    def convert(step: OpStep) -> Tensor:
        x = step.source()
        scale, zero, _ = _grid(a, step)
        if not isinstance(x, Rounded) or (x.scale, x.zero) != (scale, zero):
            raise Refused(
                "it scales whole numbers that no QuantizeLinear of its own scale made",
                "export the float model",
            )
        return Tensor(x.node, x.shape, x.layout)

    return convert


def quantized(array: NDArray[Any], scale: NDArray[Any], zero: NDArray[Any] | None,
              a: Attributes) -> NDArray[Any]:  # fmt: skip
    """Constants as QuantizeLinear rounds them."""
    kind = _kind(a) if zero is None else zero.dtype
    axis = _options(a)
    if kind.kind not in "iu" or array.dtype.kind != "f":
        raise ValueError(f"numbers of type {array.dtype} as {kind}")
    limits = np.iinfo(kind)
    steps = np.rint(array / _along(scale, array, axis))
    if zero is not None:
        steps = steps + _along(zero, array, axis)
    return np.clip(steps, limits.min, limits.max).astype(kind)


def dequantized(array: NDArray[Any], scale: NDArray[Any], zero: NDArray[Any] | None,
                a: Attributes) -> NDArray[Any]:  # fmt: skip
    """Whole numbers as DequantizeLinear scales them."""
    axis = _options(a)
    if array.dtype.kind not in "iu" or scale.dtype.kind != "f":
        raise ValueError(f"numbers of type {array.dtype} by scales of type {scale.dtype}")
    numbers = array.astype(np.float32)
    if zero is not None:
        numbers = numbers - _along(zero.astype(np.float32), array, axis)
    return numbers * _along(scale.astype(np.float32), array, axis)


def _options(a: Attributes) -> int:
    """Read all attributes; the axis of the scales."""
    a.ignore("saturate", "precision")
    if a.whole("block_size", 0):
        a.problem(*_BLOCKS)
    _kind(a)
    return a.whole("axis", 1)


def _kind(a: Attributes) -> np.dtype[Any]:
    number = a.whole("output_dtype", 0)
    name = TYPES.get(number or 2)
    if name is None or name == "bfloat16":
        a.problem(f"it makes numbers of type {type_name(number)}", "use int8, uint8 or floats")
        name = "uint8"
    return np.dtype(name)


def _grid(a: Attributes, step: OpStep) -> tuple[float, int, np.dtype[Any]]:
    """Scale, zero point and type of activations."""
    scale, zero = step.optional(1, "scale"), step.optional(2, "zero point")
    kind = _kind(a) if zero is None else zero.dtype
    if scale is None or scale.size != 1 or (zero is not None and zero.size != 1):
        raise Refused("it rounds activations channel by channel", "quantise them per tensor")
    value = float(scale.reshape(-1)[0])
    if kind.kind not in "iu" or not 0 < value < np.inf:
        raise step.bad(f"its scale is {value:g} and its type {kind}")
    return value, 0 if zero is None else int(zero.reshape(-1)[0]), kind


def _along(value: NDArray[Any], array: NDArray[Any], axis: int) -> NDArray[Any]:
    """Scales, one for all or one for each place along an axis, laid against an array."""
    if value.size == 1:
        return value.reshape(())
    if value.ndim != 1:
        raise ValueError(f"scales of shape {value.shape}")
    size = [1] * array.ndim
    size[axis] = len(value)
    if array.shape[axis] != len(value):
        raise ValueError(f"{len(value)} scales along an axis of {array.shape[axis]}")
    return value.reshape(size)
