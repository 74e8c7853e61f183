"""Random Programs, written straight into the chip's tables, for comparing emulators.

A Program depends on its seed alone: draws are raw output of PCG64, which NumPy promises never
to change. No compiler pass takes part, so registers take values that no pass would choose.
Left out, because nengo-loihi has no equal: synaptic delays, noise, and two synapses of one row
onto the same compartment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip.arithmetic import EXCITATORY, INHIBITORY, MIXED, mantissa_range, mantissa_step
from nmcompile.chip.core import (
    DISCRETE,
    POP16,
    POP32,
    REGISTERS,
    TABLES,
    Blocks,
    Compartments,
    Core,
    Formats,
    InputAxons,
    OutputAxons,
    Profiles,
    Synapses,
    Thresholds,
)
from nmcompile.chip.program import Encoder, HostConv, Injection, Layer, Program, ReadOut

#: Steps that every Program runs for.
STEPS = 36
#: Spikes of an encoder neuron whose current is this come in every step.
ENCODER_THRESHOLD = 1000

Item = TypeVar("Item")


class Dice:
    """Integers that are the same with every NumPy."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def many(self, low: int, high: int, size: int) -> NDArray[np.int64]:
        """Integers in low..high, both included."""
        raw = np.asarray(self._bits.random_raw(size), np.uint64).reshape(size)
        return (raw % np.uint64(high - low + 1)).astype(np.int64) + low

    def one(self, low: int, high: int) -> int:
        return int(self.many(low, high, 1)[0])

    def often(self, times: int, of: int) -> bool:
        """True that many times of so many."""
        return self.one(1, of) <= times

    def pick(self, items: Sequence[Item]) -> Item:
        return items[self.one(0, len(items) - 1)]

    def order(self, size: int) -> NDArray[np.int64]:
        """A permutation."""
        return np.argsort(self.many(0, (1 << 62) - 1, size), kind="stable")


@dataclass
class Draft:
    """A core in the making: rows of its tables, and what later draws need to know.

    `level` is the exponent around which its weights and thresholds lie; `reach[k]` the largest
    target of block k; `populations[p]` the size of population p.
    """

    shape: tuple[int, ...]
    level: int
    vmin_exponent: int
    vmax_exponent: int
    populations: list[int] = field(default_factory=list)
    profiles: list[tuple[int, ...]] = field(default_factory=list)
    thresholds: list[tuple[int, ...]] = field(default_factory=list)
    formats: list[tuple[int, ...]] = field(default_factory=list)
    compartments: list[tuple[int, ...]] = field(default_factory=list)
    blocks: list[tuple[int, ...]] = field(default_factory=list)
    reach: list[int] = field(default_factory=list)
    synapses: list[tuple[int, ...]] = field(default_factory=list)
    input_axons: list[tuple[int, ...]] = field(default_factory=list)
    output_axons: list[tuple[int, ...]] = field(default_factory=list)

    @property
    def size(self) -> int:
        return prod(self.shape)

    def core(self, position: int, chip: int) -> Core:
        return Core(
            profiles=Profiles.from_rows(self.profiles),
            thresholds=Thresholds.from_rows(self.thresholds),
            formats=Formats.from_rows(self.formats),
            compartments=Compartments.from_rows(self.compartments),
            blocks=Blocks.from_rows(self.blocks),
            synapses=Synapses.from_rows(self.synapses),
            input_axons=InputAxons.from_rows(self.input_axons),
            output_axons=OutputAxons.from_rows(self.output_axons),
            chip=chip,
            position=position,
            vmin_exponent=self.vmin_exponent,
            vmax_exponent=self.vmax_exponent,
        )


def random_program(seed: int) -> tuple[Program, NDArray[np.float64]]:
    """A Program and one sample, (1, encoder neurons), for it."""
    dice = Dice(seed)
    drafts: list[Draft] = []
    neuron = 0
    for _ in range(dice.one(1, 4)):
        drafts.append(_draft(dice, neuron))
        neuron += drafts[-1].size
    neurons = dice.one(4, 24)
    injection: list[tuple[int, ...]] = []
    for number, draft in enumerate(drafts):
        if number == 0 or dice.often(1, 2):
            injection += _inject(dice, neurons, number, draft)
        if number > 0:
            _connect(dice, drafts[number - 1], number, draft)
    for _ in range(dice.one(0, 3)):
        number = dice.one(0, len(drafts) - 1)
        _connect(dice, dice.pick(drafts), number, drafts[number])
    positions = dice.order(128)
    cores = [draft.core(int(positions[k]), dice.one(0, 1)) for k, draft in enumerate(drafts)]
    layers = tuple(
        Layer(
            name=f"core{number}",
            shape=draft.shape,
            core=np.full(draft.size, number, np.int32),
            compartment=np.arange(draft.size, dtype=np.int32),
            amplitude=1.0,
            voltage_scale=1.0,
            depth=1,
        )
        for number, draft in enumerate(drafts)
    )
    program = Program(
        target="loihi1:kapoho-bay",
        cores=tuple(cores),
        encoder=_encoder(neurons),
        injection=Injection.from_rows(sorted(injection)),
        layers=layers,
        read_out=ReadOut(
            kind="counts",
            layers=tuple(layer.name for layer in layers),
            weights=np.ones((neuron, 1), np.float32),
            bias=np.zeros(1, np.float32),
        ),
        steps=STEPS,
        dt_s=0.001,
    )
    inputs = dice.many(0, ENCODER_THRESHOLD, neurons)
    inputs[dice.one(0, neurons - 1)] = ENCODER_THRESHOLD
    return program, inputs[None].astype(np.float64)


