"""Keras' basic layers: input, Dense, activations, and those that only matter in training.

Here and in the modules beside it, a function reads one layer's options and returns a
converter, which adds the nodes of one call.
"""

from __future__ import annotations

from nmcompile.frontends.keras.builder import Converter, LayerStep
from nmcompile.frontends.keras.options import Options
from nmcompile.frontends.layout import Tensor, plain
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

    def convert(step: LayerStep) -> Tensor:
        return Tensor(step.add(nodes.Input, [], size=size), size, plain(len(size)))

    return convert


def dense(o: Options) -> Converter:
    units, use_bias, activation = o.count("units"), o.flag("use_bias", True), o.activation()

    def convert(step: LayerStep) -> Tensor:
        x = step.x
        weights = step.weight("kernel", (x.shape[-1], units))
        bias = step.weight("bias", (units,)) if use_bias else None
        y = step.product(x, weights, bias, step.linear_suffix(activation))
        return step.activate(y, activation)

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
