"""Convolutions over views that are images: structure by rows, columns and channels."""

from __future__ import annotations

from collections import Counter
from math import ceil

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip.discrete import DiscreteConnection
from nmcompile.hardware import HardwareModel
from nmcompile.mapper.axis import Axis, Pattern, Units
from nmcompile.mapper.channels import Channels, Reached
from nmcompile.mapper.cut import Bounds, Cut, Grid, IntArray
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


class ImageLink:
    """A convolution over an image: rows, columns and channels can be seen one by one."""

    splits = (Split.NONE, Split.ROWS, Split.TAPS)

    def __init__(
        self,
        connection: DiscreteConnection,
        maps: tuple[IntArray, IntArray, IntArray],
        hardware: HardwareModel,
    ) -> None:
        """`maps` tell where the view's (rows,), (columns,), (channels,) lie in the source."""
        link = connection.link
        self.connection = connection
        self._hardware = hardware
        self._window = link.window
        self._weights = link.weights
        self._channels = Channels(link.weights, link.window.groups, maps[2])
        self._axes = tuple(
            Axis(
                maps[axis],
                _taps(link.weights, axis),
                link.window.stride[axis],
                link.window.padding[axis][0],
                link.window.dilation[axis],
                link.out_shape[axis],
            )
            for axis in (0, 1)
        )
        self._entries: dict[tuple[object, ...], Entry] = {}
        self._busiest: dict[tuple[int, ...], int] = {}
        self._segment = base_segment(hardware)

    @property
    def halo(self) -> int:
        """Columns on either side with which no column of the source is at an edge."""
        return self._axes[1].halo

    def _units(self, bounds: Bounds, split: Split, halo: int) -> tuple[Units, Units]:
        rows, cols = self._axes
        return (
            rows.units(*bounds.rows, split is not Split.NONE),
            cols.units(*bounds.cols, split is Split.TAPS, halo),
        )

    def entry(self, source: Cut, target: Cut, piece: int, split: Split) -> Entry:
        bounds = target.bounds(piece)
        reached = self._channels.reached(bounds, target)
        if reached is None:
            return Entry(self.connection)
        rows, cols = self._units(bounds, split, target.halo)
        channels: tuple[int, ...] = (reached.last - reached.first, reached.lead, reached.skip)
        if self._window.groups > 1:
            channels = bounds.channels
        key = (
            *(rows.key, cols.key, bounds.shape, channels, split),
            *(target.channels_last, target.halo, source.grid[2], source.box[2], source.atoms),
        )
        if key not in self._entries:
            self._entries[key] = self._entry(source, target, bounds, reached, rows, cols)
        return self._entries[key]

    def _entry(
        self,
        source: Cut,
        target: Cut,
        bounds: Bounds,
        reached: Reached,
        rows: Units,
        cols: Units,
    ) -> Entry:
        strides = target.strides(bounds.shape)
        chunks = self._channels.chunks(source, reached)
        if not (len(rows.source) and len(cols.source) and chunks):
            return Entry(self.connection)
        local = _local(rows, cols, strides, reached)
        highest = int(local.max())
        pattern = rows.pattern[:, None] * len(self._axes[1].patterns) + cols.pattern
        alike = Counter(
            (source.chunks[k][1] - source.chunks[k][0], longest) for k, longest in chunks
        )
        kinds: list[tuple[BlockKind, ...]] = []
        for segments in (np.zeros_like(local), local // self._segment):
            found = {*zip(pattern.ravel().tolist(), segments.ravel().tolist(), strict=True)}
            kinds.append(
                tuple(
                    self._kind(
                        self._pattern(number), count, atoms, longest, strides, reached, segment
                    )
                    for number, segment in sorted(found)
                    for (atoms, longest), count in sorted(alike.items())
                )
            )
        taps = sum(len(self._axes[0].patterns[k]) for k in rows.pattern.tolist())
        taps *= sum(len(self._axes[1].patterns[k]) for k in cols.pattern.tolist())
        sizes = np.array([source.chunks[k][1] - source.chunks[k][0] for k, _ in chunks])
        narrow = int(np.count_nonzero(carries_few(sizes, self._hardware)))
        multiple = self._hardware.axon.pop16_base_multiple.value
        return Entry(
            connection=self.connection,
            axons=local.size * len(chunks),
            narrow=int(np.count_nonzero(local % multiple == 0)) * narrow,
            spikes=local.size * sum(count * atoms for (atoms, _), count in alike.items()),
            events=taps * sum(count * atoms * n for (atoms, n), count in alike.items()),
            highest=highest,
            near=kinds[0],
            far=kinds[1],
        )

    def _pattern(self, number: int) -> tuple[Pattern, Pattern]:
        rows, cols = divmod(number, len(self._axes[1].patterns))
        return self._axes[0].patterns[rows], self._axes[1].patterns[cols]

    def _kind(
        self,
        shape: tuple[Pattern, Pattern],
        count: int,
        atoms: int,
        longest: int,
        strides: Grid,
        reached: Reached,
        segment: int,
    ) -> BlockKind:
        """Blocks of equal size for one pattern and several populations."""
        length = len(shape[0]) * len(shape[1]) * longest
        reach, consecutive = self._reach(shape, strides, reached)
        return BlockKind(
            count, atoms, length, reach + segment * self._segment, consecutive and not segment
        )

    def _reach(
        self, shape: tuple[Pattern, Pattern], strides: Grid, reached: Reached
    ) -> tuple[int, bool]:
        """Largest target of a pattern, and whether they are all consecutive from 0 on."""
        rows, cols = shape
        reach = rows[-1][0] * strides[0] + cols[-1][0] * strides[1] + reached.skip
        reach += (reached.last - reached.base - 1) * strides[2]
        if self._window.groups > 1 or reached.skip:
            return reach, False
        # Targets differ from each other, so they are consecutive where the last says so.
        return reach, reach == len(rows) * len(cols) * (reached.last - reached.first) - 1

    def pairs(self, source: Cut, target: Cut, piece: int, split: Split) -> Pairs:
        bounds = target.bounds(piece)
        reached = self._channels.reached(bounds, target)
        if reached is None:
            return Pairs.nothing()
        rows, cols = self._units(bounds, split, target.halo)
        strides = target.strides(bounds.shape)
        multiple = self._hardware.axon.pop16_base_multiple.value
        down, n_down = _histogram(rows, source.box[0], strides[0], multiple)
        right, n_right = _histogram(cols, source.box[1], strides[1], multiple)
        chunks = self._channels.chunks(source, reached)
        if not (len(rows.source) and len(cols.source) and chunks):
            return Pairs.nothing()
        along = [int(source.chunk_piece[k]) for k, _ in chunks]
        sizes = np.array([source.chunks[k][1] - source.chunks[k][0] for k, _ in chunks], np.int64)
        third, place = np.unique(along, return_inverse=True)
        few = carries_few(sizes, self._hardware)
        counts = np.array(
            [
                np.bincount(place, weights=which, minlength=len(third))
                for which in (sizes > 0, sizes == 1, few, sizes)
            ]
        ).astype(np.int64)
        places = np.multiply.outer(n_down.sum(axis=1), n_right.sum(axis=1))
        # A base is a multiple where the parts of rows, columns and lead add up to one.
        aligned = np.zeros_like(places)
        for k in range(multiple):
            aligned += np.multiply.outer(n_down[:, k], n_right[:, (-k - reached.lead) % multiple])
        number = (
            (down[:, None] * source.counts[1] + right)[:, :, None] * source.counts[2] + third
        ).reshape(-1)
        return Pairs(
            source=number,
            axons=np.multiply.outer(places, counts[0]).reshape(-1),
            single=np.multiply.outer(places, counts[1]).reshape(-1),
            narrow=np.multiply.outer(aligned, counts[2]).reshape(-1),
            neurons=np.multiply.outer(places, counts[3]).reshape(-1),
        )

    def busiest(self, source: Cut, target: Cut, split: Split, room: int) -> int:
        down = self._axes[0].busiest(source.box[0], target.box[0], split is not Split.NONE)
        whole = split is Split.TAPS
        right = self._axes[1].busiest(source.box[1], target.box[1], whole, target.halo)
        key = (source.grid[2], source.box[2], source.atoms, target.box[2])
        if key not in self._busiest:
            total = np.zeros(source.counts[2], np.int64)
            for k in range(target.counts[2]):
                first = max(target.interval(2, k)[0], self._channels.span[0])
                last = min(target.interval(2, k)[1], self._channels.span[1])
                # Which numbering the target has is of no account here.
                for chunk, _ in self._channels.chunks(source, Reached(first, last, first, 0, 0)):
                    begin, stop = source.chunks[chunk]
                    total[source.chunk_piece[chunk]] += 1 if stop - begin == 1 else 2
            self._busiest[key] = int(total.max(initial=0))
        return down * right * self._busiest[key]

    def least_synapses(self) -> int:
        taps = 1
        for axis in self._axes:
            pattern = axis.units(0, axis.length, True).pattern
            taps *= len({axis.patterns[k][0][1] for k in pattern.tolist()})
        if self._window.groups > 1:
            out = self._weights.shape[3]
            spans = [
                self._channels.outputs(int(member), 0, out)
                for member in np.flatnonzero(self._channels.seen)
            ]
            return taps * sum(last - first for first, last in spans)
        return (
            taps
            * int(self._channels.seen.sum())
            * (self._channels.span[1] - self._channels.span[0])
        )

    def least_axons(self, most: int) -> int:
        places = 1
        for axis in self._axes:
            places *= len(np.unique(axis.units(0, axis.length, False).source))
        return places * ceil(int(self._channels.seen.sum()) / most) if self._channels.span[1] else 0

    def fill(self, source: Cut, target: Cut, piece: int, split: Split, start: int) -> Filled:
        bounds = target.bounds(piece)
        reached = self._channels.reached(bounds, target)
        entry = self.entry(source, target, piece, split)
        if reached is None or not entry.axons:
            return Filled.nothing(self.connection)
        rows, cols = self._units(bounds, split, target.halo)
        strides = target.strides(bounds.shape)
        chunks = np.array([k for k, _ in self._channels.chunks(source, reached)])
        local = _local(rows, cols, strides, reached)
        near = entry.is_near(start, self._hardware)
        base = local + start if near else local % self._segment
        part = np.zeros_like(local) if near else local // self._segment
        pattern = rows.pattern[:, None] * len(self._axes[1].patterns) + cols.pattern
        keys, block = np.unique(
            np.stack([pattern.ravel(), part.ravel()]), axis=1, return_inverse=True
        )
        block = block.reshape(-1, 1) * len(chunks) + np.arange(len(chunks))
        shifts = (keys[1] * self._segment + (0 if near else start)).tolist()
        blocks = [
            self._block(number, k, source, strides, reached, shift)
            for number, shift in zip(keys[0].tolist(), shifts, strict=True)
            for k in chunks.tolist()
        ]
        where, population = _populations(source, rows, cols, chunks)
        order = np.argsort(where, axis=None, kind="stable")
        sizes = np.array([stop - begin for begin, stop in source.chunks])[chunks]
        full = where.shape
        grid = (*local.shape, len(chunks))
        return Filled(
            connection=self.connection,
            source=where.reshape(-1)[order],
            population=population.reshape(-1)[order],
            size=np.broadcast_to(sizes, full).reshape(-1)[order],
            base=np.broadcast_to(base[:, :, None], grid).reshape(-1)[order],
            block=block.reshape(-1)[order],
            blocks=blocks,
            dense=[
                self._reach(self._pattern(number), strides, reached)[1] and not shift
                for number, shift in zip(keys[0].tolist(), shifts, strict=True)
                for _ in range(len(chunks))
            ],
            sparse_bits=entry.sparse_bits(start, self._hardware),
        )

    def _block(
        self,
        number: int,
        chunk: int,
        source: Cut,
        strides: Grid,
        reached: Reached,
        shift: int,
    ) -> tuple[NDArray[np.int32], NDArray[np.int16]]:
        """Targets and mantissas of one block, all atoms of a population."""
        rows, cols = self._pattern(number)
        begin, stop = source.chunks[chunk]
        members = self._channels.members((begin, stop))
        atoms = self._channels.channel_of[members] - begin
        down = np.array([[target * strides[0], tap] for target, tap in rows])
        right = np.array([[target * strides[1], tap] for target, tap in cols])
        place = (down[:, :1] + right[:, 0]).reshape(-1)
        weights = self._weights[down[:, 1]][:, right[:, 1]].reshape(-1, *self._weights.shape[2:])
        if self._window.groups == 1:
            channel = np.arange(reached.first, reached.last)
            offset = (channel - reached.base) * strides[2] + reached.skip
            targets = (place[:, None] + offset).reshape(-1)
            values = weights[:, members, reached.first : reached.last]
            values = values.transpose(1, 0, 2).reshape(len(members), -1)
            # Where no index is stored, the order is that of the targets.
            order = np.arange(len(targets))
            if self._reach((rows, cols), strides, reached)[1] and not shift:
                order = np.argsort(targets)
            rows_of = np.broadcast_to(
                (targets[order] + shift).astype(np.int32), (stop - begin, len(order))
            )
            mantissas = np.zeros((stop - begin, len(order)), np.int16)
            mantissas[atoms] = values[:, order]
            return np.ascontiguousarray(rows_of), mantissas
        spans = [self._channels.outputs(int(m), reached.first, reached.last) for m in members]
        longest = max(b - a for a, b in spans)
        per_group = self._weights.shape[2]
        all_targets = np.full((stop - begin, len(place), longest), shift, np.int32)
        mantissas = np.zeros((stop - begin, len(place), longest), np.int16)
        for atom, member, (a, b) in zip(atoms.tolist(), members.tolist(), spans, strict=True):
            if a < b:
                channel = np.arange(a, b)
                offset = (channel - reached.base) * strides[2] + shift
                all_targets[atom, :, : b - a] = place[:, None] + offset
                mantissas[atom, :, : b - a] = weights[:, member % per_group, a:b]
        flat = (stop - begin, -1)
        return all_targets.reshape(flat), mantissas.reshape(flat)


def _local(rows: Units, cols: Units, strides: Grid, reached: Reached) -> IntArray:
    """(row units, column units) first target, counted from the piece's first compartment."""
    place = rows.first[:, None] * strides[0] + cols.first * strides[1]
    return place + reached.lead * strides[2]


def _histogram(units: Units, box: int, stride: int, multiple: int) -> tuple[IntArray, IntArray]:
    """Pieces of the source along an axis, and (pieces, multiple) units by what a base is modulo."""
    pieces, where = np.unique(units.source // box, return_inverse=True)
    rest = units.first * stride % multiple
    counts = np.bincount(where * multiple + rest, minlength=len(pieces) * multiple)
    return pieces, counts.reshape(-1, multiple)


def _populations(
    source: Cut, rows: Units, cols: Units, chunks: IntArray
) -> tuple[IntArray, IntArray]:
    """(row units, column units, chunks) piece of the source, and population there."""
    height, width, _ = source.box
    _, n_cols, n_channels = source.counts
    down, right = rows.source // height, cols.source // width
    third = source.chunk_piece[chunks]
    piece = (down[:, None] * n_cols + right)[:, :, None] * n_channels + third
    widths = np.minimum((right + 1) * width, source.grid[1]) - right * width
    place = (rows.source % height)[:, None] * widths + cols.source % width
    first = source.first_chunk
    population = place[:, :, None] * (first[third + 1] - first[third]) + chunks - first[third]
    return piece, population


def _taps(weights: NDArray[np.int16], axis: int) -> list[int]:
    """Kernel rows (or columns): equal ones bear the number of the first of them, dead ones -1."""
    if is_skeleton(weights):
        return list(range(weights.shape[axis]))
    known: dict[bytes, int] = {}
    parts = [np.ascontiguousarray(np.take(weights, k, axis)) for k in range(weights.shape[axis])]
    return [
        known.setdefault(part.tobytes(), k) if part.any() else -1 for k, part in enumerate(parts)
    ]


def image_maps(view: NDArray[np.int32], grid: Grid) -> tuple[IntArray, IntArray, IntArray] | None:
    """Where rows, columns and channels of a view lie in its source, -1 for nowhere.

    None where the view is no image, or shows a channel twice at one place.
    """
    _, cols, channels = grid
    shown = view >= 0
    parts = (view // (cols * channels), view // channels % cols, view % channels)
    maps = []
    for axis, part in enumerate(parts):
        others = tuple(k for k in range(3) if k != axis)
        maps.append(np.where(shown, part, -1).max(axis=others, initial=-1).astype(np.int64))
    down, right, channel = maps[0][:, None, None], maps[1][:, None], maps[2]
    number = (down * cols + right) * channels + channel
    whole = (down >= 0) & (right >= 0) & (channel >= 0)
    if not np.array_equal(np.where(whole, number, -1), view):
        return None
    seen = channel[channel >= 0]
    return (maps[0], maps[1], maps[2]) if len(np.unique(seen)) == len(seen) else None