def digest(program: Program, inputs: NDArray[np.float64]) -> str:
    """A short hash of all that the chip and its inputs are told."""
    state = hashlib.sha256()
    for core in program.cores:
        state.update(repr([getattr(core, name) for name in REGISTERS]).encode())
        for name in TABLES:
            for column in getattr(core, name).columns().values():
                state.update(repr(column.tolist()).encode())
    for column in program.injection.columns().values():
        state.update(repr(column.tolist()).encode())
    state.update(repr((inputs.tolist(), program.encoder.threshold)).encode())
    return state.hexdigest()[:16]


def _draft(dice: Dice, first_neuron: int) -> Draft:
    """A core without synapses."""
    grid = dice.often(1, 2)
    if grid:
        shape: tuple[int, ...] = (dice.one(1, 3), dice.one(2, 3), dice.pick((1, 2, 3, 4, 6)))
        if prod(shape) < 4:
            shape = (2, *shape[1:])
    else:
        shape = (dice.one(4, 60),)
    draft = Draft(
        shape=shape,
        level=dice.one(-6, 7),
        vmin_exponent=23 if dice.often(1, 2) else dice.one(0, 22),
        vmax_exponent=7 if dice.often(2, 3) else dice.one(0, 6),
    )
    draft.profiles = [_profile(dice) for _ in range(dice.one(1, 6))]
    draft.thresholds = [(_threshold(dice, draft.level),) for _ in range(dice.one(1, 8))]
    draft.formats = [_format(dice, draft.level) for _ in range(dice.one(1, 6))]
    population, atom = _populations(dice, draft, grid)
    # Compartments with equal registers side by side, as a compiler writes them, or mixed.
    mixed = dice.often(1, 2)
    profile = dice.many(0, len(draft.profiles) - 1, draft.size)
    threshold = dice.many(0, len(draft.thresholds) - 1, draft.size)
    if not mixed:
        profile, threshold = np.sort(profile), np.sort(threshold)
    for k in range(draft.size):
        mantissa, exponent = _bias(dice, draft.level)
        draft.compartments.append(
            (
                int(profile[k]),
                int(threshold[k]),
                mantissa,
                exponent,
                int(population[k]),
                int(atom[k]),
                first_neuron + k,
            )
        )
    return draft


def _profile(dice: Dice) -> tuple[int, ...]:
    if dice.often(1, 4):
        return (4095, 0, 1, 0)  # Integrate and fire, for which the emulator has a short path.
    decay_u = dice.pick((4095, 0, dice.one(1, 60), dice.one(0, 4095), dice.one(4000, 4094)))
    decay_v = dice.pick((0, 0, dice.one(1, 60), dice.one(0, 4095), 4095))
    refractory = dice.pick((1, 1, dice.one(2, 5), dice.one(1, 63)))
    return (decay_u, decay_v, refractory, 0)


def _threshold(dice: Dice, level: int) -> int:
    """Mostly between a sixteenth of and 16 times a typical weight of the level."""
    if dice.often(1, 10):
        return dice.one(1, (1 << dice.one(1, 17)) - 1)
    mantissa = (dice.one(16, 31) << dice.one(0, 8) << (level + 6)) >> 8
    return min(max(mantissa, 1), 131071)


def _bias(dice: Dice, level: int) -> tuple[int, int]:
    """None for half of the compartments; else of any size up to about the level's weights."""
    if dice.often(1, 2):
        return 0, dice.one(0, 7)
    exponent = dice.one(0, 7)
    size = dice.one(0, (1 << min(max(dice.one(0, level + 12) - exponent, 1), 12)) - 1)
    if dice.often(1, 20):
        size, exponent = 4095, 7
    return (-size if dice.often(1, 3) else size), exponent


def _format(dice: Dice, level: int) -> tuple[int, ...]:
    exponent = min(max(level + dice.one(-2, 2), -8), 7)
    bits = dice.pick((8, 8, 8, 1, 2, 3, 4, 5, 6))
    mode = dice.pick((MIXED, MIXED, EXCITATORY, EXCITATORY, INHIBITORY))
    return (exponent, bits, mode, dice.one(6, 8), 0, dice.one(0, 1))


