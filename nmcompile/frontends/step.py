"""One layer of a model being converted: its inputs, and means to add the nodes it stands for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.frontends.layout import (
    ONE,
    Layout,
    NodeBuilder,
    Refused,
    Tensor,
    image_layout,
    plain,
    same_order,
    window_layout,
)
from nmcompile.ir import nodes
from nmcompile.ir.nodes import FloatArray, Node, Pair, Shape


@dataclass(frozen=True, eq=False)
class Step:
    """One use of a layer.

    Attributes
    ----------
    name : of its nodes
    origin : the layer's name in the model
    inputs : tensors that it reads
    builder : collects the nodes
    """

    name: str
    origin: str
    inputs: tuple[Tensor, ...]
    builder: NodeBuilder

    @property
    def x(self) -> Tensor:
        """The only input."""
        if len(self.inputs) != 1:
            raise Refused(
                f"it is called on {len(self.inputs)} tensors, but takes one",
                "join them with Add or Concatenate first",
            )
        return self.inputs[0]

    def add(self, kind: type[Node], inputs: Sequence[str], suffix: str = "", **fields: Any) -> str:
        """Add a node called like the layer, or like the layer and a suffix."""
        name = f"{self.name}/{suffix}" if suffix else self.name
        return self.builder.add(kind, name, inputs, self.origin, **fields)

    def lay(self, tensor: Tensor, layout: Layout) -> str:
        """The node that holds a tensor in a layout."""
        return self.builder.lay(tensor, layout, self.origin)

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

    def relu(self, x: Tensor, max_value: float | None = None) -> Tensor:
        """Add a ReLU, clipped above where a value is given."""
        return Tensor(self.add(nodes.ReLU, [x.node], max_value=max_value), x.shape, x.layout)

    def softmax(self, x: Tensor, axis: int) -> Tensor:
        """Add a softmax along one of the model's axes."""
        layout = (*(k for k in range(len(x.shape)) if k != axis), axis)
        return Tensor(self.add(nodes.Softmax, [self.lay(x, layout)]), x.shape, layout)

    def affine(self, x: Tensor, scale: NDArray[Any] | float, shift: NDArray[Any] | float) -> Tensor:
        """Add ``x * scale + shift``; both broadcast against the model's shape."""
        factor, offset = (aligned(np.asarray(value), x) for value in (scale, shift))
        node = self.add(nodes.Affine, [x.node], scale=factor, shift=offset)
        return Tensor(node, x.shape, x.layout)

    def product(
        self, x: Tensor, weights: FloatArray, bias: FloatArray | None, suffix: str = ""
    ) -> Tensor:
        """Add the product of a tensor's last axis with (inputs, outputs) weights, and a bias."""
        units, rank = int(weights.shape[1]), len(x.shape)
        source = self.lay(x, plain(rank))
        if rank == 1:
            node = self.add(nodes.Dense, [source], suffix, weights=weights, bias=bias)
            return Tensor(node, (units,), (0,))
        fields = {"weights": weights[None, None], "bias": bias}
        if rank <= 3:
            layout: Layout = (ONE, 0, 1) if rank == 2 else (0, 1, 2)
            return self.tensor(
                self.add(nodes.Conv2d, [self.lay(x, layout)], suffix, **fields), layout
            )
        size = (1, math.prod(x.shape[:-1]), x.shape[-1])
        rows = self.add(nodes.Reshape, [source], "rows", size=size)
        node = self.add(nodes.Conv2d, [rows], "product", **fields)
        shape = (*x.shape[:-1], units)
        return Tensor(self.add(nodes.Reshape, [node], suffix, size=shape), shape, plain(rank))

    def flattened(self, x: Tensor, order: Layout) -> Tensor:
        """All axes as one, in an order."""
        source = x.node if same_order(x, order) else self.lay(x, order)
        if len(self.builder.shapes[source]) == 1:
            return Tensor(source, self.builder.shapes[source], (0,))
        return Tensor(self.add(nodes.Flatten, [source]), (math.prod(x.shape),), (0,))

    def reshaped(self, x: Tensor, shape: Shape) -> Tensor:
        """The same numbers, in the model's order, in another shape."""
        order = plain(len(x.shape))
        source = x.node if same_order(x, order) else self.lay(x, order)
        return Tensor(self.add(nodes.Reshape, [source], size=shape), shape, plain(len(shape)))

    def mean(self, x: Tensor, axes: Iterable[int], *, keep: bool) -> Tensor:
        """The mean over one or two axes, which stay with length 1 or are dropped."""
        gone = sorted(set(axes))
        layout = window_layout(x, gone)
        source = self.lay(x, layout)
        rows, cols, _ = self.builder.shapes[source]
        size = (rows, cols if len(gone) == 2 or layout[0] == ONE else 1)
        node = self.add(nodes.AvgPool2d, [source], size=size, stride=size)
        shape = tuple(1 if k in gone else n for k, n in enumerate(x.shape))
        if keep:
            return Tensor(node, shape, layout)
        kept = [k for k in range(len(shape)) if k not in gone]
        if not kept:
            raise Refused("it leaves one number and no axis", "keep the axes, or one of them")
        left = tuple(kept.index(axis) if axis in kept else ONE for axis in layout)
        return Tensor(node, tuple(shape[k] for k in kept), left)

    def sum(self) -> Tensor:
        """Add all inputs up."""
        first = self.inputs[0]
        if len(self.inputs) < 2 or any(each.shape != first.shape for each in self.inputs):
            raise Refused(
                f"it adds tensors of shapes {[each.shape for each in self.inputs]}",
                "add two or more tensors of one shape",
            )
        sources = [self.lay(each, first.layout) for each in self.inputs]
        return Tensor(self.add(nodes.Add, sources), first.shape, first.layout)

    def join(self, axis: int) -> Tensor:
        """Put all inputs side by side along one of the model's axes (the sample axis is 0)."""
        first = self.inputs[0]
        where = first.axis(axis)
        rest = {each.shape[:where] + each.shape[where + 1 :] for each in self.inputs}
        ranks = {len(each.shape) for each in self.inputs}
        if len(rest) != 1 or len(ranks) != 1:
            raise Refused(
                f"it joins tensors of shapes {[each.shape for each in self.inputs]}",
                "make them equal in every other axis",
            )
        if len(self.inputs) == 1:
            return first
        sources = [self.lay(each, first.layout) for each in self.inputs]
        node = self.add(nodes.Concat, sources, axis=first.layout.index(where))
        return self.tensor(node, first.layout)


