"""Turns a Network into the nodes and connections of a NIR graph, or lists every obstacle at once.

Images are channels-last in the network and channels-first in NIR. What only moves numbers about is
no node of NIR, so that each value remembers where in the network's array its numbers lie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.errors import Obstacle, UnsupportedError
from nmcompile.frontends.layout import Refused
from nmcompile.frontends.nir.export_nodes import EXPORTERS, LACKING, Fields, dialect_of
from nmcompile.ir import Network, nodes
from nmcompile.ir.nodes import Node, Shape


@dataclass(frozen=True, eq=False)
class Value:
    """A node's result in the NIR graph.

    Attributes
    ----------
    names : NIR nodes whose sum it is
    shape : in the network
    axes : the network's axis that each NIR axis is; axes of length 1 may be missing
    order : for a flat value, the network's index of each number; None where they are equal
    padding : zeros around it that the next node adds
    dialect : whose rules the file's neurons follow
    """

    names: tuple[str, ...]
    shape: Shape
    axes: tuple[int, ...]
    order: NDArray[np.intp] | None = None
    padding: tuple[int, int] = (0, 0)
    dialect: str = "nir"

    @property
    def nir_shape(self) -> Shape:
        """Shape in the NIR graph."""
        return tuple(self.shape[axis] for axis in self.axes)

    def arranged(self, array: NDArray[Any]) -> NDArray[Any]:
        """An array that broadcasts to the network's shape, as NIR has it."""
        full = np.broadcast_to(array, self.shape)
        gone = tuple(axis for axis in range(len(self.shape)) if axis not in self.axes)
        moved = full.transpose(*self.axes, *gone).reshape(self.nir_shape)
        return np.ascontiguousarray(moved if self.order is None else moved[self.order])


@dataclass(frozen=True, eq=False)
class NirParts:
    """A NIR graph to be written: nodes with their fields, connections, and its neurons' dialect."""

    nodes: dict[str, Fields]
    edges: list[tuple[str, str]]
    dialect: str = "nir"


def to_nir(network: Network) -> NirParts:
    """The NIR graph that computes what a network computes.

    Raises
    ------
    UnsupportedError
        With every node that NIR lacks.
    """
    dialect, obstacles = dialect_of(network)
    parts = NirParts({}, [], dialect)
    values: dict[str, Value | None] = {}
    for node in network:
        sources = [values[name] for name in node.inputs]
        known = [value for value in sources if value is not None]
        values[node.name] = None
        try:
            if type(node) in LACKING:
                raise Refused(*LACKING[type(node)])
            if len(known) == len(sources):
                values[node.name] = _export(network, node, known, parts)
        except Refused as error:
            kind = type(node).__name__
            obstacles.append(Obstacle(node.name, kind, error.why, error.remedy))
    if not obstacles:
        obstacles = list(_close(network, values, parts))
    if obstacles:
        raise UnsupportedError(network.name, obstacles)
    return parts


def _close(
    network: Network, values: dict[str, Value | None], parts: NirParts
) -> Iterator[Obstacle]:
    """Connect what comes back from neurons with these, or say why not."""
    ends: dict[str, tuple[str, ...]] = {}
    for node in network:
        if isinstance(node, nodes.Back):
            back, source = values[node.name], values[node.source]
            assert back is not None
            assert source is not None
            if (back.axes, back.order) != (source.axes, source.order):
                yield Obstacle(
                    node.name, "Back", "its axes lie in another order than its neurons have",
                    "use the network as it was before axes were exchanged",
                )  # fmt: skip
            ends[back.names[0]] = source.names
    parts.edges[:] = [
        (start, stop) for first, stop in parts.edges for start in ends.get(first, (first,))
    ]


def _export(network: Network, node: Node, sources: list[Value], parts: NirParts) -> Value:
    """Add what a node is in NIR; its value."""
    shape = network.shapes[node.name]
    if isinstance(node, nodes.Input):
        axes = _input_axes(network, node)
        value = Value((), shape, axes)
        return _added(parts, node, value, {"type": "Input", "shape": np.array(value.nir_shape)})
    if isinstance(node, nodes.Back):
        return Value((f"{node.name}\0back",), shape, _image_axes(len(shape)))
    x = sources[0]
    if type(node) in _MOVES:
        return _MOVES[type(node)](network, node, x, shape, parts)
    if isinstance(node, nodes.Add):
        if any(each.axes != x.axes or each.order is not None for each in sources):
            raise Refused("its inputs lie in different orders", "add before reshaping")
        names = tuple(name for each in sources for name in each.names)
        return replace(x, names=names)
    if isinstance(node, (nodes.Conv2d, nodes.Pool2d)) and x.axes not in ((2, 0, 1), (2, 1)):
        raise Refused(
            f"its axes lie in the order {x.axes}, but NIR's windows are channels-first",
            "use the network as it was before axes were exchanged",
        )
    fields = EXPORTERS[type(node)](node, replace(x, dialect=parts.dialect), network.dt_s)
    flat = isinstance(node, nodes.Dense)
    result = Value((), shape, (0,) if flat else x.axes, None if flat else x.order)
    return _added(parts, node, result, fields, x)


