"""Change the size of one layer of a float network, and of all that is behind it, by shape alone.

Weights are cut to the new shapes, or repeated where these are larger, so the result computes
nothing of use; it shows what a network of other sizes would take of a chip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from nmcompile.errors import VerifyError
from nmcompile.ir import Network
from nmcompile.ir.nodes import (
    Affine,
    Conv2d,
    Dense,
    FloatArray,
    Node,
    Pool2d,
    ReLU,
    Reshape,
    Shape,
    Spiking,
)


def channel_node(network: Network, name: str) -> Conv2d | Dense | None:
    """The node whose weights decide how many channels another has; None where not just one does.

    A depthwise convolution has the channels of what is before it.
    """
    node = network[name]
    while not isinstance(node, Dense) and not (isinstance(node, Conv2d) and node.groups == 1):
        if len(node.inputs) != 1:
            return None
        node = network[node.inputs[0]]
    return node


def window_node(network: Network, name: str) -> Conv2d | None:
    """The convolution that a neuron layer reads through; None where there is not just one."""
    node = network[name]
    while not isinstance(node, Conv2d):
        if len(node.inputs) != 1 or (node.name != name and isinstance(node, (ReLU, Spiking))):
            return None
        node = network[node.inputs[0]]
    return node


def source_layer(network: Network, name: str) -> str | None:
    """The neuron layer whose spikes another reads; None where there is not just one."""
    node = network[name]
    while node.name == name or not isinstance(node, (ReLU, Spiking)):
        if len(node.inputs) != 1:
            return None
        node = network[node.inputs[0]]
    return node.name


def with_channels(network: Network, name: str, channels: int) -> Network | None:
    """The network with another number of channels, or neurons, of a weighted node.

    None where the graph allows no such change, such as in one branch of a sum.
    """
    node = network[name]
    if not isinstance(node, (Conv2d, Dense)):
        return None
    bias = None if node.bias is None else resized(node.bias, (channels,))
    changed = replace(
        node, weights=resized(node.weights, (*node.weights.shape[:-1], channels)), bias=bias
    )
    return _with_node(network, changed)


def with_stride(network: Network, name: str, stride: int) -> Network | None:
    """The network with a convolution that has a stride along each axis that is no single place.

    None where the node is no convolution, or has a stride already, or the result is empty.
    """
    node = network[name]
    if not isinstance(node, Conv2d) or node.stride != (1, 1):
        return None
    rows, cols, _ = network.shapes[name]
    steps = (stride if rows > 1 else 1, stride if cols > 1 else 1)
    if steps == (1, 1):
        return None
    return _with_node(network, replace(node, stride=steps))


def _with_node(network: Network, changed: Node) -> Network | None:
    """The network with one node replaced, and all nodes behind it fitted to its new shape."""
    shapes: dict[str, Shape] = {}
    nodes = []
    try:
        for node in network:
            before = network.input_shapes(node.name)
            after = [shapes[source] for source in node.inputs]
            if node.name == changed.name:
                node = changed
            elif before != after:
                node = _fitted(node, before, after)
            nodes.append(node)
            shapes[node.name] = node.shape(after)
        if any(shapes[node.name] != network.shapes[node.name] for node in network.outputs):
            return None
        return Network.build(nodes, name=network.name, dt_s=network.dt_s)
    except VerifyError:
        return None


def _fitted(node: Node, before: Sequence[Shape], after: Sequence[Shape]) -> Node:
    """A node that takes inputs of other shapes; VerifyError where none can."""
    old, new = before[0], after[0]
    if isinstance(node, Conv2d):
        return _fitted_conv(node, old[-1], new[-1])
    if isinstance(node, Dense):
        return replace(node, weights=resized(node.weights, (new[0], node.weights.shape[1])))
    if isinstance(node, Pool2d):
        # A pool over the whole image stays one.
        rows, cols = (
            now if size == was else size
            for size, was, now in zip(node.size, old[:2], new[:2], strict=True)
        )
        return replace(node, size=(rows, cols))
    if isinstance(node, Affine):
        return replace(
            node, scale=_broadcast(node.scale, old, new), shift=_broadcast(node.shift, old, new)
        )
    if isinstance(node, Reshape):
        return replace(node, size=_new_size(node, old, new))
    return node


def _fitted_conv(node: Conv2d, old: int, new: int) -> Conv2d:
    """A convolution over another number of channels."""
    if old == new:
        return node
    *kernel, _, out = node.weights.shape
    if node.groups == 1:
        return replace(node, weights=resized(node.weights, (*kernel, new, out)))
    if node.groups != old:
        node.fail(f"{node.groups} groups of {old} channels are no groups of {new}")
    out = out // old * new
    return replace(
        node,
        weights=resized(node.weights, (*kernel, 1, out)),
        bias=None if node.bias is None else resized(node.bias, (out,)),
        groups=new,
    )


def _broadcast(values: FloatArray, old: Shape, new: Shape) -> FloatArray:
    """Values that broadcast to a shape, for another shape."""
    if not values.ndim:
        return values
    lengths = zip(values.shape, old[-values.ndim :], new[-values.ndim :], strict=True)
    return resized(values, tuple(now if n == was else n for n, was, now in lengths))


def _new_size(node: Reshape, old: Shape, new: Shape) -> Shape:
    """What a Reshape makes of another shape: the same axes where it keeps them, else fewer last."""
    kept = [n for n in old if n != 1]
    if [n for n in node.size if n != 1] == kept:
        lengths = iter([now for was, now in zip(old, new, strict=True) if was != 1])
        return tuple(1 if n == 1 else next(lengths) for n in node.size)
    lead = node.size[:-1]
    if prod(new) % prod(lead):
        node.fail(f"cannot reshape {new} as {old} was")
    return (*lead, prod(new) // prod(lead))


def resized(values: FloatArray, shape: Shape) -> FloatArray:
    """An array cut to a shape, or repeated where that is longer."""
    for axis, length in enumerate(shape):
        if length != values.shape[axis]:
            values = np.take(values, np.arange(length) % values.shape[axis], axis=axis)
    return values
