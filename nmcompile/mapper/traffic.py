"""Traffic: how many messages the cores send each other, and what a placement makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmcompile.errors import DataError
from nmcompile.hardware import HardwareModel


class Graph(NamedTuple):
    """An undirected graph in compressed rows; each edge stands in both its rows.

    Attributes
    ----------
    start : (nodes + 1,) int64, where each node's row begins
    neighbour : (2 * edges,) int32, ascending within a row
    weight : (2 * edges,) int64
    """

    start: NDArray[np.int64]
    neighbour: NDArray[np.int32]
    weight: NDArray[np.int64]

    def rows(self) -> NDArray[np.int64]:
        """The node in whose row each entry stands."""
        return np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))


@dataclass(frozen=True, eq=False)
class Traffic:
    """Expected messages per time step from core to core.

    Attributes
    ----------
    cores : how many there are
    source, target : (edges,) int32, the core that sends and the one that receives; a pair
        stands there once, and a core may send to itself, which costs nothing
    messages : (edges,) float64, messages per time step

    Raises
    ------
    DataError
        Where lengths differ, a core does not exist, or messages are negative or not finite.
    """

    cores: int
    source: NDArray[np.int32]
    target: NDArray[np.int32]
    messages: NDArray[np.float64]

    def __post_init__(self) -> None:
        if not len(self.source) == len(self.target) == len(self.messages):
            raise DataError(
                f"traffic has {len(self.source)} sources, {len(self.target)} targets and "
                f"{len(self.messages)} numbers of messages, which must be as many"
            )
        for ends in (self.source, self.target):
            if len(ends) and not 0 <= int(ends.min()) <= int(ends.max()) < self.cores:
                raise DataError(
                    f"traffic names cores {ends.min()} to {ends.max()}, there are {self.cores}"
                )
        if not (np.isfinite(self.messages) & (self.messages >= 0)).all():
            raise DataError("traffic has messages that are negative or not finite")

    def symmetric(self) -> Graph:
        """Traffic of both directions together as whole numbers, without self-edges.

        Whole numbers add up to the same in any order, so that whatever is decided by them does
        not depend on the machine. They are messages times a power of two, such that all of them
        together stay under 2**50; less than that resolves is no traffic.
        """
        total = float(self.messages.sum())
        _, exponent = np.frexp(total)
        whole = np.rint(np.ldexp(self.messages, 50 - int(exponent))).astype(np.int64)
        kept = (self.source != self.target) & (whole > 0)
        ends = self.source[kept].astype(np.int64), self.target[kept].astype(np.int64)
        keys = np.concatenate([ends[0] * self.cores + ends[1], ends[1] * self.cores + ends[0]])
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        first = np.flatnonzero(np.diff(keys, prepend=-1))
        weight = np.concatenate([whole[kept], whole[kept]])[order]
        merged = np.add.reduceat(weight, first) if len(first) else weight
        row, neighbour = np.divmod(keys[first], max(self.cores, 1))
        start = np.searchsorted(row, np.arange(self.cores + 1)).astype(np.int64)
        return Graph(start, neighbour.astype(np.int32), merged)

    def between_chips(self, chip: NDArray[Any]) -> float:
        """Messages per time step that leave their chip.

        Parameters
        ----------
        chip : (cores,) of integers, the chip of each core
        """
        leaves = chip[self.source] != chip[self.target]
        return float(self.messages[leaves].sum())

    def hops(self, chip: NDArray[Any], position: NDArray[Any], hardware: HardwareModel) -> float:
        """Hops from tile to tile per time step of all messages that stay on their chip.

        Parameters
        ----------
        chip : (cores,) of integers, the chip of each core
        position : (cores,) of integers, the place on its chip, tile by tile
        """
        column, row = tile_of(position, hardware)
        stays = chip[self.source] == chip[self.target]
        source, target = self.source[stays], self.target[stays]
        distance = abs(column[source] - column[target]) + abs(row[source] - row[target])
        return float((self.messages[stays] * distance).sum())


def tile_of(
    position: NDArray[Any], hardware: HardwareModel
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Column and row on the mesh of the tile that holds a place of a chip."""
    tile = np.asarray(position, np.int64) // hardware.chip.cores_per_tile.value
    row, column = np.divmod(tile, hardware.chip.mesh_columns.value)
    return column, row