def _populations(
    dice: Dice, draft: Draft, grid: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Population and atom of each compartment.

    On a grid, the channels of a position are a population, channels being last or first;
    elsewhere, neighbours are, or there is none.
    """
    size = draft.size
    population = np.full(size, -1, np.int64)
    atom = np.zeros(size, np.int64)
    if grid:
        channels = draft.shape[2]
        places = size // channels
        index = np.arange(size)
        if dice.often(1, 2):
            population, atom = index // channels, index % channels
        else:
            population, atom = index % places, index // places
        draft.populations = [channels] * places
    elif dice.often(1, 2):
        first = 0
        while first < size - 2:
            held = min(dice.one(1, 8), size - first)
            population[first : first + held] = len(draft.populations)
            atom[first : first + held] = dice.order(held)
            draft.populations.append(held)
            first += held + dice.one(0, 2)
    return population, atom


def _block(dice: Dice, draft: Draft, atoms: int) -> int:
    """A block with room for so many atoms: one that is there already, or a new one."""
    if atoms > 1:
        usable = [k for k, row in enumerate(draft.blocks) if row[1] >= atoms]
    else:
        usable = [k for k, row in enumerate(draft.blocks) if row[1] == 1]
    if usable and dice.often(2, 3):
        return dice.pick(usable)
    number = dice.one(0, len(draft.formats) - 1)
    _, bits, mode, _, _, dense = draft.formats[number]
    length = dice.one(1, draft.size)
    # Leave room for bases other than 0, most of the time.
    span = max(length, draft.size - dice.pick((0, 4, 8, 8)))
    length = min(length, span)
    draft.blocks.append((len(draft.synapses), atoms, length, number))
    largest = 0
    for _ in range(atoms):
        if dense:
            targets = np.arange(length)
        else:
            targets = dice.order(span)[:length]
            if dice.often(1, 2):
                targets = np.sort(targets)
        largest = max(largest, int(targets.max()))
        low, high = mantissa_range(mode)
        step = mantissa_step(bits, mode)
        mantissas = dice.many(-(-low // step), high // step, length) * step
        mantissas[dice.many(1, 6, length) == 1] = 0
        draft.synapses += zip(targets.tolist(), mantissas.tolist(), [0] * length, strict=True)
    draft.reach.append(largest)
    return len(draft.blocks) - 1


def _input_axon(dice: Dice, draft: Draft, kind: int, atoms: int) -> int:
    """A new input axon, at any base that its block allows."""
    block = _block(dice, draft, atoms)
    last = draft.size - 1 - draft.reach[block]
    base = 4 * dice.one(0, last // 4) if kind == POP16 else dice.one(0, last)
    draft.input_axons.append((kind, block, base))
    return len(draft.input_axons) - 1


def _connect(dice: Dice, source: Draft, number: int, target: Draft) -> None:
    """Output axons from one core to core `number`, by compartment or by population."""
    if source.populations and dice.often(3, 4):
        kind = dice.pick((POP16, POP32))
        for population, held in enumerate(source.populations):
            if dice.often(3, 4):
                axon = _input_axon(dice, target, kind, held)
                source.output_axons.append((kind, population, number, axon))
        return
    axon = _input_axon(dice, target, DISCRETE, 1)
    for compartment in range(source.size):
        if dice.often(1, 2):
            if dice.often(2, 3):
                axon = _input_axon(dice, target, DISCRETE, 1)
            source.output_axons.append((DISCRETE, compartment, number, axon))


def _inject(
    dice: Dice, neurons: int, number: int, target: Draft
) -> list[tuple[int, int, int, int]]:
    """(neuron, core, axon, atom) for the host's spikes into core `number`."""
    rows: list[tuple[int, int, int, int]] = []
    kind = dice.pick((DISCRETE, POP16, POP32))
    if kind == DISCRETE:
        for neuron in range(neurons):
            for _ in range(dice.one(1, 2)):
                rows.append((neuron, number, _input_axon(dice, target, kind, 1), 0))
        return rows
    atoms = dice.one(1, 6)
    for neuron in range(neurons):
        if neuron % atoms == 0:
            axons = [_input_axon(dice, target, kind, atoms) for _ in range(dice.one(1, 2))]
        rows += [(neuron, number, axon, neuron % atoms) for axon in axons]
    return rows


def _encoder(neurons: int) -> Encoder:
    """Passes the inputs on as currents."""
    return Encoder(
        name="encoder",
        input_shape=(neurons,),
        shape=(neurons,),
        input_scale=1.0,
        layers=(
            HostConv(
                view=np.arange(neurons, dtype=np.int32).reshape(neurons, 1, 1),
                weights=np.ones((1, 1, 1, 1), np.int32),
                bias=np.zeros(neurons, np.int64),
                stride=(1, 1),
                padding=((0, 0), (0, 0)),
                dilation=(1, 1),
                groups=1,
                ceiling=ENCODER_THRESHOLD,
            ),
        ),
        threshold=ENCODER_THRESHOLD,
        mode="on",
    )
