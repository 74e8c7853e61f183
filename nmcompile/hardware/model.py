"""Typed, validated hardware models: what a chip and its boards can hold, as read from TOML."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

#: Sections whose numbers decide whether a network fits; the others say what it costs.
FIT_SECTIONS = ("chip", "core", "compartment", "synapse", "axon")
#: Unverified limits that one line names; the rest is counted.
NAMED = 3


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Limit(_Frozen):
    """One number of the chip and where it is published."""

    value: int
    source: str = Field(min_length=1)
    verified: bool = True

    def __int__(self) -> int:
        return self.value


class Estimate(_Frozen):
    """One calibrated quantity, such as an energy, and where it is published."""

    value: float
    source: str = Field(min_length=1)
    verified: bool = True


class Choices(_Frozen):
    """The values that a register can take, and where they are published."""

    values: tuple[int, ...] = Field(min_length=1)
    source: str = Field(min_length=1)
    verified: bool = True


class Estimates(_Frozen):
    """Several calibrated quantities, and where they are published."""

    values: tuple[float, ...] = Field(min_length=1)
    source: str = Field(min_length=1)
    verified: bool = True


class Chip(_Frozen):
    """The chip as a whole: cores and mesh."""

    cores: Limit
    management_cores: Limit
    mesh_columns: Limit
    mesh_rows: Limit
    cores_per_tile: Limit


class Core(_Frozen):
    """What one core's memories hold."""

    compartments: Limit
    memory_words: Limit
    words_per_compartment: Limit
    input_axons: Limit
    output_axon_slots: Limit
    profiles: Limit
    threshold_profiles: Limit
    synapse_formats: Limit


class Compartment(_Frozen):
    """Register ranges of a compartment and widths of its arithmetic."""

    decay_max: Limit
    refractory_min: Limit
    refractory_max: Limit
    threshold_mantissa_max: Limit
    threshold_exponent: Limit
    bias_mantissa_max: Limit
    bias_exponent_max: Limit
    vmin_exponent_max: Limit
    vmax_exponent_max: Limit
    accumulator_bits: Limit
    current_bits: Limit
    noise_exponent_max: Limit
    noise_offset_max: Limit


class Synapse(_Frozen):
    """Weight formats and how synaptic memory is laid out."""

    weight_bits: Choices
    weight_exponent_min: Limit
    weight_exponent_max: Limit
    weight_shift: Limit
    delay_max: Limit
    index_bits: Choices
    group_size: Limit
    group_header_bits: Limit
    word_bits: Limit


class Axon(_Frozen):
    """Axon types and what they can carry."""

    base_max: Limit
    pop16_base_multiple: Limit
    pop16_atoms: Limit
    pop16_target_bits: Limit
    pop32_atoms: Limit
    target_bits: Limit
    pop32_slots: Limit
    learning_slots: Limit


class Learning(_Frozen):
    """Register ranges of what learns by PES."""

    trace_impulse_max: Limit
    trace_tau_max: Limit
    epoch_max: Limit
    rate_mantissa_min: Limit
    rate_mantissa_max: Limit
    rate_exponent_min: Limit
    rate_exponent_max: Limit


class Energy(_Frozen):
    """Energy per event in picojoules."""

    neuron_access: Estimate
    neuron_update: Estimate
    spike_out: Estimate
    synapse_sparse: Estimate
    synapse_dense: Estimate
    synapse_convolution: Estimate
    message_out: Estimate
    hop_east_west: Estimate
    hop_north_south: Estimate


class Time(_Frozen):
    """Time per event in nanoseconds."""

    neuron_access: Estimate
    neuron_update: Estimate
    spike_out: Estimate
    synapse_sparse: Estimate
    synapse_dense: Estimate
    synapse_convolution: Estimate
    message_out: Estimate
    message_in: Estimate
    hop_east_west: Estimate
    hop_north_south: Estimate
    barrier: Estimates
    barrier_tiles: Choices


class Board(_Frozen):
    """A board: a number of chips, of which fewer cores than a chip has may be usable."""

    name: str = Field(min_length=1)
    chips: int = Field(ge=1)
    cores_per_chip: int | None = Field(default=None, ge=1)
    source: str = Field(min_length=1)
    verified: bool = True

    def usable_cores(self, hardware: HardwareModel) -> int:
        """Cores of each chip that a network can use; they are the first ones of the chip."""
        return self.cores_per_chip or hardware.chip.cores.value

    def cores(self, hardware: HardwareModel) -> int:
        """Cores of all chips that a network can use."""
        return self.chips * self.usable_cores(hardware)


class HardwareModel(_Frozen):
    """A chip family and its boards; in ascending order of chips, however the file lists them."""

    name: str = Field(min_length=1)
    title: str
    chip: Chip
    core: Core
    compartment: Compartment
    synapse: Synapse
    axon: Axon
    learning: Learning
    energy_pj: Energy
    time_ns: Time
    boards: tuple[Board, ...] = Field(min_length=1)

    @field_validator("boards")
    @classmethod
    def _ascending(cls, boards: tuple[Board, ...]) -> tuple[Board, ...]:
        names = [board.name for board in boards]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two boards are called {twice[0]}")
        return tuple(sorted(boards, key=lambda board: board.chips))

    @model_validator(mode="after")
    def _no_board_has_more_cores_than_its_chips(self) -> HardwareModel:
        for board in self.boards:
            if board.usable_cores(self) > self.chip.cores.value:
                raise ValueError(
                    f"board {board.name} uses {board.cores_per_chip} cores of chips "
                    f"that have {self.chip.cores.value}"
                )
        return self

    @model_validator(mode="after")
    def _every_target_has_an_index(self) -> HardwareModel:
        widest = max(self.synapse.index_bits.values)
        if self.core.compartments.value > 1 << widest:
            raise ValueError(
                f"an index of {widest} bits, the widest, cannot tell "
                f"{self.core.compartments.value} compartments apart"
            )
        return self

    @property
    def largest_board(self) -> Board:
        """The board on which the most cores can be used."""
        return max(self.boards, key=lambda board: board.cores(self))

    def smallest_board(self, cores: int) -> Board | None:
        """The first board with room for so many cores, or None."""
        for board in self.boards:
            if cores <= board.cores(self):
                return board
        return None

    def unverified(self) -> list[tuple[str, Limit | Choices]]:
        """``section.name`` and value of each limit that a fit depends on and no source confirms."""
        return [
            (f"{section}.{name}", entry)
            for section in FIT_SECTIONS
            for name, entry in getattr(self, section)
            if not entry.verified
        ]

    def unverified_text(self) -> str | None:
        """One line for reports: how many limits are unverified; None where none is."""
        names = [name for name, _ in self.unverified()]
        if not names:
            return None
        some, verb = ("1 limit", "is") if len(names) == 1 else (f"{len(names)} limits", "are")
        rest = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        return (
            f"{some} of {self.name} that a fit depends on {verb} unverified: "
            f"{', '.join(names[:NAMED])}{rest}"
        )


class Target(_Frozen):
    """A chip family and, where chosen, one of its boards."""

    hardware: HardwareModel
    board: Board | None = None

    @property
    def name(self) -> str:
        """``family:board``, or the family alone where no board is chosen yet."""
        return self.hardware.name + (f":{self.board.name}" if self.board else "")
