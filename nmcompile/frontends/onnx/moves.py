"""ONNX operators that rearrange or join tensors, or do nothing once a network is trained."""

from __future__ import annotations

import math

from nmcompile.frontends.layout import Refused, Tensor, plain
from nmcompile.frontends.onnx.attributes import Attributes
from nmcompile.frontends.onnx.step import BATCH, Constant, Converter, OpStep
from nmcompile.frontends.onnx.tensors import FLOATS, type_name
from nmcompile.frontends.step import permuted
from nmcompile.ir.nodes import Shape

_MIXES = ("it mixes samples with each other", "keep the first axis, the samples, as it is")


def flatten(a: Attributes) -> Converter:
    axis = a.whole("axis", 1)

    def convert(step: OpStep) -> Tensor:
        x = step.source()
        if axis not in (1, -len(x.shape)):
            raise Refused(*_MIXES)
        return step.flattened(x, plain(len(x.shape)))

    return convert


def reshape(a: Attributes) -> Converter:
    zeros = a.flag("allowzero")

    def convert(step: OpStep) -> Tensor:
        x, target = step.source(), step.numbers(1, "shape")
        if target is None or len(target) > 16 or any(n < -1 and n != BATCH for n in target):
            raise step.bad(f"its shape {str(target)[:60]} is none")
        have = (BATCH, *x.shape)
        size = list(target)
        for k, n in enumerate(size):
            if n == 0 and not zeros:
                if k >= len(have):
                    raise step.bad(f"its shape {target} copies an axis that its input lacks")
                size[k] = have[k]
        return step.reshaped(x, _sample(size, math.prod(x.shape), step))

    return convert


def _sample(size: list[int], values: int, step: OpStep) -> Shape:
    """A target shape without its sample axis."""
    if size.count(-1) > 1:
        raise step.bad(f"its shape {size} has more than one open axis")
    first, rest = (size[0], size[1:]) if size else (1, [])
    if BATCH in rest or not rest:
        raise Refused(*_MIXES)
    if -1 in rest:
        known = math.prod(n for n in rest if n != -1)
        if known and values % known == 0:
            rest[rest.index(-1)] = values // known
    alone = first in (BATCH, -1, 1, step.context.samples)
    if math.prod(rest) == values and not alone:
        raise Refused(
            f"its shape fixes the number of samples to {first}",
            "use Flatten, or a shape that begins with -1 or with the size of the first axis",
        )
    if math.prod(rest) != values:
        text = tuple("samples" if n == BATCH else n for n in size)
        raise Refused(
            f"it cannot turn {values} values of each sample into shape {text}",
            "keep the first axis, the samples, and give a shape that fits",
        )
    return tuple(rest)


def transpose(a: Attributes) -> Converter:
    given = a.ints("perm")

    def convert(step: OpStep) -> Tensor:
        x = step.source()
        rank = len(x.shape) + 1
        order = given or tuple(reversed(range(rank)))
        if sorted(order) != list(range(rank)):
            raise step.bad(f"its perm {order} is no order of the {rank} axes of its input")
        if order[0] != 0:
            raise Refused(*_MIXES)
        return permuted(x, [axis - 1 for axis in order[1:]])

    return convert


def squeeze(a: Attributes) -> Converter:
    given = a.ints("axes") if a.opset < 13 else None

    def convert(step: OpStep) -> Tensor:
        x = step.source()
        axes = given if a.opset < 13 else step.numbers(1, "axes")
        if axes is None:
            raise Refused("it drops axes without naming them", "name the axes")
        gone = {x.axis(axis) for axis in axes}
        if any(x.shape[k] != 1 for k in gone):
            raise step.bad(f"it drops axes {axes} of an input of shape {x.shape}")
        left = tuple(n for k, n in enumerate(x.shape) if k not in gone)
        if not left:
            raise Refused("it leaves one number and no axis", "keep one axis")
        return step.reshaped(x, left)

    return convert


def unsqueeze(a: Attributes) -> Converter:
    given = a.ints("axes") if a.opset < 13 else None

    def convert(step: OpStep) -> Tensor:
        x = step.source()
        axes = given if a.opset < 13 else step.numbers(1, "axes")
        if not axes:
            raise step.bad("it names no axes")
        rank = len(x.shape) + 1 + len(axes)
        if any(not -rank <= axis < rank for axis in axes):
            raise step.bad(f"its axes {axes} are none of {rank}")
        new = {axis % rank for axis in axes}
        if len(new) != len(axes) or 0 in new:
            raise Refused(*_MIXES)
        lengths = iter(x.shape)
        return step.reshaped(x, tuple(1 if k in new else next(lengths) for k in range(1, rank)))

    return convert


def concat(a: Attributes) -> Converter:
    axis = a.whole("axis", 0)

    def convert(step: OpStep) -> Tensor:
        if None in step.values or not step.values:
            raise step.bad("it leaves out an input")
        if any(isinstance(value, Constant) for value in step.values):
            raise Refused("it joins constants to activations", "join activations only")
        return step.join(axis)

    return convert


def same(a: Attributes) -> Converter:
    """An operator that gives its input."""
    return lambda step: step.source()


def dropout(a: Attributes) -> Converter:
    a.ignore("seed", "ratio")

    def convert(step: OpStep) -> Tensor:
        training = step.optional(2, "training mode")
        if training is not None and training.any():
            raise Refused("it is in training mode", "export in inference mode, model.eval()")
        return step.source()

    return convert


def cast(a: Attributes) -> Converter:
    to = a.whole("to", 0)
    a.ignore("saturate", "round_mode")
    if to not in FLOATS:
        a.problem(f"it rounds activations to {type_name(to)}", "keep them floats")
    return lambda step: step.source()
