"""The nodes and connections of a NIR file, graphs within graphs laid out flat.

The layout is that of `nir.write` (https://github.com/neuromorphs/NIR, nir/serialization.py): a
group ``node`` with a ``type``; a graph has ``nodes``, a group by name, and ``edges``, pairs of
names; every other number of a node is a dataset that is called like its parameter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.errors import ModelError
from nmcompile.frontends.budget import Budget
from nmcompile.frontends.hdf5 import follow_dataset, follow_group, texts_fit

if TYPE_CHECKING:
    import h5py

#: What HDF5 holds here, for messages.
HDF5 = "NIR graph's data"
#: Graphs within graphs, nodes, and axes of an array, beyond which a file is an attack.
MAX_DEPTH, MAX_NODES, MAX_RANK = 20, 10_000, 8
#: Connections of one graph.
MAX_EDGES = 20_000
#: Characters of a text.
MAX_TEXT = 1000


@dataclass(frozen=True, eq=False)
class NirNode:
    """One node of the graph.

    Attributes
    ----------
    name : path of names, such as ``"block.conv"``
    kind : its type, such as ``"LIF"``
    group : its datasets
    """

    name: str
    kind: str
    group: h5py.Group


@dataclass(frozen=True, eq=False)
class NirGraph:
    """All nodes that are no graphs themselves, and what each reads.

    Attributes
    ----------
    nodes : name -> node, in the order of the file
    sources : name -> names of the nodes that it reads
    metadata : what the file says of itself
    """

    nodes: dict[str, NirNode] = field(default_factory=dict)
    sources: dict[str, list[str]] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class NirFile:
    """Reads datasets of one file.

    Attributes
    ----------
    where : the file, for messages
    data : the whole file
    budget : bytes that may still be read
    """

    where: str
    data: bytes
    budget: Budget

    def graph(self, file: h5py.File) -> NirGraph:
        """The whole graph.

        Raises
        ------
        ModelError
            No graph, or one with nodes of no type, unknown names, or too many or too deep nodes.
        """
        root = follow_group(file, "node", self.where, HDF5)
        if self.text(root, "type", "the file") != "NIRGraph":
            raise ModelError(f"{self.where}: the file holds no NIRGraph; write a whole graph")
        found = NirGraph(metadata=self._metadata(root))
        self._walk(root, "", found, 0)
        return found

    def _walk(self, group: h5py.Group, path: str, found: NirGraph, depth: int) -> None:
        """Add the nodes of a graph; names of graphs within it stand for their Input and Output."""
        if depth > MAX_DEPTH:
            raise ModelError(f"{self.where}: graphs lie more than {MAX_DEPTH} deep; flatten them")
        inner: dict[str, tuple[str, str]] = {}
        members = follow_group(group, "nodes", self.where, HDF5)
        kinds: dict[str, str] = {}
        for short in members:
            each = follow_group(members, short, self.where, HDF5)
            name = f"{path}.{short}" if path else short
            kinds[short] = kind = self.text(each, "type", f"node {name[:80]!r}")
            if kind == "NIRGraph":
                self._walk(each, name, found, depth + 1)
                inner[short] = (self._port(found, name, "Input"), self._port(found, name, "Output"))
            elif name in found.nodes:
                raise ModelError(f"{self.where}: two nodes are called {name[:80]!r}; rename one")
            else:
                found.nodes[name] = NirNode(name, kind, each)
                found.sources.setdefault(name, [])
            if len(found.nodes) > MAX_NODES:
                raise ModelError(f"{self.where}: the graph has more than {MAX_NODES} nodes")
        for source, target in self._edges(group, path):
            for end in (source, target):
                if end not in kinds:
                    raise ModelError(
                        f"{self.where}: a connection names {end[:80]!r}, which is no node of "
                        f"{path or 'the graph'}; write the file again"
                    )
            start = inner[source][1] if source in inner else _joined(path, source)
            stop = inner[target][0] if target in inner else _joined(path, target)
            found.sources[stop].append(start)

    def _port(self, found: NirGraph, path: str, kind: str) -> str:
        """The only Input or Output of a graph within the graph."""
        ports = [
            name for name, node in found.nodes.items()
            if node.kind == kind and name.rpartition(".")[0] == path
        ]  # fmt: skip
        if len(ports) != 1:
            raise ModelError(
                f"{self.where}: the graph {path[:80]!r} within the graph has {len(ports)} nodes of "
                f"type {kind}, not one; give it one"
            )
        return ports[0]

    def _edges(self, group: h5py.Group, path: str) -> list[tuple[str, str]]:
        place = f"the connections of {path or 'the graph'}"
        array = follow_dataset(group, "edges", self.where, HDF5)
        if array.shape == (0,):
            return []
        if len(array.shape) != 2 or array.shape[1] != 2 or array.dtype.kind not in "OS":
            raise ModelError(f"{self.where}: {place} are no pairs of names; write the file again")
        if len(array) > MAX_EDGES:
            raise ModelError(f"{self.where}: {place} are more than {MAX_EDGES}")
        self._check_texts(array, place)
        pairs: dict[tuple[str, str], None] = {}
        for k in range(len(array)):  # One at a time, for texts may be long and the same.
            row = array[k]
            self.budget.take(sum(len(each) for each in row), place)
            pairs[_decoded(row[0]), _decoded(row[1])] = None
        return list(pairs)

    def _metadata(self, group: h5py.Group) -> dict[str, Any]:
        if "metadata" not in group:
            return {}
        held = follow_group(group, "metadata", self.where, HDF5)
        return {
            key: self.value(held, key, "the metadata")
            for key in ("dialect", "dt", "samples") if key in held
        }  # fmt: skip

    def _check_texts(self, array: h5py.Dataset, place: str) -> None:
        if not texts_fit(array, self.data):
            raise ModelError(f"{self.where}: {place}: its texts are damaged; write the file again")

    def text(self, group: h5py.Group, key: str, place: str) -> str:
        """A short text."""
        found = self.value(group, key, place)
        if not isinstance(found, str):
            raise ModelError(f"{self.where}: {place}: its {key} is no text; write the file again")
        return found

    def value(self, group: h5py.Group, key: str, place: str) -> Any:
        """One text or array of numbers.

        Raises
        ------
        ModelError
            Missing, neither text nor numbers, or larger than the limit.
        """
        if key not in group:
            raise ModelError(f"{self.where}: {place} has no {key}; write the file again")
        array = follow_dataset(group, key, self.where, HDF5)
        if array.dtype.kind in "OS" and array.shape == ():
            self._check_texts(array, f"{key} of {place}")
            self.budget.take(array.dtype.itemsize, place)
            return _decoded(array[()])
        if array.dtype.kind not in "fiub" or len(array.shape) > MAX_RANK:
            raise ModelError(
                f"{self.where}: {place}: its {key} of type {array.dtype} and shape "
                f"{array.shape} holds no numbers; write the file again"
            )
        self.budget.take(math.prod(array.shape) * max(4, array.dtype.itemsize), place)
        numbers: NDArray[Any] = np.asarray(array[()])
        return numbers


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _decoded(value: object) -> str:
    if isinstance(value, bytes):
        value = value[:MAX_TEXT].decode("utf-8", "replace")
    if not isinstance(value, str):
        raise ValueError(f"{type(value).__name__} is no text")
    return value[:MAX_TEXT]
