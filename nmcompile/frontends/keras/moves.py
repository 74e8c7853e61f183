"""Keras layers that rearrange, join or add tensors."""

from __future__ import annotations

import math

from nmcompile.frontends.keras.builder import Converter, LayerStep
from nmcompile.frontends.keras.options import Options
from nmcompile.frontends.layout import Refused, Tensor, plain
from nmcompile.frontends.step import permuted


def flatten(o: Options) -> Converter:
    channels_first = o.channels_first()

    def convert(step: LayerStep) -> Tensor:
        rank = len(step.x.shape)
        return step.flattened(step.x, (*range(1, rank), 0) if channels_first else plain(rank))

    return convert


def reshape(o: Options) -> Converter:
    target = o.get("target_shape")
    if not isinstance(target, list | tuple) or any(
        isinstance(n, bool) or not isinstance(n, int | None) or (n is not None and n < -1)
        for n in target
    ):
        raise o.bad("target_shape", target, "a list of whole numbers")
    free = [k for k, n in enumerate(target) if n is None or n == -1]

    def convert(step: LayerStep) -> Tensor:
        x = step.x
        size = [1 if k in free else n for k, n in enumerate(target)]
        known, have = math.prod(size), math.prod(x.shape)
        if len(free) == 1 and known and have % known == 0:
            size[free[0]] = have // known
        if math.prod(size) != have or len(free) > 1:
            raise Refused(
                f"it cannot turn shape {x.shape} into {tuple(target)}", "give a shape that fits"
            )
        return step.reshaped(x, tuple(size))

    return convert


def permute(o: Options) -> Converter:
    dims = o.get("dims")
    if not isinstance(dims, list | tuple) or sorted(dims) != list(range(1, len(dims) + 1)):
        raise o.bad("dims", dims, "an order of the axes 1, 2, ...")

    def convert(step: LayerStep) -> Tensor:
        x = step.x
        if len(dims) != len(x.shape):
            raise Refused(f"its dims {list(dims)} do not fit shape {x.shape}", "name every axis")
        return permuted(x, [axis - 1 for axis in dims])

    return convert


def add(o: Options) -> Converter:
    return lambda step: step.sum()


def concatenate(o: Options) -> Converter:
    axis = o.get("axis", -1)
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise o.bad("axis", axis, "a whole number")
    return lambda step: step.join(axis)
