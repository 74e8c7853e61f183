"""Dense layers: one place that sees any neurons of the source, in any order."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip.discrete import DiscreteConnection
from nmcompile.hardware import HardwareModel
from nmcompile.mapper.cut import Bounds, Cut, IntArray
from nmcompile.mapper.entry import (
    BlockKind,
    Entry,
    Filled,
    Pairs,
    Split,
    base_segment,
    carries_few,
    is_skeleton,
)


@dataclass(frozen=True, eq=False)
class Populations:
    """The populations of a cut that a connection sees.

    Attributes
    ----------
    piece, number, size : (populations,) its piece, its number there, its neurons
    start : (populations,) first of its neurons among all, by piece, population and atom
    alike : (populations,) equal for populations whose rows of weights are equal
    """

    piece: IntArray
    number: IntArray
    size: IntArray
    start: IntArray
    alike: IntArray

    @classmethod
    def of(cls, source: Cut, rows: IntArray) -> Populations:
        """Those with a row; `rows` (neurons,) is equal for equal rows and -1 for none."""
        # A copy, so that its large maps do not live as long as the cut.
        source = replace(source)
        piece, _, population, _ = source.maps
        order = _by_population(source)
        edge = np.flatnonzero(
            np.diff(piece[order], prepend=-1).astype(bool)
            | np.diff(population[order], prepend=-1).astype(bool)
        )
        size = np.diff(np.append(edge, len(order)))
        sorted_rows = rows[order]
        seen = np.flatnonzero(np.maximum.reduceat(sorted_rows, edge) >= 0) if len(edge) else edge
        known: dict[bytes, int] = {}
        alike = [
            known.setdefault(sorted_rows[edge[k] : edge[k] + size[k]].tobytes(), len(known))
            for k in seen.tolist()
        ]
        return cls(
            piece=piece[order][edge[seen]].astype(np.int64),
            number=population[order][edge[seen]].astype(np.int64),
            size=size[seen],
            start=edge[seen],
            alike=np.array(alike, np.int64),
        )


def _by_population(source: Cut) -> IntArray:
    """(neurons,) by piece, population and atom."""
    piece, _, population, atom = source.maps
    return np.lexsort((atom, population, piece))


class FlatLink:
    """A dense connection; its targets at one place are consecutive."""

    splits = (Split.NONE,)
    halo = 0

    def __init__(
        self, connection: DiscreteConnection, neurons: int, hardware: HardwareModel
    ) -> None:
        """`neurons` is the size of the source."""
        link = connection.link
        self.connection = connection
        self._hardware = hardware
        self._weights = link.weights[0, 0]
        view = link.view.reshape(-1)
        shown = np.flatnonzero(view >= 0)
        #: (neurons,) row of the weights that each neuron uses, -1 for none.
        self._row = np.full(neurons, -1, np.int64)
        self._row[view[shown]] = shown
        self._span = (0, self._weights.shape[1])
        names = np.arange(len(self._weights))
        if not is_skeleton(link.weights):
            living = np.flatnonzero(self._weights.any(axis=0))
            self._span = (int(living[0]), int(living[-1]) + 1) if len(living) else (0, 0)
            known: dict[bytes, int] = {}
            names = np.array(
                [
                    known.setdefault(row.tobytes(), k) if row.any() else -1
                    for k, row in enumerate(self._weights)
                ]
            )
        self._alike = np.where(self._row >= 0, names[self._row], -1)
        self._segment = base_segment(hardware)
        self._known: dict[tuple[object, ...], Populations] = {}
        self._entries: dict[tuple[object, ...], Entry] = {}
        self._pairs: dict[tuple[object, ...], Pairs] = {}

    def _populations(self, source: Cut) -> Populations:
        key = (source.box, source.atoms)
        if key not in self._known:
            self._known[key] = Populations.of(source, self._alike)
        return self._known[key]

    def _reached(self, bounds: Bounds) -> tuple[int, int, int] | None:
        """First and behind the last output channel in the piece, and the first within it."""
        first = max(bounds.channels[0], self._span[0])
        last = min(bounds.channels[1], self._span[1])
        return (first, last, first - bounds.channels[0]) if first < last else None

    def entry(self, source: Cut, target: Cut, piece: int, split: Split) -> Entry:
        reached = self._reached(target.bounds(piece))
        if reached is None:
            return Entry(self.connection)
        first, last, lead = reached
        key = (source.box, source.atoms, last - first, lead)
        if key not in self._entries:
            found = self._populations(source)
            _, one_each = np.unique(found.alike, return_index=True)
            length, rest = last - first, lead // self._segment * self._segment
            sizes = sorted(Counter(found.size[one_each].tolist()).items())
            near, far = (
                tuple(
                    BlockKind(count, size, length, length - 1 + ahead, dense=not ahead)
                    for size, count in sizes
                )
                for ahead in (0, rest)
            )
            pairs = self.pairs(source, target, piece, split)
            self._entries[key] = Entry(
                connection=self.connection,
                axons=len(found.size),
                narrow=int(pairs.narrow.sum()),
                spikes=int(found.size.sum()),
                events=int(found.size.sum()) * (last - first),
                highest=lead,
                near=near,
                far=far,
            )
        return self._entries[key]

    def pairs(self, source: Cut, target: Cut, piece: int, split: Split) -> Pairs:
        reached = self._reached(target.bounds(piece))
        if reached is None:
            return Pairs.nothing()
        multiple = self._hardware.axon.pop16_base_multiple.value
        key = (source.box, source.atoms, reached[2] % multiple)
        if key not in self._pairs:
            found = self._populations(source)
            pieces, place = np.unique(found.piece, return_inverse=True)
            narrow = carries_few(found.size, self._hardware) & (reached[2] % multiple == 0)
            self._pairs[key] = Pairs(
                pieces,
                *(
                    np.bincount(place, weights=which, minlength=len(pieces)).astype(np.int64)
                    for which in (found.size > 0, found.size == 1, narrow, found.size)
                ),
            )
        return self._pairs[key]

    def busiest(self, source: Cut, target: Cut, split: Split, room: int) -> int:
        found = self._populations(source)
        slots = np.bincount(found.piece, weights=np.where(found.size > 1, 2, 1))
        reached = sum(self._reached(target.bounds(k)) is not None for k in range(target.pieces))
        return int(slots.max(initial=0)) * reached

    def least_synapses(self) -> int:
        return len(np.unique(self._alike[self._alike >= 0])) * (self._span[1] - self._span[0])

    def least_axons(self, most: int) -> int:
        return ceil(np.count_nonzero(self._alike >= 0) / most)

    def fill(self, source: Cut, target: Cut, piece: int, split: Split, start: int) -> Filled:
        reached = self._reached(target.bounds(piece))
        entry = self.entry(source, target, piece, split)
        if reached is None or not entry.axons:
            return Filled.nothing(self.connection)
        first, last, lead = reached
        found = self._populations(source)
        near = entry.is_near(start, self._hardware)
        _, one_each, block = np.unique(found.alike, return_index=True, return_inverse=True)
        base = lead + start if near else lead % self._segment
        shift = lead + start - base
        order = _by_population(replace(source))
        blocks = []
        for k in one_each.tolist():
            neurons = order[found.start[k] : found.start[k] + found.size[k]]
            blocks.append(self._block(self._row[neurons], first, last, shift))
        return Filled(
            connection=self.connection,
            source=found.piece,
            population=found.number,
            size=found.size,
            base=np.full(len(found.size), base),
            block=block.reshape(-1),
            blocks=blocks,
            dense=[not shift] * len(blocks),
            sparse_bits=entry.sparse_bits(start, self._hardware),
        )

    def _block(
        self, rows: IntArray, first: int, last: int, shift: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int16]]:
        targets = np.arange(shift, shift + last - first, dtype=np.int32)
        mantissas = np.where((rows >= 0)[:, None], self._weights[rows, first:last], 0)
        return np.tile(targets, (len(rows), 1)), mantissas.astype(np.int16)
