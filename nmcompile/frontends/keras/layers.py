"""What each Keras layer becomes: every function reads the options and returns a converter."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.frontends.keras.builder import ONE, Layout, Refused, Step, Tensor, plain, same_order
from nmcompile.frontends.keras.options import LINEAR, Options
from nmcompile.ir import nodes

Converter = Callable[[Step], Tensor]
Parser = Callable[[Options], Converter]


def input_layer(o: Options) -> Converter:
    shape = o.get("batch_shape", o.get("batch_input_shape"))
    if o.get("sparse", False) or o.get("ragged", False):
        o.problem("it takes sparse or ragged samples", "feed dense arrays")
    if not isinstance(shape, list | tuple) or not shape:
        raise o.bad("batch_shape", shape, "the shape of a batch")
    size = tuple(shape[1:])
    if not size or any(n is None for n in size):
        text = ", ".join("None" if n is None else str(n) for n in size)
        o.problem(
            f"its shape ({text}) is not fixed", "build the model with every axis given as a number"
        )
    elif any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in size):
        raise o.bad("batch_shape", shape, "whole numbers of at least 1")

    def convert(step: Step) -> Tensor:
        return Tensor(step.add(nodes.Input, [], size=size), size, plain(len(size)))

    return convert


def dense(o: Options) -> Converter:
    units, use_bias, activation = o.count("units"), o.flag("use_bias", True), o.activation()

    def convert(step: Step) -> Tensor:
        x = step.x
        weights = step.weight("kernel", (x.shape[-1], units))
        bias = step.weight("bias", (units,)) if use_bias else None
        suffix, rank = step.linear_suffix(activation), len(x.shape)
        source = step.lay(x, plain(rank))
        if rank == 1:
            node = step.add(nodes.Dense, [source], suffix, weights=weights, bias=bias)
            return step.activate(Tensor(node, (units,), (0,)), activation)
        fields = {"weights": weights[None, None], "bias": bias}
        if rank <= 3:
            layout: Layout = (ONE, 0, 1) if rank == 2 else (0, 1, 2)
            node = step.add(nodes.Conv2d, [step.lay(x, layout)], suffix, **fields)
            return step.activate(step.tensor(node, layout), activation)
        size = (1, math.prod(x.shape[:-1]), x.shape[-1])
        rows = step.add(nodes.Reshape, [source], "rows", size=size)
        node = step.add(nodes.Conv2d, [rows], "product", **fields)
        shape = (*x.shape[:-1], units)
        node = step.add(nodes.Reshape, [node], suffix, size=shape)
        return step.activate(Tensor(node, shape, plain(rank)), activation)

    return convert


def batch_norm(o: Options) -> Converter:
    axis = o.get("axis", -1)
    if isinstance(axis, list | tuple) and len(axis) == 1:
        axis = axis[0]
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise o.bad("axis", axis, "one axis")
    epsilon = o.number("epsilon", 1e-3)
    scale, center = o.flag("scale", True), o.flag("center", True)

    def convert(step: Step) -> Tensor:
        x = step.x
        where = x.axis(axis)
        size = (x.shape[where],)
        mean = step.weight("moving_mean", size).astype(np.float64)
        variance = step.weight("moving_variance", size).astype(np.float64)
        if not (variance + epsilon > 0).all():
            raise Refused("its moving variance is negative", "train or export the model again")
        factor = 1 / np.sqrt(variance + epsilon)
        if scale:
            factor = factor * step.weight("gamma", size)
        shift = -mean * factor
        if center:
            shift = shift + step.weight("beta", size)
        along = [1] * len(x.shape)
        along[where] = -1
        return step.affine(x, factor.reshape(along), shift.reshape(along))

    return convert


def relu(o: Options) -> Converter:
    activation = o.relu({k: o.get(k) for k in ("max_value", "negative_slope", "threshold")})
    return lambda step: step.activate(step.x, activation)


def activation_layer(o: Options) -> Converter:
    activation = o.activation()
    return lambda step: step.activate(step.x, activation)


def softmax(o: Options) -> Converter:
    axis = o.get("axis", -1)
    if isinstance(axis, list | tuple) and len(axis) == 1:
        axis = axis[0]
    if isinstance(axis, bool) or not isinstance(axis, int):
        o.problem("its axis is not one axis", "use axis=-1")
    if not o.final:
        o.problem(
            "softmax is possible only as the last layer, where the host computes it",
            "use ReLU inside the network",
        )
    return lambda step: step.softmax(step.x, step.x.axis(axis))


def dropped(o: Options) -> Converter:
    """Layers that do nothing once the network is trained."""
    for key in ("rate", "stddev", "l1", "l2", "data_format"):
        o.get(key)
    return lambda step: step.x


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


def rescaling(o: Options) -> Converter:
    scale, offset = (_numbers(o, key, default) for key, default in (("scale", 1.0), ("offset", 0.0)))
    return lambda step: step.affine(step.x, scale, offset)


def normalization(o: Options) -> Converter:
    axes = o.get("axis")
    axes = () if axes is None else axes if isinstance(axes, list | tuple) else (axes,)
    if any(isinstance(axis, bool) or not isinstance(axis, int) for axis in axes):
        raise o.bad("axis", axes, "axes")
    invert = o.flag("invert", False)
    fixed = o.get("mean") is not None
    mean_option, variance_option = _numbers(o, "mean", 0.0), _numbers(o, "variance", 1.0)

    def convert(step: Step) -> Tensor:
        x = step.x
        kept = sorted(x.axis(axis) for axis in axes)
        along = [n if k in kept else 1 for k, n in enumerate(x.shape)]
        size = tuple(x.shape[k] for k in kept)
        if fixed:
            mean, variance = (_spread(v, kept, along) for v in (mean_option, variance_option))
        else:
            mean, variance = (step.weight(name, size).astype(np.float64).reshape(along)
                              for name in ("mean", "variance"))  # fmt: skip
        if not (variance >= 0).all():
            raise Refused("its variance is negative", "adapt the layer again")
        deviation = np.maximum(np.sqrt(variance), 1e-7)  # 1e-7: keras.backend.epsilon()
        if invert:
            return step.affine(x, deviation, mean)
        return step.affine(x, 1 / deviation, -mean / deviation)

    return convert


def _spread(value: NDArray[Any], kept: list[int], along: list[int]) -> NDArray[Any]:
    """Numbers given as an option, their axes laid on the last of the kept axes."""
    shape = [1] * len(along)
    try:
        for k in range(1, value.ndim + 1):
            shape[kept[-k]] = value.shape[-k]
        return np.broadcast_to(value.reshape(shape), along)
    except (IndexError, ValueError):
        raise Refused(
            f"its mean or variance of shape {value.shape} does not fit its axes",
            "give one number per kept axis",
        ) from None


def _numbers(o: Options, key: str, default: float) -> NDArray[np.float64]:
    value = o.get(key, default)
    if isinstance(value, Mapping):  # Keras writes arrays as {"class_name": "__numpy__", ...}
        inner = value.get("config")
        value = inner.get("value") if isinstance(inner, Mapping) else None
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise o.bad(key, value, "numbers") from None
    if not np.isfinite(array).all():
        raise o.bad(key, value, "finite numbers")
    return array


#: Layers that only matter during training.
DROPPED = (
    "Dropout", "SpatialDropout1D", "SpatialDropout2D", "GaussianNoise", "GaussianDropout",
    "AlphaDropout", "ActivityRegularization", "Identity",
)  # fmt: skip

from nmcompile.frontends.keras.windows import WINDOWED  # noqa: E402

LAYERS: dict[str, Parser] = {
    "InputLayer": input_layer,
    "Dense": dense,
    "BatchNormalization": batch_norm,
    "ReLU": relu,
    "Activation": activation_layer,
    "Softmax": softmax,
    "Flatten": flatten,
    "Reshape": reshape,
    "Permute": permute,
    "Add": add,
    "Concatenate": concatenate,
    "Rescaling": rescaling,
    "Normalization": normalization,
    **dict.fromkeys(DROPPED, dropped),
    **WINDOWED,
}
#: Operations such as ``x + y`` that Keras writes into functional models.
OPERATIONS: dict[str, Parser] = {"Add": add}