def permuted(x: Tensor, order: Sequence[int]) -> Tensor:
    """Axes in another order, which costs nothing: new axis k is old axis ``order[k]``."""
    new = {old: k for k, old in enumerate(order)}
    layout = tuple(ONE if axis == ONE else new[axis] for axis in x.layout)
    return Tensor(x.node, tuple(x.shape[old] for old in order), layout)


def same_padding(length: int, window: int, stride: int, dilation: int) -> Pair:
    """TensorFlow's rule for "same": as little as needed, the odd one at the end."""
    needed = (-(-length // stride) - 1) * stride + (window - 1) * dilation + 1 - length
    needed = max(needed, 0)
    return needed // 2, needed - needed // 2


def aligned(value: NDArray[Any], x: Tensor) -> FloatArray:
    """Numbers that broadcast against the model's shape, for the axes of the node's result."""
    try:
        fits = np.broadcast_shapes(value.shape, x.shape) == x.shape
    except ValueError:
        fits = False
    if not fits:
        raise Refused(
            f"numbers of shape {value.shape} do not fit its input of shape {x.shape}",
            "give one number per channel",
        )
    full = value.reshape((1,) * (len(x.shape) - value.ndim) + value.shape)
    moved = full.transpose([axis for axis in x.layout if axis != ONE])
    lengths = iter(moved.shape)
    size = [1 if axis == ONE else next(lengths) for axis in x.layout]
    while len(size) > 1 and size[0] == 1:
        del size[0]
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(moved.reshape(size), dtype=np.float32)
