"""Builds the Network from layer calls, and keeps track of how each tensor's axes lie.

Keras models may be channels-first or have one spatial axis; the Network's images are
always ``(rows, columns, channels)``. A `Tensor` therefore has the shape that Keras sees
and a layout: which of Keras' axes each axis of the node's result holds. Axes are moved
only where a layer needs another layout than its input has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.frontends.keras.graph import Call
from nmcompile.frontends.keras.options import Activation, Options
from nmcompile.frontends.keras.weights import WeightStore
from nmcompile.ir import nodes
from nmcompile.ir.nodes import Node, Shape

Layout = tuple[int, ...]
#: Values in one result beyond which a model is taken for an attack on the memory.
MAX_VALUES = 2**28
#: An axis of length 1 that Keras' tensor does not have.
ONE = -1


class Refused(Exception):
    """A layer cannot be converted: why, and what to do instead."""

    def __init__(self, why: str, remedy: str) -> None:
        self.why, self.remedy = why, remedy
        super().__init__(why)


@dataclass(frozen=True)
class Tensor:
    """The result of a layer.

    Attributes
    ----------
    node : name of the node that computes it
    shape : as Keras sees it, without the sample axis
    layout : axis k of the node's result is axis ``layout[k]`` of `shape`; -1 is an axis of length 1
    """

    node: str
    shape: Shape
    layout: Layout

    @property
    def physical(self) -> Shape:
        """Shape of the node's result."""
        return tuple(1 if axis == ONE else self.shape[axis] for axis in self.layout)

    def axis(self, axis: int) -> int:
        """An axis as Keras counts it (the sample axis is 0), without the sample axis."""
        rank = len(self.shape)
        found = axis - 1 if axis > 0 else axis + rank
        if axis == 0 or not 0 <= found < rank:
            raise Refused(
                f"its axis {axis} is not one of the {rank} axes of a sample",
                "use an axis of the sample",
            )
        return found


def plain(rank: int) -> Layout:
    """Axes as Keras has them."""
    return tuple(range(rank))


def image_layout(rank: int, channels_first: bool) -> Layout:
    """The layout ``(rows, columns, channels)`` for a tensor with one or two spatial axes."""
    order = (*range(1, rank), 0) if channels_first else plain(rank)
    return (ONE, *order) if rank == 2 else order


class NodeBuilder:
    """Collects nodes and gives them unique names."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.shapes: dict[str, Shape] = {}
        self._laid: dict[tuple[str, Layout], str] = {}

    def add(
        self, kind: type[Node], name: str, inputs: Sequence[str], origin: str, **fields: Any
    ) -> str:
        """Add a node; returns its name, with a suffix where the name is taken."""
        unique, count = name, 0
        while unique in self.nodes:
            count += 1
            unique = f"{name}@{count}"
        node = kind(name=unique, inputs=tuple(inputs), origin=(origin,) if origin else (), **fields)
        shapes = [self.shapes[each] for each in inputs]
        node.verify(shapes)
        shape = node.shape(shapes)
        if math.prod(shape) > MAX_VALUES:
            node.fail(
                f"its output of shape {shape} has more than {MAX_VALUES} values, "
                "far beyond any chip; use a smaller input"
            )
        self.nodes[unique] = node
        self.shapes[unique] = shape
        return unique

    def lay(self, tensor: Tensor, layout: Layout, origin: str) -> str:
        """The node that holds the tensor in a layout; adds Transpose and Reshape where needed."""
        if tensor.layout == layout:
            return tensor.node
        key = (tensor.node, layout)
        if key not in self._laid:
            self._laid[key] = self._move(tensor, layout, origin)
        return self._laid[key]

    def _move(self, tensor: Tensor, layout: Layout, origin: str) -> str:
        wanted = Tensor("", tensor.shape, layout).physical
        have = [axis for axis in tensor.layout if axis != ONE]
        want = [axis for axis in layout if axis != ONE]
        node = tensor.node
        if not same_order(tensor, layout):
            if len(have) != len(tensor.layout):
                size = tuple(tensor.shape[axis] for axis in have)
                node = self.add(nodes.Reshape, f"{tensor.node}/drop", [node], origin, size=size)
            axes = tuple(have.index(axis) for axis in want)
            name = f"{tensor.node}/transpose"
            node = self.add(nodes.Transpose, name, [node], origin, axes=axes)
        if self.shapes[node] != wanted:
            node = self.add(nodes.Reshape, f"{tensor.node}/reshape", [node], origin, size=wanted)
        return node


def same_order(tensor: Tensor, layout: Layout) -> bool:
    """Whether the tensor's numbers lie in the order of `layout` already."""
    long = [axis for axis, length in enumerate(tensor.shape) if length != 1]
    return [a for a in tensor.layout if a in long] == [a for a in layout if a in long]


