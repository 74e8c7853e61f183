"""The float network: an ordered, checked graph of nodes with a readable text form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from math import prod

from nmcompile.errors import VerifyError
from nmcompile.ir.nodes import Back, Input, Node, Output, Shape, Spiking

#: Where a node runs: before the chip, on it, or after it.
PLACES = ("host_in", "chip", "host_out")


@dataclass(frozen=True, eq=False)
class Network:
    """A graph of nodes in an order in which they can be computed.

    Attributes
    ----------
    nodes : in topological order
    name : what the network is called in reports
    dt_s : length of one time step in seconds
    place : node name -> "host_in", "chip" or "host_out"; empty before the split
    """

    nodes: tuple[Node, ...]
    name: str = "network"
    dt_s: float = 1e-3
    place: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def build(cls, nodes: Iterable[Node], **options: object) -> Network:
        """Order the nodes, drop those no output needs, check the result; outputs come last.

        Raises
        ------
        VerifyError
            Duplicate or unknown names, cycles, no input or output, shapes that do not fit.
        """
        by_name: dict[str, Node] = {}
        for node in nodes:
            if node.name in by_name:
                raise VerifyError(f"two layers are called {node.name!r}; names must be unique")
            by_name[node.name] = node
        for node in by_name.values():
            for source in (*node.inputs, *_behind(node)):
                if source not in by_name:
                    raise VerifyError(
                        f"layer {node.name!r} reads from {source!r}, not in the model"
                    )
        needed: set[str] = set()
        stack = [name for name, node in by_name.items() if isinstance(node, Output)]
        while stack:
            name = stack.pop()
            if name not in needed:
                needed.add(name)
                stack.extend(by_name[name].inputs)
                stack.extend(_behind(by_name[name]))
        sorter = TopologicalSorter(
            {name: node.inputs for name, node in by_name.items() if name in needed}
        )
        try:
            order = [
                name for name in sorter.static_order() if not isinstance(by_name[name], Output)
            ]
        except CycleError as error:
            raise VerifyError(f"the layers form a cycle: {' -> '.join(error.args[1])}") from None
        # Nothing reads outputs, so that they can stay in the order in which they were given.
        order += [name for name, node in by_name.items() if isinstance(node, Output)]
        network = cls(tuple(by_name[name] for name in order), **options)  # type: ignore[arg-type]
        network.verify()
        return network

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __getitem__(self, name: str) -> Node:
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    @cached_property
    def _by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Output shape of every node, without the sample axis."""
        shapes: dict[str, Shape] = {}
        for node in self.nodes:
            shapes[node.name] = node.shape(self._input_shapes(node, shapes))
        return shapes

    @cached_property
    def consumers(self) -> dict[str, tuple[str, ...]]:
        """Names of the nodes that read each node."""
        found: dict[str, list[str]] = {node.name: [] for node in self.nodes}
        for node in self.nodes:
            for source in node.inputs:
                found[source].append(node.name)
        return {name: tuple(readers) for name, readers in found.items()}

    @property
    def inputs(self) -> tuple[Input, ...]:
        """Input nodes."""
        return tuple(node for node in self.nodes if isinstance(node, Input))

    @property
    def sample_shape(self) -> Shape:
        """Shape of a sample: of the input, or flat, the numbers of all inputs in order."""
        if len(self.inputs) == 1:
            return self.inputs[0].size
        return (sum(prod(node.size) for node in self.inputs),)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Output nodes."""
        return tuple(node for node in self.nodes if isinstance(node, Output))

    def input_shapes(self, name: str) -> list[Shape]:
        """Shapes of a node's inputs."""
        return self._input_shapes(self[name], self.shapes)

    def macs(self, name: str) -> int:
        """Multiply-accumulates of a node for one sample."""
        return self[name].macs(self.input_shapes(name))

    def verify(self) -> None:
        """Raise VerifyError unless every node is whole and fits its inputs."""
        if not self.inputs:
            raise VerifyError(f"{self.name}: the network has no input layer")
        if not self.outputs:
            raise VerifyError(f"{self.name}: the network has no output")
        shapes: dict[str, Shape] = {}
        for node in self.nodes:
            inputs = self._input_shapes(node, shapes)
            node.verify(inputs)
            shapes[node.name] = node.shape(inputs)
        for node in self.nodes:
            if isinstance(node, Back):
                self._verify_back(node, shapes)
        for name, place in self.place.items():
            if name not in self or place not in PLACES:
                raise VerifyError(f"layer {name!r} is placed on {place!r}, which is not a place")

    def _verify_back(self, node: Back, shapes: Mapping[str, Shape]) -> None:
        if not isinstance(self[node.source], Spiking):
            node.fail(f"comes back from {node.source!r}, which has no spiking neurons")
        if node.size != shapes[node.source]:
            node.fail(
                f"has shape {node.size}, but {node.source!r}, from where it comes back, "
                f"{shapes[node.source]}"
            )

    @property
    def recurrent(self) -> bool:
        """Whether any layer reads spikes of the step before."""
        return any(isinstance(node, Back) for node in self.nodes)

    def edit(self, changes: Mapping[str, Iterable[Node]]) -> Network:
        """A new network in which each named node is replaced by the given nodes (maybe none)."""
        nodes: list[Node] = []
        for node in self.nodes:
            nodes.extend(changes.get(node.name, (node,)))
        kept = {node.name for node in nodes}
        place = {name: where for name, where in self.place.items() if name in kept}
        return Network.build(nodes, name=self.name, dt_s=self.dt_s, place=place)

    def rewire(self, old: str, new: str, nodes: Mapping[str, Iterable[Node]]) -> Network:
        """`edit`, and every remaining reader of `old` reads `new` instead."""
        changes: dict[str, Iterable[Node]] = dict(nodes)
        for reader in self.consumers[old]:
            if reader not in changes:
                node = self[reader]
                sources = tuple(new if source == old else source for source in node.inputs)
                changes[reader] = (replace(node, inputs=sources),)
        return self.edit(changes)

    def __str__(self) -> str:
        from nmcompile.ir.text import network_text

        return network_text(self)

    @staticmethod
    def _input_shapes(node: Node, shapes: Mapping[str, Shape]) -> list[Shape]:
        return [shapes[source] for source in node.inputs]


def _behind(node: Node) -> tuple[str, ...]:
    """The layer that a node reads without being computed after it."""
    return (node.source,) if isinstance(node, Back) else ()
