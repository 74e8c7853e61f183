"""What a core's inputs look like: input axons and the blocks of synapses that they share.

Every place of a connection's view is a set of source neurons. Those of one population enter
a core by one axon, which points at a block of synapses (one row an atom) and a base
compartment. Places whose receptive fields look the same share a block with different bases;
what "the same" means is not worked out from the geometry but seen: equal rows are equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip.bill import block_words, index_bits
from nmcompile.chip.core import DISCRETE, POP16, POP32
from nmcompile.chip.discrete import DiscreteConnection
from nmcompile.chip.tiling import Tiling
from nmcompile.hardware import HardwareModel
from nmcompile.ir.layers import Window

#: Rows are stored entry by entry, without zeros, where that makes them at most this long.
SPARSE_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Block:
    """Synapses shared by axons: (atoms, synapses) targets less the base, and mantissas."""

    targets: NDArray[np.int32]
    mantissas: NDArray[np.int16]

    @property
    def dense(self) -> bool:
        """Whether the targets are 0, 1, 2, … in every row, so that no index is stored."""
        return bool((self.targets == np.arange(self.targets.shape[1])).all())


@dataclass(frozen=True)
class InputAxon:
    """An axon into a core: from a population of a layer to a block at a base."""

    population: int
    block: int
    base: int


@dataclass(frozen=True, eq=False)
class Inputs:
    """All that enters one tile through one connection."""

    connection: DiscreteConnection
    axons: list[InputAxon] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)

    def sparse_index_bits(self, hardware: HardwareModel) -> int:
        """Index width that serves all blocks whose targets are listed."""
        largest = max((int(b.targets.max()) for b in self.blocks if not b.dense), default=0)
        return index_bits(largest, hardware)

    def words(self, hardware: HardwareModel) -> int:
        """Synaptic memory of all blocks."""
        bits = self.connection.weight_bits + delay_bits(self.connection.delay)
        sparse = bits + self.sparse_index_bits(hardware)
        return sum(
            block_words(b.targets.size, bits if b.dense else sparse, hardware) for b in self.blocks
        )

    def formats(self, hardware: HardwareModel) -> list[tuple[int, ...]]:
        """Row of the format table (`chip.core.Formats`) that each block is stored in."""
        sparse_bits = self.sparse_index_bits(hardware)
        connection = self.connection
        return [
            (
                connection.exponent,
                connection.weight_bits,
                connection.sign_mode,
                0 if block.dense else sparse_bits,
                delay_bits(connection.delay),
                int(block.dense),
            )
            for block in self.blocks
        ]


@dataclass(frozen=True)
class NumberedAxon:
    """An input axon of a core: which connection, which of its axons, and its kind."""

    connection: int
    axon: InputAxon
    kind: int


def numbered_axons(
    inputs: Sequence[Inputs], tilings: Mapping[str, Tiling], hardware: HardwareModel
) -> list[NumberedAxon]:
    """All axons into a core, in the order of their numbers.

    A pop16 axon names its target with few bits, so these come first, and those beyond become
    pop32; a population of one neuron needs no atom and is discrete.
    """
    groups: dict[int, list[NumberedAxon]] = {POP16: [], POP32: [], DISCRETE: []}
    room = 1 << hardware.axon.pop16_target_bits.value
    for k, each in enumerate(inputs):
        sizes = tilings[each.connection.link.source].population_sizes
        for axon in each.axons:
            size = int(sizes[axon.population])
            kind = DISCRETE
            if size > 1:
                fits = size <= hardware.axon.pop16_atoms.value and len(groups[POP16]) < room
                kind = POP16 if fits else POP32
            groups[kind].append(NumberedAxon(k, axon, kind))
    return groups[POP16] + groups[POP32] + groups[DISCRETE]


def delay_bits(delay: int) -> int:
    """Bits per synapse that a delay takes."""
    return delay.bit_length()


def tile_inputs(
    connection: DiscreteConnection,
    source: Tiling,
    target: Tiling,
    tile: int,
    hardware: HardwareModel,
) -> Inputs:
    """Axons and blocks for one tile of the target and one connection."""
    link = connection.link
    rows, cols, channels = link.out_shape
    inside = np.where(target.tile_of == tile, target.compartment, -1)
    places = inside.reshape(rows, cols, channels)
    result = Inputs(connection)
    known: dict[tuple[object, ...], int] = {}
    multiple = hardware.axon.pop16_base_multiple.value
    narrow = hardware.axon.pop16_atoms.value
    base_max = hardware.axon.base_max.value
    population_of = source.layer_population
    for y, x, taps in _receptive_fields(connection, places):
        neurons = link.view[y, x]
        channel = np.flatnonzero(neurons >= 0)
        owners = population_of[neurons[channel]]
        for population in np.unique(owners):
            members = channel[owners == population]
            atoms = source.atom[neurons[members]]
            size = int(source.population_sizes[population])
            targets, mantissas = _rows(connection, places, taps, members)
            if targets is None or mantissas is None:
                continue
            inside_tile = targets >= 0
            lowest = int(targets[inside_tile].min())
            step = multiple if 1 < size <= narrow else 1
            base = lowest % (base_max + 1) // step * step
            relative = np.where(inside_tile, targets - base, 0)
            weights = np.where(inside_tile, mantissas, 0)
            # What is equal here is stored once, whatever place of the view it comes from.
            key = (size, relative.shape, atoms.tobytes(), relative.tobytes(), weights.tobytes())
            if key not in known:
                block = _block(relative, weights, atoms, size)
                known[key] = -1
                if block is not None:
                    known[key] = len(result.blocks)
                    result.blocks.append(block)
            if known[key] >= 0:
                result.axons.append(InputAxon(int(population), known[key], base))
    return result


Tap = tuple[int, int, int, int]


def _receptive_fields(
    connection: DiscreteConnection, places: NDArray[np.int32]
) -> Iterator[tuple[int, int, list[Tap]]]:
    """(y, x, taps) for every place of the view that reaches the tile.

    A tap is (output row, output column, kernel row, kernel column), in ascending order of
    output row and column.
    """
    window = connection.link.window
    rows, cols = connection.link.view.shape[:2]
    used: NDArray[np.bool_] = np.asarray((places >= 0).any(axis=2))
    row_taps = [_axis_taps(y, 0, window, np.asarray(used.any(axis=1))) for y in range(rows)]
    col_taps = [_axis_taps(x, 1, window, np.asarray(used.any(axis=0))) for x in range(cols)]
    for y in range(rows):
        if row_taps[y]:
            for x in range(cols):
                taps = [
                    (oy, ox, i, j) for oy, i in row_taps[y] for ox, j in col_taps[x] if used[oy, ox]
                ]
                if taps:
                    yield y, x, taps


def _axis_taps(
    at: int, axis: int, window: Window, used: NDArray[np.bool_]
) -> list[tuple[int, int]]:
    """(output position, kernel position) pairs along one axis, output ascending."""
    pairs = []
    for k in reversed(range(window.kernel[axis])):
        offset = at + window.padding[axis][0] - k * window.dilation[axis]
        out, rest = divmod(offset, window.stride[axis])
        if not rest and 0 <= out < len(used) and used[out]:
            pairs.append((out, k))
    return pairs


def _rows(
    connection: DiscreteConnection,
    places: NDArray[np.int32],
    taps: list[Tap],
    members: NDArray[np.intp],
) -> tuple[NDArray[np.int32] | None, NDArray[np.int16] | None]:
    """(members, synapses) target compartments, -1 outside the tile, and mantissas."""
    weights = connection.link.weights
    groups = connection.link.window.groups
    oy, ox, i, j = (np.array(part) for part in zip(*taps, strict=True))
    if groups == 1:
        flat = places[oy, ox].reshape(-1)
        keep = np.flatnonzero(flat >= 0)
        if not len(keep):
            return None, None
        picked = weights[i, j][:, members, :].transpose(1, 0, 2).reshape(len(members), -1)
        return np.broadcast_to(flat[keep], (len(members), len(keep))), picked[:, keep]
    per_group = weights.shape[2]
    out = weights.shape[3] // groups
    channel = (members // per_group * out)[:, None] + np.arange(out)
    targets = places[oy[:, None, None], ox[:, None, None], channel].transpose(1, 0, 2)
    if not (targets >= 0).any():
        return None, None
    inner = (members % per_group)[None, :, None]
    picked = weights[i[:, None, None], j[:, None, None], inner, channel].transpose(1, 0, 2)
    return targets.reshape(len(members), -1), picked.reshape(len(members), -1)


def _block(
    relative: NDArray[np.int32], mantissas: NDArray[np.int16], atoms: NDArray[np.int32], size: int
) -> Block | None:
    """Rows for all atoms of the population; synapses of weight zero are left out where they can.

    None where nothing is left.
    """
    live = mantissas != 0
    longest = int(live.sum(axis=1).max())
    if not longest:
        return None
    if longest <= SPARSE_SHARE * mantissas.shape[1]:
        order = np.argsort(~live, axis=1, kind="stable")[:, :longest]
        relative = np.take_along_axis(relative, order, axis=1)
        mantissas = np.take_along_axis(mantissas, order, axis=1)
        relative = np.where(mantissas != 0, relative, 0)
    targets = np.zeros((size, mantissas.shape[1]), np.int32)
    values = np.zeros((size, mantissas.shape[1]), np.int16)
    targets[:] = relative[0]
    targets[atoms] = relative
    values[atoms] = mantissas
    return Block(targets, values)
