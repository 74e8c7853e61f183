"""The mapper's view of a network: grids, links between layers, and what a choice of cuts costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import ceil, prod

import numpy as np

from nmcompile.chip.bill import axon_slots
from nmcompile.chip.core import POP32
from nmcompile.chip.discrete import DiscreteConnection, DiscreteGraph, DiscreteLayer
from nmcompile.hardware import HardwareModel
from nmcompile.mapper.cut import Cut, Grid, IntArray
from nmcompile.mapper.entry import Entry, Link, Split, is_skeleton
from nmcompile.mapper.flat_link import FlatLink
from nmcompile.mapper.image_link import ImageLink, image_maps
from nmcompile.mapper.matrix_link import MatrixLink

#: A dense connection with a smaller share of weights other than zero is stored synapse by synapse.
DENSE_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Choice:
    """How every layer is cut, and how every link's synapses are shared out among axons.

    Attributes
    ----------
    cuts : layer name -> cut, the encoder's included (its only piece is no core)
    splits : one for each link
    """

    cuts: Mapping[str, Cut]
    splits: tuple[Split, ...]

    def with_layer(self, cut: Cut, splits: Mapping[int, Split]) -> Choice:
        """The same with another cut of one layer, and other splits of some links."""
        changed = tuple(splits.get(k, split) for k, split in enumerate(self.splits))
        return Choice({**self.cuts, cut.layer: cut}, changed)


class Problem:
    """Layers, links and limits; knows nothing of how layers are cut.

    Attributes
    ----------
    graph, hardware : what is to be mapped, and onto what
    grids : layer name -> (rows, columns, channels), the encoder's included
    links : one for each connection, in the graph's order
    rates : layer name -> mean spikes of a neuron in a step
    caution : factor on rough numbers of output axon slots
    """

    def __init__(self, graph: DiscreteGraph, hardware: HardwareModel) -> None:
        self.graph = graph
        self.hardware = hardware
        self.layers: dict[str, DiscreteLayer] = {layer.name: layer for layer in graph.layers}
        self.grids: dict[str, Grid] = {
            graph.encoder.name: _grid(graph.encoder.shape),
            **{layer.name: self._layer_grid(layer) for layer in graph.layers},
        }
        self.links: list[Link] = [self._link(connection) for connection in graph.connections]
        self.rates: dict[str, float] = {
            graph.encoder.name: graph.encoder_rate,
            **{layer.name: layer.rate for layer in graph.layers},
        }
        self.caution = 1.0
        self._slots: dict[tuple[object, ...], IntArray] = {}

    def _layer_grid(self, layer: DiscreteLayer) -> Grid:
        """Its own rows and columns where a connection has them too, else those of the first."""
        shapes = [c.link.out_shape for c in self.graph.into(layer.name)]
        shapes = [shape for shape in shapes if prod(shape) == layer.size]
        own = _grid(layer.shape)
        return own if own in shapes and len(layer.shape) == 3 else (shapes or [own])[0]

    def _link(self, connection: DiscreteConnection) -> Link:
        link = connection.link
        grid, target = self.grids[link.source], self.grids[link.target]
        single = link.view.shape[:2] == (1, 1) and link.window.kernel == (1, 1)
        if link.out_shape == target:
            if single and link.window.groups == 1 and link.window.padding == ((0, 0), (0, 0)):
                shown = link.view[link.view >= 0]
                if len(np.unique(shown)) == len(shown) and _is_dense(link.weights):
                    return FlatLink(connection, prod(grid), self.hardware)
            else:
                maps = image_maps(link.view, grid)
                if maps is not None:
                    return ImageLink(connection, maps, self.hardware)
        return MatrixLink(connection, self.hardware)

    @cached_property
    def into(self) -> dict[str, list[int]]:
        """Layer name -> numbers of the links that end there."""
        found: dict[str, list[int]] = {name: [] for name in self.grids}
        for k, link in enumerate(self.links):
            found[link.connection.link.target].append(k)
        return found

    @cached_property
    def out_of(self) -> dict[str, list[int]]:
        """Layer name -> numbers of the links that begin there."""
        found: dict[str, list[int]] = {name: [] for name in self.grids}
        for k, link in enumerate(self.links):
            found[link.connection.link.source].append(k)
        return found

    @property
    def encoder(self) -> str:
        """Name of the layer on the host whose spikes enter the chip."""
        return self.graph.encoder.name

    def encoder_cut(self) -> Cut:
        """The encoder in one piece: host neurons cost nothing, so populations are large."""
        grid = self.grids[self.encoder]
        return Cut(self.encoder, grid, grid, self.hardware.axon.pop32_atoms.value)

    def ends(self, link: int) -> tuple[str, str]:
        """Source and target of a link."""
        connection = self.links[link].connection.link
        return connection.source, connection.target

    def entries(self, choice: Choice, layer: str, piece: int) -> list[Entry]:
        """What enters a piece, a link at a time."""
        cuts = choice.cuts
        found = []
        for k in self.into[layer]:
            source, target = self.ends(k)
            found.append(self.links[k].entry(cuts[source], cuts[target], piece, choice.splits[k]))
        return found

    def link_slots(self, choice: Choice, link: int) -> IntArray:
        """(pieces of the source,) output axon slots that a link takes."""
        source, target = (choice.cuts[name] for name in self.ends(link))
        key = (link, source, target, choice.splits[link])
        if key not in self._slots:
            wide = axon_slots(POP32, self.hardware)
            total = np.zeros(source.pieces, np.int64)
            for piece in range(target.pieces):
                pairs = self.links[link].pairs(source, target, piece, choice.splits[link])
                narrow = within_room(pairs.narrow, self.room(link), piece)
                total[pairs.source] += wide * pairs.axons - (wide - 1) * (pairs.single + narrow)
            self._slots[key] = total
        return self._slots[key]

    def room(self, link: int) -> int:
        """Pop16 axons into one piece for a link; those of a core share its few short numbers."""
        sharing = len(self.into[self.ends(link)[1]])
        return (1 << self.hardware.axon.pop16_target_bits.value) // sharing

    def slots(self, choice: Choice, layer: str) -> IntArray:
        """(pieces,) output axon slots that the pieces of a layer need."""
        total = np.zeros(choice.cuts[layer].pieces, np.int64)
        for k in self.out_of[layer]:
            total += self.link_slots(choice, k)
        return total

    def busiest(self, choice: Choice, layer: str) -> int:
        """Output axon slots that the busiest piece of a layer needs, roughly; quick."""
        total = 0
        for k in self.out_of[layer]:
            source, target = (choice.cuts[name] for name in self.ends(k))
            room = self.room(k)
            total += self.links[k].busiest(source, target, choice.splits[k], room)
        return ceil(total * self.caution)


def within_room(narrow: IntArray, room: int, first: int) -> IntArray:
    """Axons by source piece that are pop16: all of a piece's, as long as numbers last.

    Pieces take their turn from the `first` on, another one for each target, for fairness.
    """
    turned = np.roll(narrow, -first)
    return np.roll(np.where(np.cumsum(turned) <= room, turned, 0), first)


def _grid(shape: tuple[int, ...]) -> Grid:
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else (1, 1, prod(shape))


def _is_dense(weights: np.ndarray) -> bool:
    return is_skeleton(weights) or bool(np.count_nonzero(weights) >= DENSE_SHARE * weights.size)