def _added(
    parts: NirParts, node: Node, result: Value, fields: Fields, source: Value | None = None
) -> Value:
    """The value of a NIR node that is added and reads another."""
    name = base = node.name.replace("/", ".").strip(".") or "node"
    count = 0
    while name in parts.nodes:
        count += 1
        name = f"{base}_{count}"
    parts.nodes[name] = fields
    parts.edges.extend((each, name) for each in (source.names if source else ()))
    return replace(result, names=(name,))


def _input_axes(network: Network, node: nodes.Input) -> tuple[int, ...]:
    """Channels first; images that the network takes channels-first stay as they are."""
    last = (*node.size[1:], node.size[0])

    def exchanges(reader: Node) -> bool:
        # One channel moves without its numbers moving.
        only = node.size[0] == 1 and isinstance(reader, nodes.Reshape) and reader.size == last
        return only or isinstance(reader, nodes.Transpose)

    if all(exchanges(network[name]) for name in network.consumers[node.name]):
        return tuple(range(len(node.size)))
    return _image_axes(len(node.size))


def _image_axes(rank: int) -> tuple[int, ...]:
    """Channels first."""
    return (rank - 1, *range(rank - 1))


def _transpose(network: Network, node: Node, x: Value, shape: Shape, parts: NirParts) -> Value:
    assert isinstance(node, nodes.Transpose)
    return replace(x, shape=shape, axes=tuple(node.axes.index(axis) for axis in x.axes))


def _reshape(network: Network, node: Node, x: Value, shape: Shape, parts: NirParts) -> Value:
    """Axes of length 1 come and go; others are not reshaped in NIR."""
    old = [axis for axis, n in enumerate(x.shape) if n != 1]
    new = [axis for axis, n in enumerate(shape) if n != 1]
    if [x.shape[axis] for axis in old] != [shape[axis] for axis in new]:
        raise Refused(f"it makes shape {shape} of {x.shape}", "use Flatten, or leave it out")
    moved = dict(zip(old, new, strict=True))
    spare = [axis for axis, n in enumerate(shape) if n == 1]
    axes = []
    for axis in x.axes:
        if axis in moved:
            axes.append(moved[axis])
        elif spare:
            axes.append(spare.pop(-1))
        else:
            raise Refused("it drops an axis that NIR keeps", "use Flatten, or leave it out")
    return replace(x, shape=shape, axes=tuple(axes))


def _flatten(network: Network, node: Node, x: Value, shape: Shape, parts: NirParts) -> Value:
    index = np.arange(shape[0], dtype=np.intp).reshape(x.shape)
    order: NDArray[np.intp] | None = x.arranged(index).reshape(-1)
    if np.array_equal(order, index.reshape(-1)):  # type: ignore[arg-type]
        order = None
    result = Value((), shape, (0,), order)
    if len(x.nir_shape) == 1:
        return replace(result, names=x.names)
    fields = {
        "type": "Flatten", "start_dim": 0, "end_dim": -1, "input_type": np.array(x.nir_shape)
    }  # fmt: skip
    return _added(parts, node, result, fields, x)


def _pad(network: Network, node: Node, x: Value, shape: Shape, parts: NirParts) -> Value:
    """Zeros that a pooling node takes for its own."""
    assert isinstance(node, nodes.Pad2d)
    (top, bottom), (left, right) = node.padding
    readers = [network[name] for name in network.consumers[node.name]]
    if not all(isinstance(each, nodes.Pool2d) for each in readers):
        raise Refused("NIR has no padding by itself", "put it into the convolution behind it")
    if (top, left) != (bottom, right) or min(top, left) < 0:
        raise Refused("it is not the same on both sides", "pad each side by the same number")
    return replace(x, shape=shape, padding=(top, left))


def _output(network: Network, node: Node, x: Value, shape: Shape, parts: NirParts) -> Value:
    if x.order is not None:
        raise Refused("its values lie in another order than NIR's", "put a Dense behind Flatten")
    fields = {"type": "Output", "shape": np.array(x.nir_shape)}
    return _added(parts, node, replace(x, names=()), fields, x)


_MOVES: dict[type[Node], Callable[[Network, Node, Value, Shape, NirParts], Value]] = {
    nodes.Flatten: _flatten,
    nodes.Output: _output,
    nodes.Pad2d: _pad,
    nodes.Reshape: _reshape,
    nodes.Transpose: _transpose,
}
