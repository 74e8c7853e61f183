"""ONNX operators that compute number by number or with matrices."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.frontends.layout import Refused, Tensor
from nmcompile.frontends.onnx.attributes import Attributes
from nmcompile.frontends.onnx.step import Constant, Converter, OpStep, Parser, as_floats
from nmcompile.ir import nodes

#: Operators that become a ReLU node of their own.
_RELUS = ("Relu", "Clip", "Max")
#: A bound beyond which a Clip clips nothing.
NO_BOUND = 1e30
_SELECTS = (
    "a spiking neuron sends sums, so it cannot choose or compare inputs",
    "use ReLU, maybe with an upper bound, or Add or Concat",
)
_CONSTANT_WEIGHTS = "use one input, and constant weights after their export"


def gemm(a: Attributes) -> Converter:
    alpha, beta = a.number("alpha", 1.0), a.number("beta", 1.0)
    turned, transposed = a.flag("transA"), a.flag("transB")
    if turned:
        a.problem("it multiplies samples with each other (transA)", "use transA=0")

    def convert(step: OpStep) -> Tensor:
        x, weights, bias = step.source(), step.weights(1), step.floats(2, "biases")
        weights = weights.T if transposed else weights
        if weights.ndim != 2 or len(x.shape) != 1:
            raise step.bad(f"its weights of shape {weights.shape} meet an input of {x.shape}")
        if bias is not None:
            units = weights.shape[1]
            if bias.shape not in ((), (1,), (units,), (1, 1), (1, units)):
                raise Refused(
                    f"its biases of shape {bias.shape} differ between samples",
                    f"use biases of shape ({units},)",
                )
            bias = as_floats(np.broadcast_to(bias.reshape(-1), (units,)) * np.float32(beta))
        if alpha != 1:
            weights = weights * np.float32(alpha)
        return step.product(x, np.ascontiguousarray(weights), bias)

    return convert


def matmul(a: Attributes) -> Converter:
    def convert(step: OpStep) -> Tensor:
        x = step.source()
        if isinstance(step.value(1), Tensor):
            raise Refused("it multiplies activations with each other", _CONSTANT_WEIGHTS)
        weights = step.weights(1)
        while weights.ndim > 2 and weights.shape[0] == 1 and weights.ndim <= len(x.shape) + 1:
            weights = weights[0]
        if weights.ndim != 2 or not x.shape:
            raise Refused(
                f"its weights have shape {weights.shape}", "use a matrix of (inputs, outputs)"
            )
        if weights.shape[0] != x.shape[-1]:
            raise step.bad(f"its weights of shape {weights.shape} meet an input of {x.shape}")
        return step.product(x, weights, None)

    return convert


def add(a: Attributes) -> Converter:
    def convert(step: OpStep) -> Tensor:
        if None in step.values or (step.op.kind == "Add" and len(step.values) != 2):
            raise step.bad(f"it has {len(step.inputs)} inputs")
        constants = [v.array for v in step.values if isinstance(v, Constant)]
        if not constants:
            return step.inputs[0] if len(step.values) == 1 else step.sum()
        total = step.x if len(step.inputs) == 1 else step.sum()
        for array in constants:
            total = step.affine(total, 1.0, _per_sample(step, array, total))
        return total

    return convert


def subtract(a: Attributes) -> Converter:
    def convert(step: OpStep) -> Tensor:
        first, second = _two(step)
        if isinstance(second, Constant):
            x = step.source()
            return step.affine(x, 1.0, -_per_sample(step, second.array, x))
        if isinstance(first, Constant):
            return step.affine(second, -1.0, _per_sample(step, first.array, second))
        raise Refused(
            "differences of layers are not mapped",
            "use Add, and let the weights before it carry the sign",
        )

    return convert


def multiply(a: Attributes) -> Converter:
    def convert(step: OpStep) -> Tensor:
        first, second = _two(step)
        if isinstance(first, Tensor) and isinstance(second, Tensor):
            raise Refused("it multiplies activations with each other", _CONSTANT_WEIGHTS)
        constant = first if isinstance(first, Constant) else second
        assert isinstance(constant, Constant)
        return step.affine(step.x, _per_sample(step, constant.array, step.x), 0.0)

    return convert


def divide(a: Attributes) -> Converter:
    def convert(step: OpStep) -> Tensor:
        _, second = _two(step)
        if not isinstance(second, Constant):
            raise Refused("it divides by activations", "divide by constants")
        x = step.source()
        numbers = _per_sample(step, second.array, x)
        if not numbers.all():
            raise step.bad("it divides by 0")
        return step.affine(x, 1 / numbers, 0.0)

    return convert


def negative(a: Attributes) -> Converter:
    return lambda step: step.affine(step.source(), -1.0, 0.0)


def batch_norm(a: Attributes) -> Converter:
    epsilon = a.number("epsilon", 1e-5)
    a.ignore("momentum")
    if a.flag("training_mode"):
        a.problem("it is in training mode", "export the model in inference mode, model.eval()")

    def convert(step: OpStep) -> Tensor:
        x = step.source()
        size = x.shape[:1]
        names = ("scales", "biases", "means", "variances")
        gamma, beta, mean, variance = (
            step.weights(k, name).astype(np.float64) for k, name in enumerate(names, 1)
        )
        for name, array in zip(names, (gamma, beta, mean, variance), strict=True):
            if array.shape != size:
                raise step.bad(f"its {name} have shape {array.shape}, expected {size}")
        if not (variance + epsilon > 0).all():
            raise step.bad("its variance is negative or no number")
        factor = gamma / np.sqrt(variance + epsilon)
        along = (-1, *(1,) * (len(x.shape) - 1))
        return step.affine(x, factor.reshape(along), (beta - mean * factor).reshape(along))

    return convert


def relu(a: Attributes) -> Converter:
    return lambda step: step.relu(step.source())


def clip(a: Attributes) -> Converter:
    def convert(step: OpStep) -> Tensor:
        low, high = step.number(1, "lower bound"), step.number(2, "upper bound")
        top = None if high is None or high >= NO_BOUND else high
        if low != 0 or (top is not None and not top > 0):
            raise Refused(
                f"it clips to {_bound(low, '-')} … {_bound(high, '+')}, but a firing rate is zero "
                "below threshold",
                "clip from 0 to a number above it, and train again",
            )
        return limited(step, step.source(), top) or step.relu(step.source(), top)

    return convert


def limited(step: OpStep, x: Tensor, top: float | None) -> Tensor | None:
    """The ReLU before this operator, clipped; None where there is none that only this one reads."""
    before = step.context.graph.sole_maker(step.op.inputs[0])
    node = step.builder.nodes[x.node]
    if before is None or before.kind not in _RELUS or not isinstance(node, nodes.ReLU):
        return None
    bounds = [each for each in (node.max_value, top) if each is not None]
    step.builder.nodes[x.node] = replace(
        node, max_value=min(bounds, default=None), origin=(*node.origin, step.origin)
    )
    return x


def maximum(a: Attributes) -> Converter:
    """A ReLU, as JAX and TensorFlow write it."""

    def convert(step: OpStep) -> Tensor:
        if _bound_of(step) != 0:
            raise Refused(*_SELECTS)
        return step.relu(step.x)

    return convert


def minimum(a: Attributes) -> Converter:
    """The upper bound of a ReLU."""

    def convert(step: OpStep) -> Tensor:
        top = _bound_of(step)
        kept = limited(step, step.x, top) if top is not None and top > 0 else None
        if kept is None:
            raise Refused(*_SELECTS)
        return kept

    return convert


def _bound_of(step: OpStep) -> float | None:
    """The number that all of an operator's constant second input is, or None."""
    _, second = _two(step)
    if isinstance(second, Constant) and second.array.size and second.array.dtype.kind in "fiu":
        numbers = _per_sample(step, second.array, step.x)
        return float(numbers.flat[0]) if (numbers == numbers.flat[0]).all() else None
    return None


