"""Tilings: which neurons of a layer share a core, and where each one lies there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil, prod

import numpy as np
from numpy.typing import NDArray

Grid = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Tiling:
    """A layer cut into boxes of rows x columns x channels, one a core.

    The neurons of a box are numbered row by row, column by column, channel by channel. All
    channels of a box at one place are a population: they share output axons, and an atom
    tells them apart. Boxes with very many channels hold several populations a place.

    Attributes
    ----------
    layer : its name
    grid : (rows, columns, channels) of the layer
    box : largest (rows, columns, channels) of a tile
    atoms : most neurons of a population
    """

    layer: str
    grid: Grid
    box: Grid
    atoms: int

    @property
    def counts(self) -> Grid:
        """Number of tiles along each axis."""
        rows, cols, channels = (ceil(n / b) for n, b in zip(self.grid, self.box, strict=True))
        return rows, cols, channels

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return prod(self.counts)

    def bounds(self, tile: int) -> tuple[slice, slice, slice]:
        """Rows, columns and channels of a tile."""
        index = np.unravel_index(tile, self.counts)
        row, col, channel = (
            slice(int(k) * b, min((int(k) + 1) * b, n))
            for k, b, n in zip(index, self.box, self.grid, strict=True)
        )
        return row, col, channel

    @cached_property
    def tile_of(self) -> NDArray[np.int32]:
        """(neurons,) tile of each neuron."""
        return self._maps[0]

    @cached_property
    def compartment(self) -> NDArray[np.int32]:
        """(neurons,) compartment of each neuron in its tile."""
        return self._maps[1]

    @cached_property
    def population(self) -> NDArray[np.int32]:
        """(neurons,) population of each neuron, counted within its tile."""
        return self._maps[2]

    @cached_property
    def atom(self) -> NDArray[np.int32]:
        """(neurons,) number of each neuron in its population."""
        return self._maps[3]

    @cached_property
    def first_population(self) -> NDArray[np.int32]:
        """(tiles + 1,) number of the first population of each tile in the whole layer."""
        sizes = [
            len(range(*rows.indices(self.grid[0])))
            * len(range(*cols.indices(self.grid[1])))
            * ceil(len(range(*channels.indices(self.grid[2]))) / self.atoms)
            for rows, cols, channels in map(self.bounds, range(self.tiles))
        ]
        return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)

    @cached_property
    def layer_population(self) -> NDArray[np.int32]:
        """(neurons,) population of each neuron, counted through the layer."""
        return self.first_population[self.tile_of] + self.population

    @cached_property
    def population_sizes(self) -> NDArray[np.int64]:
        """(populations,) neurons of each population of the layer."""
        return np.bincount(self.layer_population)

    def owner(self, population: int) -> int:
        """The tile that a population of the layer is in."""
        return int(self.first_population.searchsorted(population, "right")) - 1

    @cached_property
    def _maps(self) -> tuple[NDArray[np.int32], ...]:
        maps = tuple(np.zeros(self.grid, np.int32) for _ in range(4))
        for tile in range(self.tiles):
            where = self.bounds(tile)
            shape = maps[0][where].shape
            numbers = np.arange(prod(shape), dtype=np.int32).reshape(shape)
            channel = np.arange(shape[2], dtype=np.int32)
            groups = ceil(shape[2] / self.atoms)
            place = np.arange(shape[0] * shape[1], dtype=np.int32).reshape(*shape[:2], 1)
            maps[0][where] = tile
            maps[1][where] = numbers
            maps[2][where] = place * groups + channel // self.atoms
            maps[3][where] = channel % self.atoms
        return tuple(each.reshape(-1) for each in maps)
