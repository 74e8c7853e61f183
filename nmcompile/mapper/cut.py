"""Cuts: which neurons of a layer form a piece, and how they are numbered there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil, prod

import numpy as np
from numpy.typing import NDArray

Grid = tuple[int, int, int]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Bounds:
    """Rows, columns and channels of a piece, each as (first, behind the last)."""

    rows: tuple[int, int]
    cols: tuple[int, int]
    channels: tuple[int, int]

    @property
    def shape(self) -> Grid:
        """Number of rows, columns and channels."""
        return (
            self.rows[1] - self.rows[0],
            self.cols[1] - self.cols[0],
            self.channels[1] - self.channels[0],
        )

    @property
    def size(self) -> int:
        """Number of neurons."""
        return prod(self.shape)


@dataclass(frozen=True)
class Cut:
    """A layer cut into boxes of rows x columns x channels, its pieces.

    A piece's neurons are numbered place by place and channel by channel there (`channels_last`),
    so that the channels of a place are consecutive, or channel by channel and place by place
    there, so that places lie side by side and one base reaches all of them. The channels of a
    piece at one place are populations of at most `atoms` neurons: a population shares its output
    axons, and an atom tells its neurons apart.

    With a `halo`, a piece has so many more columns on either side, of compartments that stand for
    no neuron. What a kernel would send beyond the edge goes there, so that a place at the edge
    needs no block of its own: compartments are paid for synaptic memory.

    Attributes
    ----------
    layer : its name
    grid : (rows, columns, channels) of the layer
    box : largest (rows, columns, channels) of a piece
    atoms : most neurons of a population
    channels_last : the numbering
    halo : columns without neurons on either side of a piece
    """

    layer: str
    grid: Grid
    box: Grid
    atoms: int
    channels_last: bool = True
    halo: int = 0

    @cached_property
    def counts(self) -> Grid:
        """Number of pieces along each axis."""
        rows, cols, channels = (ceil(n / b) for n, b in zip(self.grid, self.box, strict=True))
        return rows, cols, channels

    @cached_property
    def pieces(self) -> int:
        """Number of pieces."""
        return prod(self.counts)

    def index(self, piece: int) -> Grid:
        """Which piece it is along each axis."""
        _, cols, channels = self.counts
        return piece // (cols * channels), piece // channels % cols, piece % channels

    def interval(self, axis: int, k: int) -> tuple[int, int]:
        """First and behind the last of the `k`-th piece along an axis."""
        return k * self.box[axis], min((k + 1) * self.box[axis], self.grid[axis])

    def bounds(self, piece: int) -> Bounds:
        """Rows, columns and channels of a piece."""
        rows, cols, channels = (self.interval(axis, k) for axis, k in enumerate(self.index(piece)))
        return Bounds(rows, cols, channels)

    def strides(self, shape: Grid) -> Grid:
        """Compartments from one row, column and channel of a piece of `shape` to the next."""
        rows, cols, channels = shape
        cols += 2 * self.halo
        if self.channels_last:
            return cols * channels, channels, 1
        return cols, 1, rows * cols

    @cached_property
    def sizes(self) -> IntArray:
        """(pieces,) neurons of each piece."""
        rows, cols, channels = self._lengths
        return np.multiply.outer(np.multiply.outer(rows, cols), channels).reshape(-1)

    @cached_property
    def compartments(self) -> IntArray:
        """(pieces,) compartments of each piece, those of its halo included."""
        rows, cols, channels = self._lengths
        return np.multiply.outer(np.multiply.outer(rows, cols + 2 * self.halo), channels).reshape(
            -1
        )

    @cached_property
    def _lengths(self) -> list[IntArray]:
        """Length of each piece along each axis."""
        return [
            np.array([stop - start for start, stop in (self.interval(axis, k) for k in range(n))])
            for axis, n in enumerate(self.counts)
        ]

    @cached_property
    def chunks(self) -> tuple[tuple[int, int], ...]:
        """Channels of each population at a place, as (first, behind the last), ascending."""
        found = []
        for k in range(self.counts[2]):
            start, stop = self.interval(2, k)
            found += [(a, min(a + self.atoms, stop)) for a in range(start, stop, self.atoms)]
        return tuple(found)

    @cached_property
    def chunk_piece(self) -> IntArray:
        """(chunks,) which piece along the channels each chunk is in."""
        return np.array([start // self.box[2] for start, _ in self.chunks])

    @cached_property
    def first_chunk(self) -> IntArray:
        """(pieces along the channels + 1,) number of the first chunk of each."""
        return np.searchsorted(self.chunk_piece, np.arange(self.counts[2] + 1))

    def populations(self, piece: int) -> int:
        """Number of populations of a piece."""
        rows, cols, _ = self.bounds(piece).shape
        k = piece % self.counts[2]
        return rows * cols * int(self.first_chunk[k + 1] - self.first_chunk[k])

    @cached_property
    def maps(self) -> tuple[IntArray, IntArray, IntArray, IntArray]:
        """For each neuron: its piece, its compartment, population and atom there.

        All (neurons,) int32, in row-major order of the grid; compartments count from the first
        of the piece.
        """
        shape = self.grid
        at = [np.arange(n) for n in shape]
        which = [a // b for a, b in zip(at, self.box, strict=True)]
        inner = [a % b for a, b in zip(at, self.box, strict=True)]
        size = [
            np.minimum((w + 1) * b, n) - w * b
            for w, b, n in zip(which, self.box, shape, strict=True)
        ]

        def spread(values: list[IntArray]) -> list[IntArray]:
            return [
                v.reshape([-1 if axis == k else 1 for axis in range(3)])
                for k, v in enumerate(values)
            ]

        (wr, wc, wk), (ir, ic, ik), (sr, sc, sk) = spread(which), spread(inner), spread(size)
        _, cols, channels = self.counts
        piece = (wr * cols + wc) * channels + wk
        place = ir * sc + ic
        wide = sc + 2 * self.halo
        seat = ir * wide + ic + self.halo
        number = seat * sk + ik if self.channels_last else ik * (sr * wide) + seat
        groups = -(-sk // self.atoms)
        population = place * groups + ik // self.atoms
        atom = np.broadcast_to(ik % self.atoms, shape)
        return tuple(  # type: ignore[return-value]
            np.ascontiguousarray(np.broadcast_to(each, shape)).reshape(-1).astype(np.int32)
            for each in (piece, number, population, atom)
        )
