"""Connections without any regularity: sparse matrices, and views that are no images."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip.discrete import DiscreteConnection
from nmcompile.hardware import HardwareModel
from nmcompile.ir.layers import Connection
from nmcompile.mapper.cut import Cut, IntArray
from nmcompile.mapper.entry import BlockKind, Entry, Filled, Pairs, Split, is_dense

Block = tuple[NDArray[np.int32], NDArray[np.int16]]


@dataclass(frozen=True, eq=False)
class Synapses:
    """Single synapses: (synapses,) source neuron, target neuron, mantissa."""

    source: IntArray
    target: IntArray
    mantissa: NDArray[np.int16]


def synapses_of(link: Connection) -> Synapses:
    """Every synapse of a connection that is not zero."""
    window, view = link.window, link.view
    rows, cols, _ = link.out_shape
    out = link.weights.shape[3]
    per_group, width = link.weights.shape[2], out // window.groups
    parts: list[tuple[IntArray, IntArray, NDArray[np.int16]]] = []
    for i in range(window.kernel[0]):
        down = np.arange(rows) * window.stride[0] - window.padding[0][0] + i * window.dilation[0]
        for j in range(window.kernel[1]):
            right = np.arange(cols) * window.stride[1] - window.padding[1][0]
            right = right + j * window.dilation[1]
            y = np.flatnonzero((down >= 0) & (down < view.shape[0]))
            x = np.flatnonzero((right >= 0) & (right < view.shape[1]))
            shown = view[down[y]][:, right[x]].reshape(len(y) * len(x), -1)
            place = (y[:, None] * cols + x).reshape(-1)
            inner, channel = np.nonzero(link.weights[i, j])
            member = inner + channel // width * per_group
            source = shown[:, member]
            target = place[:, None] * out + channel
            value = np.broadcast_to(link.weights[i, j][inner, channel], source.shape)
            seen = source >= 0
            parts.append((source[seen].astype(np.int64), target[seen], value[seen]))
    source, target, mantissa = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Synapses(source, target, mantissa)


@dataclass(frozen=True, eq=False)
class _Piece:
    """Axons into one piece, with their blocks, wherever the piece will start.

    Attributes
    ----------
    source, population, size, local : (axons,) as in `Filled`; `local` is the base in the piece
    block : (axons,) index into `blocks`, whose targets count from `local`
    """

    source: IntArray
    population: IntArray
    size: IntArray
    local: IntArray
    block: IntArray
    blocks: list[Block]


class MatrixLink:
    """A connection seen synapse by synapse; blocks that turn out equal are stored once.

    All atoms of a population have rows as long as its longest, filled up with synapses of
    weight zero.
    """

    splits = (Split.NONE,)

    def __init__(self, connection: DiscreteConnection, hardware: HardwareModel) -> None:
        self.connection = connection
        self._hardware = hardware
        self._synapses = synapses_of(connection.link)
        self._pieces: dict[tuple[Cut, Cut], list[_Piece]] = {}
        segment = hardware.axon.base_max.value + 1
        self._multiple = hardware.axon.pop16_base_multiple.value
        self._segment = segment // self._multiple * self._multiple or segment

    def _piece(self, source: Cut, target: Cut, piece: int) -> _Piece:
        key = (source, target)
        if key not in self._pieces:
            # Candidates come one after the other; only the latest are worth keeping.
            while len(self._pieces) > 4:
                del self._pieces[next(iter(self._pieces))]
            self._pieces[key] = self._cut(source, target)
        return self._pieces[key][piece]

    def _cut(self, source: Cut, target: Cut) -> list[_Piece]:
        """All pieces of the target."""
        piece, compartment = (each[self._synapses.target] for each in target.maps[:2])
        owner, _, population, atom = (each[self._synapses.source] for each in source.maps)
        order = np.lexsort((compartment, atom, population, owner, piece))
        columns = [each[order] for each in (piece, owner, population, atom, compartment)]
        mantissa = self._synapses.mantissa[order]
        ends = np.searchsorted(columns[0], np.arange(target.pieces + 1))
        sizes = _population_sizes(source)
        return [
            self._gather([each[a:b] for each in columns[1:]], mantissa[a:b], sizes)
            for a, b in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
        ]

    def _gather(
        self,
        columns: list[IntArray],
        mantissa: NDArray[np.int16],
        sizes: dict[tuple[int, int], int],
    ) -> _Piece:
        owner, population, atom, compartment = columns
        new = np.diff(owner, prepend=-1).astype(bool) | np.diff(population, prepend=-1).astype(bool)
        edges = np.append(np.flatnonzero(new), len(owner)).tolist()
        known: dict[tuple[object, ...], int] = {}
        blocks: list[Block] = []
        rows = []
        for a, b in pairwise(edges):
            size = sizes[int(owner[a]), int(population[a])]
            local = int(compartment[a:b].min()) // self._multiple * self._multiple
            targets, values = _rows(atom[a:b], compartment[a:b] - local, mantissa[a:b], size)
            # What is equal here is stored once, whatever population it is for.
            key = (size, targets.shape[1], targets.tobytes(), values.tobytes())
            if key not in known:
                known[key] = len(blocks)
                blocks.append((targets, values))
            rows.append((int(owner[a]), int(population[a]), size, local, known[key]))
        table = np.array(rows, np.int64).reshape(-1, 5).T
        return _Piece(*table, blocks=blocks)

    def entry(self, source: Cut, target: Cut, piece: int, split: Split) -> Entry:
        found = self._piece(source, target, piece)
        if not len(found.source):
            return Entry(self.connection)
        kinds = []
        for segments in (np.zeros_like(found.local), found.local // self._segment):
            counted = Counter(
                self._shape(found.blocks[block], segment)
                for block, segment in {*zip(found.block.tolist(), segments.tolist(), strict=True)}
            )
            kinds.append(tuple(BlockKind(n, *shape) for shape, n in sorted(counted.items())))
        few = self._hardware.axon.pop16_atoms.value
        return Entry(
            connection=self.connection,
            axons=len(found.source),
            narrow=int(np.count_nonzero((found.size > 1) & (found.size <= few))),
            spikes=int(found.size.sum()),
            events=sum(found.blocks[k][0].size for k in found.block.tolist()),
            highest=int(found.local.max()),
            near=kinds[0],
            far=kinds[1],
        )

    def _shape(self, block: Block, segment: int) -> tuple[int, int, int, bool]:
        targets, _ = block
        reach = int(targets.max()) + segment * self._segment
        return (*targets.shape, reach, not segment and is_dense(targets))  # type: ignore[return-value]

    def pairs(self, source: Cut, target: Cut, piece: int, split: Split) -> Pairs:
        found = self._piece(source, target, piece)
        few = self._hardware.axon.pop16_atoms.value
        pieces, place = np.unique(found.source, return_inverse=True)
        narrow = (found.size > 1) & (found.size <= few)
        counts = [
            np.bincount(place, weights=which, minlength=len(pieces)).astype(np.int64)
            for which in (found.size > 0, found.size == 1, narrow)
        ]
        return Pairs(pieces, *counts)

    def busiest(self, source: Cut, target: Cut, split: Split) -> int:
        total = np.zeros(source.pieces, np.int64)
        for k in range(target.pieces):
            pairs = self.pairs(source, target, k, split)
            total[pairs.source] += 2 * pairs.axons - pairs.single
        return int(total.max(initial=0))

    def least_synapses(self) -> int:
        return int(np.count_nonzero(self.connection.link.weights))

    def least_axons(self, most: int) -> int:
        return ceil(len(np.unique(self._synapses.source)) / most)

    def fill(self, source: Cut, target: Cut, piece: int, split: Split, start: int) -> Filled:
        found = self._piece(source, target, piece)
        entry = self.entry(source, target, piece, split)
        if not len(found.source):
            return Filled.nothing(self.connection)
        near = entry.is_near(start, self._hardware)
        segments = np.zeros_like(found.local) if near else found.local // self._segment
        base = found.local + start if near else found.local % self._segment
        keys, block = np.unique(np.stack([found.block, segments]), axis=1, return_inverse=True)
        shifts = keys[1] * self._segment + (0 if near else start)
        return Filled(
            connection=self.connection,
            source=found.source,
            population=found.population,
            size=found.size,
            base=base,
            block=block.reshape(-1),
            blocks=[
                ((found.blocks[k][0] + shift).astype(np.int32), found.blocks[k][1])
                for k, shift in zip(keys[0].tolist(), shifts.tolist(), strict=True)
            ],
            sparse_bits=entry.sparse_bits(start, self._hardware),
        )


def _rows(atom: IntArray, target: IntArray, mantissa: NDArray[np.int16], size: int) -> Block:
    """(atoms, longest row) targets and mantissas of synapses sorted by atom."""
    lengths = np.bincount(atom, minlength=size)
    starts = np.cumsum(lengths) - lengths
    place = np.arange(len(atom)) - starts[atom]
    targets = np.zeros((size, int(lengths.max())), np.int32)
    values = np.zeros(targets.shape, np.int16)
    targets[atom, place] = target
    values[atom, place] = mantissa
    return targets, values


def _population_sizes(source: Cut) -> dict[tuple[int, int], int]:
    piece, _, population, _ = source.maps
    pairs, counts = np.unique(np.stack([piece, population]), axis=1, return_counts=True)
    return dict(zip(zip(*pairs.tolist(), strict=True), counts.tolist(), strict=True))
