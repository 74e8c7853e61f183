"""One core's memories as tables: structs of equally long integer arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nmcompile.errors import VerifyError

IntArray = NDArray[Any]

#: Kinds of axon.
DISCRETE, POP16, POP32 = 0, 16, 32

TableT = TypeVar("TableT", bound="Table")


@dataclass(frozen=True, eq=False)
class Table:
    """Base of all tables: one array a column, one element a row."""

    def __post_init__(self) -> None:
        if len({len(column) for column in self.columns().values()}) > 1:
            sizes = {name: len(column) for name, column in self.columns().items()}
            raise VerifyError(f"table {type(self).__name__}: columns differ in length: {sizes}")

    def __len__(self) -> int:
        return len(next(iter(self.columns().values())))

    def columns(self) -> dict[str, IntArray]:
        """Column name -> array."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def dtypes(cls) -> dict[str, np.dtype[Any]]:
        """Column name -> element type, as stored in files."""
        return {field.name: np.dtype(field.metadata["dtype"]) for field in fields(cls)}

    @classmethod
    def of(cls: type[TableT], **columns: Any) -> TableT:
        """A table from anything array-like; a value that its column cannot hold is an error."""
        made: dict[str, IntArray] = {}
        for name, dtype in cls.dtypes().items():
            raw = np.asarray(columns.pop(name))
            column = raw.astype(dtype)
            if raw.size and not np.array_equal(column, raw):
                raise VerifyError(
                    f"table {cls.__name__}: column {name} holds a value that does not fit {dtype}"
                )
            made[name] = column
        if columns:
            raise VerifyError(f"table {cls.__name__} has no column {', '.join(columns)}")
        return cls(**made)

    @classmethod
    def from_rows(cls: type[TableT], rows: Sequence[Sequence[int]]) -> TableT:
        """A table from rows of numbers in the order of its columns."""
        names = list(cls.dtypes())
        columns = np.array(rows, np.int64).reshape(-1, len(names)).T
        return cls.of(**dict(zip(names, columns, strict=True)))

    @classmethod
    def empty(cls: type[TableT]) -> TableT:
        """A table without rows."""
        return cls(**{name: np.zeros(0, dtype) for name, dtype in cls.dtypes().items()})

    @classmethod
    def join(cls: type[TableT], parts: list[TableT]) -> TableT:
        """All rows of several tables, in order."""
        if not parts:
            return cls.empty()
        names = cls.dtypes()
        return cls(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})

    def rows(self: TableT, start: int, stop: int) -> TableT:
        """Some consecutive rows."""
        return type(self)(**{name: column[start:stop] for name, column in self.columns().items()})


def column(dtype: str) -> Any:
    """Declare a column of an element type."""
    return field(metadata={"dtype": dtype})


@dataclass(frozen=True, eq=False)
class Profiles(Table):
    """Compartment profiles: what several compartments of a core share.

    `decay_u`, `decay_v` 0..4095; `refractory` in steps, 1 is none; `noise` 0 or 1.
    """

    decay_u: IntArray = column("int16")
    decay_v: IntArray = column("int16")
    refractory: IntArray = column("uint8")
    noise: IntArray = column("uint8")


@dataclass(frozen=True, eq=False)
class Thresholds(Table):
    """Threshold profiles; the threshold is ``mantissa * 2**6``."""

    mantissa: IntArray = column("int32")


@dataclass(frozen=True, eq=False)
class Formats(Table):
    """Synapse formats.

    `exponent` -8..7; `weight_bits` 1..8; `sign_mode` 1 mixed, 2 excitatory, 3 inhibitory;
    `index_bits` per synapse where targets are listed one by one (`dense` 0), none where they
    are consecutive (`dense` 1); `delay_bits` per synapse.
    """

    exponent: IntArray = column("int8")
    weight_bits: IntArray = column("uint8")
    sign_mode: IntArray = column("uint8")
    index_bits: IntArray = column("uint8")
    delay_bits: IntArray = column("uint8")
    dense: IntArray = column("uint8")


