"""What enters a piece through one connection: axons and the blocks of synapses they share.

A link knows a connection's structure and answers three questions about a target piece, all from
the same units, so that no answer can differ from another: what its blocks cost (`Entry`), how
many axons come from which piece of the source (`Pairs`), and what stands in them (`Filled`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip.bill import block_words, index_bits
from nmcompile.chip.discrete import DiscreteConnection
from nmcompile.hardware import HardwareModel
from nmcompile.mapper.cut import Cut, IntArray


class Split(Enum):
    """How the synapses of a population are shared out among axons into one piece.

    With `NONE` a population has one axon a piece, whose block holds all taps of the kernel that
    reach it. With `ROWS` it has one axon a kernel row, with `TAPS` one a tap: more axons, but
    equal blocks at the edges too, and targets that are consecutive, so that no index is stored.
    """

    NONE = "none"
    ROWS = "rows"
    TAPS = "taps"


@dataclass(frozen=True)
class BlockKind:
    """Blocks of one shape.

    Attributes
    ----------
    count : how many
    atoms, length : rows, and synapses in each
    reach : largest target, counted from the piece's first compartment less the base
    dense : whether targets are 0, 1, 2, … from the base on
    """

    count: int
    atoms: int
    length: int
    reach: int
    dense: bool


@dataclass(frozen=True)
class Entry:
    """What a connection needs in a piece, whatever core that piece is on.

    A base is at most some 255, so what a block holds depends on the compartment at which the
    piece starts: near the beginning bases point at the targets themselves, further on at the
    piece's first 256 compartments, and the rest of the way stands in the synapses.

    Attributes
    ----------
    axons : number of input axons
    narrow : how many could be pop16: few atoms, and a base at an allowed multiple
    spikes, events : messages and synaptic events if every neuron of the source fired once
    highest : largest base, counted from the piece's first compartment
    near, far : blocks where the piece starts early enough, and elsewhere
    """

    connection: DiscreteConnection
    axons: int = 0
    narrow: int = 0
    spikes: int = 0
    events: int = 0
    highest: int = 0
    near: tuple[BlockKind, ...] = ()
    far: tuple[BlockKind, ...] = ()

    def is_near(self, start: int, hardware: HardwareModel) -> bool:
        """Whether bases reach the targets themselves in a piece from compartment `start` on."""
        aligned = start % hardware.axon.pop16_base_multiple.value == 0
        return aligned and start + self.highest <= hardware.axon.base_max.value

    def stored(self, start: int, hardware: HardwareModel) -> list[tuple[BlockKind, bool, int]]:
        """(blocks, whether stored without indices, largest target) at a start."""
        if self.is_near(start, hardware):
            return [(kind, kind.dense, kind.reach) for kind in self.near]
        return [(kind, kind.dense and not start, kind.reach + start) for kind in self.far]

    def words(self, start: int, hardware: HardwareModel) -> int:
        """Synaptic memory of all blocks."""
        bits = synapse_bits(self.connection)
        rows = self.stored(start, hardware)
        sparse = bits + self.sparse_bits(start, hardware)
        return sum(
            kind.count * block_words(kind.atoms * kind.length, bits if dense else sparse, hardware)
            for kind, dense, _ in rows
        )

    def words_later(self, last: int, hardware: HardwareModel) -> int:
        """Synaptic memory wherever the piece starts, at most, up to compartment `last`."""
        bits = synapse_bits(self.connection)
        reach = max((kind.reach for kind in self.far), default=0) + last
        sparse = bits + index_bits(reach, hardware)
        return sum(
            kind.count * block_words(kind.atoms * kind.length, sparse, hardware)
            for kind in self.far
        )

    def formats_later(self) -> int:
        """Rows of the format table wherever the piece starts, at most."""
        kinds = {kind.dense for kind in self.near}
        return max(len(kinds), min(1, len(self.far)))

    def formats(self, start: int, hardware: HardwareModel) -> set[tuple[int, ...]]:
        """Rows of the format table that the blocks are stored in."""
        rows = self.stored(start, hardware)
        sparse = self.sparse_bits(start, hardware)
        return {format_row(self.connection, dense, sparse) for _, dense, _ in rows}

    def sparse_bits(self, start: int, hardware: HardwareModel) -> int:
        """Index width that serves all blocks whose targets are listed."""
        listed = (reach for _, dense, reach in self.stored(start, hardware) if not dense)
        return index_bits(max(listed, default=0), hardware)


def synapse_bits(connection: DiscreteConnection) -> int:
    """Bits of a synapse without its index."""
    return connection.weight_bits + connection.delay.bit_length()


def format_row(connection: DiscreteConnection, dense: bool, sparse_bits: int) -> tuple[int, ...]:
    """A row of the format table (`chip.core.Formats`)."""
    return (
        connection.exponent,
        connection.weight_bits,
        connection.sign_mode,
        0 if dense else sparse_bits,
        connection.delay.bit_length(),
        int(dense),
    )


@dataclass(frozen=True, eq=False)
class Pairs:
    """Axons into one piece by the piece of the source that they come from.

    All (pieces,) int64; `source` ascends. `single` axons carry no atom, `narrow` ones could be
    pop16, the others are pop32; `neurons` counts those behind all of them, once an axon.
    """

    source: IntArray
    axons: IntArray
    single: IntArray
    narrow: IntArray
    neurons: IntArray

    @classmethod
    def nothing(cls) -> Pairs:
        """No axons."""
        none = np.zeros(0, np.int64)
        return cls(none, none, none, none, none)


#: Targets less the base, and mantissas, both (atoms, synapses).
Block = tuple[NDArray[np.int32], NDArray[np.int16]]


@dataclass(frozen=True, eq=False)
class Filled:
    """Axons and blocks of one piece and connection, in the order in which they are numbered.

    Attributes
    ----------
    source, population, size : (axons,) piece of the source, population there, its neurons
    base : (axons,) in the core
    block : (axons,) index into `blocks`
    blocks : what the axons point at
    dense : (blocks,) which are stored without indices
    sparse_bits : index width of the others
    """

    connection: DiscreteConnection
    source: IntArray
    population: IntArray
    size: IntArray
    base: IntArray
    block: IntArray
    blocks: list[Block] = field(default_factory=list)
    dense: list[bool] = field(default_factory=list)
    sparse_bits: int = 0

    @classmethod
    def nothing(cls, connection: DiscreteConnection) -> Filled:
        """Nothing enters."""
        none = np.zeros(0, np.int64)
        return cls(connection, none, none, none, none, none)


class Link(Protocol):
    """A connection, seen from the pieces that it enters."""

    connection: DiscreteConnection

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits that are possible here."""
        ...

    @property
    def halo(self) -> int:
        """Columns of a halo with which no column of the source is at an edge; 0 for no use."""
        ...

    def entry(self, source: Cut, target: Cut, piece: int, split: Split) -> Entry:
        """What the blocks of a target piece cost."""
        ...

    def pairs(self, source: Cut, target: Cut, piece: int, split: Split) -> Pairs:
        """How many axons enter a target piece from each piece of the source."""
        ...

    def busiest(self, source: Cut, target: Cut, split: Split, room: int) -> int:
        """Output axon slots that the busiest piece of the source needs, roughly.

        `room` is the number of pop16 axons that a target piece can name.
        """
        ...

    def least_synapses(self) -> int:
        """Synapses that are stored at least, however source and target are cut."""
        ...

    def least_axons(self, most: int) -> int:
        """Axons at least, with populations of at most so many neurons."""
        ...

    def fill(self, source: Cut, target: Cut, piece: int, split: Split, start: int) -> Filled:
        """What enters a target piece that begins at compartment `start` of its core."""
        ...


def carries_few(size: IntArray, hardware: HardwareModel) -> NDArray[np.bool_]:
    """Whether populations of so many neurons are for pop16 axons, where their base allows it."""
    return (size > 1) & (size <= hardware.axon.pop16_atoms.value)


def base_segment(hardware: HardwareModel) -> int:
    """Compartments after which bases begin again at zero, a multiple that every axon allows."""
    reached = hardware.axon.base_max.value + 1
    multiple = hardware.axon.pop16_base_multiple.value
    return reached // multiple * multiple or reached


def is_skeleton(weights: NDArray[np.int16]) -> bool:
    """Whether these weights are one number spread over a shape: a layer known by shape alone."""
    return weights.size > 1 and not any(weights.strides)
