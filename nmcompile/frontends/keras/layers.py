"""Keras' basic layers: input, Dense, activations, and those that only matter in training.

Here and in the modules beside it, a function reads one layer's options and returns a
converter, which adds the nodes of one call.
"""

from __future__ import annotations

import math

from nmcompile.frontends.keras.builder import ONE, Converter, Layout, Step, Tensor, plain
from nmcompile.frontends.keras.options import Options
from nmcompile.ir import nodes


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