@dataclass(frozen=True, eq=False)
class Step:
    """One layer call being converted: its inputs, its weights, and means to add nodes."""

    call: Call
    inputs: tuple[Tensor, ...]
    builder: NodeBuilder
    store: WeightStore

    @property
    def name(self) -> str:
        return self.call.name

    @property
    def x(self) -> Tensor:
        """The only input."""
        if len(self.inputs) != 1:
            raise Refused(
                f"it is called on {len(self.inputs)} tensors, but takes one",
                "join them with Add or Concatenate first",
            )
        return self.inputs[0]

    def weight(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """One of the layer's variables."""
        return self.store.read(self.call.layer, name, shape)

    def add(self, kind: type[Node], inputs: Sequence[str], suffix: str = "", **fields: Any) -> str:
        """Add a node called like the layer, or like the layer and a suffix."""
        name = f"{self.name}/{suffix}" if suffix else self.name
        return self.builder.add(kind, name, inputs, self.call.layer.name, **fields)

    def lay(self, tensor: Tensor, layout: Layout) -> str:
        """The node that holds a tensor in a layout."""
        return self.builder.lay(tensor, layout, self.call.layer.name)

    def image(self, tensor: Tensor, spatial: int, channels_first: bool) -> tuple[str, Layout]:
        """Node and layout of a tensor laid out as (rows, columns, channels)."""
        if len(tensor.shape) != spatial + 1:
            raise Refused(
                f"it needs an input with {spatial + 1} axes, but gets shape {tensor.shape}",
                "reshape its input",
            )
        layout = image_layout(spatial + 1, channels_first)
        return self.lay(tensor, layout), layout

    def tensor(self, node: str, layout: Layout) -> Tensor:
        """The tensor that a node's result is, in a layout."""
        size = self.builder.shapes[node]
        rank = max(layout) + 1
        shape = tuple(size[layout.index(axis)] for axis in range(rank))
        return Tensor(node, shape, layout)

    def linear_suffix(self, activation: Activation) -> str:
        """Suffix of the node before the activation."""
        return "" if activation.kind == "linear" else "linear"

    def activate(self, tensor: Tensor, activation: Activation) -> Tensor:
        """Add the activation, under the layer's own name."""
        if activation.kind == "relu":
            node = self.add(nodes.ReLU, [tensor.node], max_value=activation.max_value)
            return Tensor(node, tensor.shape, tensor.layout)
        if activation.kind == "softmax":
            return self.softmax(tensor, len(tensor.shape) - 1)
        return tensor

    def softmax(self, tensor: Tensor, axis: int) -> Tensor:
        """Add a softmax along one of Keras' axes."""
        layout = (*(k for k in range(len(tensor.shape)) if k != axis), axis)
        node = self.add(nodes.Softmax, [self.lay(tensor, layout)])
        return Tensor(node, tensor.shape, layout)

    def affine(self, tensor: Tensor, scale: NDArray[Any], shift: NDArray[Any]) -> Tensor:
        """Add ``x * scale + shift``; both broadcast against Keras' shape."""
        fields: dict[str, Any] = {}
        for key, value in (("scale", scale), ("shift", shift)):
            try:
                fits = np.broadcast_shapes(value.shape, tensor.shape) == tensor.shape
            except ValueError:
                fits = False
            if not fits:
                raise Refused(
                    f"numbers of shape {value.shape} do not fit its input of shape {tensor.shape}",
                    "give one number per channel",
                )
            full = value.reshape((1,) * (len(tensor.shape) - value.ndim) + value.shape)
            real = [axis for axis in tensor.layout if axis != ONE]
            moved = full.transpose(real)
            lengths = iter(moved.shape)
            size = [1 if axis == ONE else next(lengths) for axis in tensor.layout]
            while len(size) > 1 and size[0] == 1:
                del size[0]
            with np.errstate(over="ignore"):
                fields[key] = np.ascontiguousarray(moved.reshape(size), dtype=np.float32)
        node = self.add(nodes.Affine, [tensor.node], **fields)
        return Tensor(node, tensor.shape, tensor.layout)


#: Adds the nodes of one call of a layer.
Converter = Callable[[Step], Tensor]
#: Reads a layer's options; what it returns converts each call.
Parser = Callable[[Options], Converter]
