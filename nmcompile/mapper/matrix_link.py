"""Connections without any regularity: sparse matrices, and views that are no images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip.discrete import DiscreteConnection
from nmcompile.hardware import HardwareModel
from nmcompile.ir.layers import Connection
from nmcompile.mapper.cut import Cut, IntArray
from nmcompile.mapper.entry import (
    Block,
    BlockKind,
    Entry,
    Filled,
    Pairs,
    Split,
    base_segment,
    carries_few,
)

#: Pieces whose synapses are kept sorted.
KEPT = 64


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
            if not (len(y) and len(x)):
                continue
            shown = view[down[y]][:, right[x]].reshape(len(y) * len(x), -1)
            place = (y[:, None] * cols + x).reshape(-1)
            inner, channel = np.nonzero(link.weights[i, j])
            member = inner + channel // width * per_group
            source = shown[:, member]
            target = place[:, None] * out + channel
            value = np.broadcast_to(link.weights[i, j][inner, channel], source.shape)
            seen = source >= 0
            parts.append((source[seen].astype(np.int64), target[seen], value[seen]))
    if not parts:
        none = np.zeros(0, np.int64)
        return Synapses(none, none, np.zeros(0, np.int16))
    return Synapses(
        source=np.concatenate([source for source, _, _ in parts]),
        target=np.concatenate([target for _, target, _ in parts]),
        mantissa=np.concatenate([mantissa for _, _, mantissa in parts]),
    )


@dataclass(frozen=True, eq=False)
class _Piece:
    """Synapses into one piece, by population and atom, wherever the piece will start.

    Attributes
    ----------
    atom, target, mantissa : (synapses,) the target counts from the population's `local`
    edge : (axons + 1,) where the synapses of each population begin
    source, population, size, local : (axons,) as in `Filled`; `local` is the base in the piece
    longest, reach : (axons,) synapses of the longest row, and largest target
    dense : (axons,) whether targets are consecutive in every row
    block : (axons,) equal for populations with equal blocks: the first of them
    """

    atom: IntArray
    target: IntArray
    mantissa: NDArray[np.int16]
    edge: IntArray
    source: IntArray
    population: IntArray
    size: IntArray
    local: IntArray
    longest: IntArray
    reach: IntArray
    dense: NDArray[np.bool_]
    block: IntArray

    def rows(self, axon: int) -> Block:
        """The block of one axon: (atoms, longest row) targets and mantissas."""
        part = slice(int(self.edge[axon]), int(self.edge[axon + 1]))
        return _rows(self.atom[part], self.target[part], self.mantissa[part], int(self.size[axon]))


class MatrixLink:
    """A connection seen synapse by synapse; blocks that turn out equal are stored once.

    All atoms of a population have rows as long as its longest, filled up with synapses of
    weight zero.
    """

    splits = (Split.NONE,)
    halo = 0

    def __init__(self, connection: DiscreteConnection, hardware: HardwareModel) -> None:
        self.connection = connection
        self._hardware = hardware
        self._synapses = synapses_of(connection.link)
        self._pieces: dict[tuple[Cut, Cut, int], _Piece] = {}
        self._multiple = hardware.axon.pop16_base_multiple.value
        self._segment = base_segment(hardware)

    def _piece(self, source: Cut, target: Cut, piece: int) -> _Piece:
        key = (source, target, piece)
        if key not in self._pieces:
            # Candidates come one after the other; only the latest are worth keeping.
            while len(self._pieces) >= max(KEPT, 2 * target.pieces):
                del self._pieces[next(iter(self._pieces))]
            self._pieces[key] = self._gather(source, target, piece)
        return self._pieces[key]

    def _gather(self, source: Cut, target: Cut, piece: int) -> _Piece:
        here = np.flatnonzero(target.maps[0][self._synapses.target] == piece)
        neuron = self._synapses.source[here]
        compartment = target.maps[1][self._synapses.target[here]].astype(np.int64)
        owner, _, population, atom = (each[neuron].astype(np.int64) for each in source.maps)
        order = np.lexsort((compartment, atom, population, owner))
        owner, population, atom, compartment = (
            each[order] for each in (owner, population, atom, compartment)
        )
        mantissa = self._synapses.mantissa[here][order]
        new = np.diff(owner, prepend=-1).astype(bool) | np.diff(population, prepend=-1).astype(bool)
        start = np.flatnonzero(new)
        edge = np.append(start, len(owner))
        if not len(start):
            none = np.zeros(0, np.int64)
            return _Piece(none, none, mantissa, edge, *(none,) * 6, np.zeros(0, bool), none)
        count = np.diff(edge)
        size = _population_sizes(source)[owner[start], population[start]]
        local = np.minimum.reduceat(compartment, start) // self._multiple * self._multiple
        target_of = compartment - np.repeat(local, count)
        row = np.append(True, (np.diff(atom) != 0) | new[1:])
        row_start = np.flatnonzero(row)
        row_length = np.diff(np.append(row_start, len(owner)))
        row_first = np.searchsorted(row_start, start)
        longest = np.maximum.reduceat(row_length, row_first)
        reach = np.maximum.reduceat(target_of, start)
        twice = np.append(False, (np.diff(target_of) == 0) & ~row[1:])
        dense = (
            (reach == longest - 1)
            & ((count == size * longest) | (longest == 1))
            & ~np.logical_or.reduceat(twice, start)
        )
        found = _Piece(
            atom,
            target_of,
            mantissa,
            edge,
            owner[start],
            population[start],
            size,
            local,
            longest,
            reach,
            dense,
            np.arange(len(start)),
        )
        return replace(found, block=_alike(found))

    def entry(self, source: Cut, target: Cut, piece: int, split: Split) -> Entry:
        found = self._piece(source, target, piece)
        if not len(found.source):
            return Entry(self.connection)
        kinds = []
        for segments in (np.zeros_like(found.local), found.local // self._segment):
            block, segment = np.unique(np.stack([found.block, segments]), axis=1)
            shapes = np.stack(
                [
                    found.size[block],
                    found.longest[block],
                    found.reach[block] + segment * self._segment,
                    found.dense[block] & (segment == 0),
                ]
            )
            shapes, times = np.unique(shapes, axis=1, return_counts=True)
            kinds.append(
                tuple(
                    BlockKind(n, size, length, reach, bool(dense))
                    for (size, length, reach, dense), n in zip(
                        shapes.T.tolist(), times.tolist(), strict=True
                    )
                )
            )
        return Entry(
            connection=self.connection,
            axons=len(found.source),
            narrow=int(np.count_nonzero(carries_few(found.size, self._hardware))),
            spikes=int(found.size.sum()),
            events=int((found.size * found.longest).sum()),
            highest=int(found.local.max()),
            near=kinds[0],
            far=kinds[1],
        )

    def pairs(self, source: Cut, target: Cut, piece: int, split: Split) -> Pairs:
        found = self._piece(source, target, piece)
        pieces, place = np.unique(found.source, return_inverse=True)
        narrow = carries_few(found.size, self._hardware)
        counts = [
            np.bincount(place, weights=which, minlength=len(pieces)).astype(np.int64)
            for which in (found.size > 0, found.size == 1, narrow, found.size)
        ]
        return Pairs(pieces, *counts)

    def busiest(self, source: Cut, target: Cut, split: Split, room: int) -> int:
        # As if every population reached every piece, and each got its share of short names.
        populations = [source.populations(k) for k in {0, source.pieces - 1}]
        share = min(1.0, room / (max(populations) * source.pieces))
        wide = 1 if source.atoms == 1 else 2 - share
        return ceil(max(populations) * target.pieces * wide)

    def least_synapses(self) -> int:
        # Equal synapses may share a block from other bases on, so values count once.
        return len(np.unique(self._synapses.mantissa))

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
                _shifted(found.rows(k), shift)
                for k, shift in zip(keys[0].tolist(), shifts.tolist(), strict=True)
            ],
            dense=[
                bool(found.dense[k]) and not shift
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


def _shifted(block: Block, shift: int) -> Block:
    return (block[0] + shift).astype(np.int32), block[1]


def _alike(found: _Piece) -> IntArray:
    """(axons,) the first population with an equal block."""
    start, count = found.edge[:-1], np.diff(found.edge)
    mixed = (found.atom << 40) ^ (found.target << 18) ^ (found.mantissa.astype(np.int64) & 0xFFFF)
    spread = mixed.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    spread ^= spread >> np.uint64(29)
    table = np.stack(
        [found.size, found.longest, count, np.add.reduceat(spread, start).astype(np.int64)]
    )
    _, first, where, times = np.unique(
        table, axis=1, return_index=True, return_inverse=True, return_counts=True
    )
    block = first[where.reshape(-1)]
    # Different sums are different blocks; equal ones are looked at.
    known: dict[tuple[object, ...], int] = {}
    for axon in np.flatnonzero(times[where.reshape(-1)] > 1).tolist():
        targets, values = found.rows(axon)
        key = (targets.shape, targets.tobytes(), values.tobytes())
        block[axon] = known.setdefault(key, axon)
    return block


def _population_sizes(source: Cut) -> IntArray:
    """(pieces, most populations) neurons of each population."""
    piece, _, population, _ = source.maps
    sizes = np.zeros((source.pieces, int(population.max()) + 1), np.int64)
    np.add.at(sizes, (piece, population), 1)
    return sizes