@dataclass(frozen=True, eq=False)
class Compartments(Table):
    """Compartments; row k is compartment k.

    `profile` and `threshold` index the core's tables; the bias is ``bias_mantissa *
    2**bias_exponent``; `population` is the population whose axons it uses (-1 for none) and
    `atom` its number in it; `neuron` numbers the neuron in the whole network, for noise.
    """

    profile: IntArray = column("uint8")
    threshold: IntArray = column("uint8")
    bias_mantissa: IntArray = column("int16")
    bias_exponent: IntArray = column("uint8")
    population: IntArray = column("int16")
    atom: IntArray = column("uint16")
    neuron: IntArray = column("int32")


@dataclass(frozen=True, eq=False)
class InitialVoltages(Table):
    """Voltages that compartments begin a sample with; those that are not listed begin with 0."""

    compartment: IntArray = column("uint16")
    voltage: IntArray = column("int32")


@dataclass(frozen=True, eq=False)
class Blocks(Table):
    """Blocks of synaptic memory that input axons point at.

    A block holds `atoms` rows of `length` synapses each, from row `start` of the synapse
    table on, all in one `format`.
    """

    start: IntArray = column("int32")
    atoms: IntArray = column("uint16")
    length: IntArray = column("uint16")
    format: IntArray = column("uint8")


@dataclass(frozen=True, eq=False)
class Synapses(Table):
    """Synapses; the compartment is the axon's base plus `target`, the delay counts steps."""

    target: IntArray = column("uint16")
    mantissa: IntArray = column("int16")
    delay: IntArray = column("uint8")


@dataclass(frozen=True, eq=False)
class InputAxons(Table):
    """Input axons; row k is axon k. `kind` is 0, 16 or 32; `base` the first compartment."""

    kind: IntArray = column("uint8")
    block: IntArray = column("int32")
    base: IntArray = column("uint16")


@dataclass(frozen=True, eq=False)
class OutputAxons(Table):
    """Output axons, each to one input axon of one core.

    `source` is a compartment (discrete) or a population; `core` counts through the Program.
    """

    kind: IntArray = column("uint8")
    source: IntArray = column("uint16")
    core: IntArray = column("int32")
    axon: IntArray = column("uint16")


@dataclass(frozen=True, eq=False)
class Learning(Table):
    """Blocks whose weights learn by PES from errors that the host sends.

    Each is the `block` of one discrete input axon. Its presynaptic trace of 7 bits grows with a
    spike by `trace_impulse` / 128 and decays with a time constant of `trace_tau` steps, every
    `trace_epoch` steps; every `learn_epoch` steps each weight changes by trace times the error
    of its compartment times ``rate_mantissa * 2**rate_exponent``.
    """

    block: IntArray = column("int32")
    trace_impulse: IntArray = column("int16")
    trace_tau: IntArray = column("uint16")
    trace_epoch: IntArray = column("uint8")
    learn_epoch: IntArray = column("uint8")
    rate_mantissa: IntArray = column("int16")
    rate_exponent: IntArray = column("int8")


@dataclass(frozen=True, eq=False)
class Core:
    """Everything that one neuromorphic core is told.

    Attributes
    ----------
    chip, position : which chip of the board, which core of the chip (tile major)
    vmin_exponent, vmax_exponent : voltage limits, for the whole core
    noise_exponent, noise_offset, noise_at_voltage : noise, for the whole core
    """

    profiles: Profiles
    thresholds: Thresholds
    formats: Formats
    compartments: Compartments
    blocks: Blocks
    synapses: Synapses
    input_axons: InputAxons
    output_axons: OutputAxons
    learning: Learning = field(default_factory=Learning.empty)
    initial_voltages: InitialVoltages = field(default_factory=InitialVoltages.empty)
    chip: int = 0
    position: int = 0
    vmin_exponent: int = 23
    vmax_exponent: int = 7
    noise_exponent: int = 1
    noise_offset: int = 0
    noise_at_voltage: int = 0


#: The tables of a core in the order in which files hold them.
TABLES: dict[str, type[Table]] = {
    "profiles": Profiles,
    "thresholds": Thresholds,
    "formats": Formats,
    "compartments": Compartments,
    "blocks": Blocks,
    "synapses": Synapses,
    "input_axons": InputAxons,
    "output_axons": OutputAxons,
    "learning": Learning,
    "initial_voltages": InitialVoltages,
}
#: The settings that a whole core shares.
REGISTERS = (
    "chip",
    "position",
    "vmin_exponent",
    "vmax_exponent",
    "noise_exponent",
    "noise_offset",
    "noise_at_voltage",
)
