"""Keras layers that rearrange, join or add tensors."""

from __future__ import annotations

import math

from nmcompile.frontends.keras.builder import (
    ONE,
    Converter,
    Refused,
    Step,
    Tensor,
    plain,
    same_order,
)
from nmcompile.frontends.keras.options import Options
from nmcompile.ir import nodes


def flatten(o: Options) -> Converter:
    channels_first = o.channels_first()

    def convert(step: Step) -> Tensor:
        x = step.x
        rank = len(x.shape)
        order = (*range(1, rank), 0) if channels_first else plain(rank)
        source = x.node if same_order(x, order) else step.lay(x, order)
        if len(step.builder.shapes[source]) == 1:
            return Tensor(source, step.builder.shapes[source], (0,))
        return Tensor(step.add(nodes.Flatten, [source]), (math.prod(x.shape),), (0,))

    return convert


def reshape(o: Options) -> Converter:
    target = o.get("target_shape")
    if not isinstance(target, list | tuple) or any(
        isinstance(n, bool) or not isinstance(n, int | None) or (n is not None and n < -1)
        for n in target
    ):
        raise o.bad("target_shape", target, "a list of whole numbers")
    free = [k for k, n in enumerate(target) if n is None or n == -1]

    def convert(step: Step) -> Tensor:
        x = step.x
        size = [1 if k in free else n for k, n in enumerate(target)]
        known, have = math.prod(size), math.prod(x.shape)
        if len(free) == 1 and known and have % known == 0:
            size[free[0]] = have // known
        if math.prod(size) != have or len(free) > 1:
            raise Refused(
                f"it cannot turn shape {x.shape} into {tuple(target)}", "give a shape that fits"
            )
        order = plain(len(x.shape))
        source = x.node if same_order(x, order) else step.lay(x, order)
        shape = tuple(size)
        return Tensor(step.add(nodes.Reshape, [source], size=shape), shape, plain(len(shape)))

    return convert


def permute(o: Options) -> Converter:
    dims = o.get("dims")
    if not isinstance(dims, list | tuple) or sorted(dims) != list(range(1, len(dims) + 1)):
        raise o.bad("dims", dims, "an order of the axes 1, 2, ...")

    def convert(step: Step) -> Tensor:
        x = step.x
        if len(dims) != len(x.shape):
            raise Refused(f"its dims {list(dims)} do not fit shape {x.shape}", "name every axis")
        new = {old - 1: k for k, old in enumerate(dims)}
        layout = tuple(ONE if axis == ONE else new[axis] for axis in x.layout)
        return Tensor(x.node, tuple(x.shape[old - 1] for old in dims), layout)

    return convert


def add(o: Options) -> Converter:
    def convert(step: Step) -> Tensor:
        first = step.inputs[0]
        if len(step.inputs) < 2 or any(each.shape != first.shape for each in step.inputs):
            raise Refused(
                f"it adds tensors of shapes {[each.shape for each in step.inputs]}",
                "add two or more tensors of one shape",
            )
        sources = [step.lay(each, first.layout) for each in step.inputs]
        return Tensor(step.add(nodes.Add, sources), first.shape, first.layout)

    return convert


def concatenate(o: Options) -> Converter:
    axis = o.get("axis", -1)
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise o.bad("axis", axis, "a whole number")

    def convert(step: Step) -> Tensor:
        first = step.inputs[0]
        where = first.axis(axis)
        rest = {each.shape[:where] + each.shape[where + 1 :] for each in step.inputs}
        ranks = {len(each.shape) for each in step.inputs}
        if len(rest) != 1 or len(ranks) != 1:
            raise Refused(
                f"it joins tensors of shapes {[each.shape for each in step.inputs]}",
                "make them equal in every other axis",
            )
        if len(step.inputs) == 1:
            return first
        sources = [step.lay(each, first.layout) for each in step.inputs]
        node = step.add(nodes.Concat, sources, axis=first.layout.index(where))
        return step.tensor(node, first.layout)

    return convert
