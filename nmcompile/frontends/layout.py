"""Builds the nodes of a Network, and keeps track of how each tensor's axes lie.

Models may be channels-first or have one spatial axis; the Network's images are always
``(rows, columns, channels)``. A `Tensor` therefore has the shape that the model sees and a
layout: which of the model's axes each axis of the node's result holds. Axes are moved only
where a layer needs another layout than its input has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nmcompile.ir import nodes
from nmcompile.ir.nodes import Node, Shape

Layout = tuple[int, ...]
#: Values in one result beyond which a model is taken for an attack on the memory.
MAX_VALUES = 2**28
#: An axis of length 1 that the model's tensor does not have.
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
    shape : as the model sees it, without the sample axis
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
        """An axis as the model counts it (the sample axis is 0), without the sample axis."""
        rank = len(self.shape)
        found = axis - 1 if axis > 0 else axis + rank
        if axis == 0 or not 0 <= found < rank:
            raise Refused(
                f"its axis {axis} is not one of the {rank} axes of a sample",
                "use an axis of the sample",
            )
        return found


def plain(rank: int) -> Layout:
    """Axes as the model has them."""
    return tuple(range(rank))


def image_layout(rank: int, channels_first: bool) -> Layout:
    """The layout ``(rows, columns, channels)`` for a tensor with one or two spatial axes."""
    order = (*range(1, rank), 0) if channels_first else plain(rank)
    return (ONE, *order) if rank == 2 else order


def window_layout(x: Tensor, axes: Sequence[int]) -> Layout:
    """A layout (rows, columns, channels) whose rows and columns are some axes, at most two.

    Raises
    ------
    Refused
        More than two axes, or a tensor of more than three.
    """
    rest = [k for k in range(len(x.shape)) if k not in axes]
    if len(x.shape) > 3 or len(axes) > 2:
        raise Refused(
            f"it works on {len(axes)} of the {len(x.shape)} axes of a sample at once",
            "use at most two axes of at most three",
        )
    lies = len(x.layout) == 3 and set(axes) <= set(x.layout[:2])
    if lies and (len(axes) == 2 or x.layout[0] == ONE):
        return x.layout
    if len(axes) == 1 and len(rest) < 2:
        return (ONE, *axes, *(rest or [ONE]))
    return (*axes, *rest) if len(x.shape) == 3 else (*axes, ONE)


def same_order(tensor: Tensor, layout: Layout) -> bool:
    """Whether the tensor's numbers lie in the order of `layout` already."""
    long = [axis for axis, length in enumerate(tensor.shape) if length != 1]
    return [a for a in tensor.layout if a in long] == [a for a in layout if a in long]


class NodeBuilder:
    """Collects nodes and gives them unique names."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.shapes: dict[str, Shape] = {}
        self._laid: dict[tuple[Tensor, Layout], str] = {}
        self._taken: dict[str, int] = {}

    def add(
        self, kind: type[Node], name: str, inputs: Sequence[str], origin: str, **fields: Any
    ) -> str:
        """Add a node; returns its name, with a suffix where the name is taken."""
        unique, count = name, self._taken.get(name, 0)
        while unique in self.nodes:
            count += 1
            unique = f"{name}@{count}"
        self._taken[name] = count
        node = kind(name=unique, inputs=tuple(inputs), origin=(origin,) if origin else (), **fields)
        shapes = [self.shapes[each] for each in inputs]
        node.verify(shapes)
        shape = node.shape(shapes)
        for what, size in (("output", shape), ("padded input", _padded(node, shapes))):
            if math.prod(size) > MAX_VALUES:
                node.fail(
                    f"its {what} of shape {size} has more than {MAX_VALUES} values, "
                    "far beyond any chip; use a smaller input"
                )
        self.nodes[unique] = node
        self.shapes[unique] = shape
        return unique

    def lay(self, tensor: Tensor, layout: Layout, origin: str) -> str:
        """The node that holds the tensor in a layout; adds Transpose and Reshape where needed."""
        if tensor.layout == layout:
            return tensor.node
        key = (tensor, layout)
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


def _padded(node: Node, inputs: Sequence[Shape]) -> Shape:
    """Shape of a node's input with the zeros around it."""
    if not isinstance(node, (nodes.Conv2d, nodes.Pool2d, nodes.Pad2d)):
        return ()
    around = (*node.padding, (0, 0))
    return tuple(n + max(0, a) + max(0, b) for n, (a, b) in zip(inputs[0], around, strict=True))