def softmax(a: Attributes) -> Converter:
    axis = a.whole("axis", -1 if a.opset >= 13 else 1)
    if not a.final:
        a.problem(
            "softmax is possible only as the last layer, where the host computes it",
            "use ReLU inside the network",
        )

    def convert(step: OpStep) -> Tensor:
        x = step.source()
        where = x.axis(axis)
        if a.opset < 13 and math.prod(x.shape[:where]) * math.prod(x.shape[where + 1 :]) != 1:
            raise Refused("it runs over several axes at once", "export with opset 13 or newer")
        return step.softmax(x, where)

    return convert


def refused(why: str, remedy: str) -> Parser:
    """An operator that is understood only where all of its inputs are constant."""

    def parse(a: Attributes) -> Converter:
        a.problem(why, remedy)
        a.ignore(*a.op.attributes)
        return lambda step: step.source()

    return parse


def _two(step: OpStep) -> tuple[Constant | Tensor, Constant | Tensor]:
    first, second = step.value(0), step.value(1)
    if first is None or second is None or len(step.values) != 2:
        raise step.bad("it does not have two inputs")
    return first, second


def _per_sample(step: OpStep, array: NDArray[Any], x: Tensor) -> NDArray[np.float64]:
    """A constant for one sample, without the sample axis."""
    if array.dtype.kind not in "fiu":
        raise step.bad(f"it computes with constants of type {array.dtype}")
    if array.ndim == len(x.shape) + 1 and array.shape[0] == 1:
        array = array[0]
    if array.ndim > len(x.shape):
        raise Refused(
            f"its constant of shape {array.shape} differs between samples",
            "use one that is equal for all samples",
        )
    step.context.kept.take(8 * array.size, step.context.place(step.op))
    return array.astype(np.float64)


def _bound(value: float | None, sign: str) -> str:
    return f"{sign}∞" if value is None or abs(value) >= NO_BOUND else f"{value:g}"
