"""A core in the making, with random registers and no synapses yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import numpy as np
from dialects import Dialect
from dice import Dice
from numpy.typing import NDArray

from nmcompile.chip.arithmetic import EXCITATORY, INHIBITORY, MIXED
from nmcompile.chip.core import (
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

Rows = list[tuple[int, ...]]


@dataclass
class Draft:
    """Rows of a core's tables, and what later draws need to know.

    `level` is the exponent around which its weights and thresholds lie; `delays` those that
    its synapses may have; `reach[k]` the largest target of block k; `populations[p]` the size
    of population p.
    """

    shape: tuple[int, ...]
    level: int
    vmin_exponent: int
    vmax_exponent: int
    channels_last: bool = True
    delays: tuple[int, ...] = (0,)
    populations: list[int] = field(default_factory=list)
    profiles: Rows = field(default_factory=list)
    thresholds: Rows = field(default_factory=list)
    formats: Rows = field(default_factory=list)
    compartments: Rows = field(default_factory=list)
    blocks: Rows = field(default_factory=list)
    reach: list[int] = field(default_factory=list)
    synapses: Rows = field(default_factory=list)
    input_axons: Rows = field(default_factory=list)
    output_axons: Rows = field(default_factory=list)

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def grid(self) -> bool:
        """Whether its compartments are rows x columns x channels."""
        return len(self.shape) == 3

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


def random_draft(dice: Dice, dialect: Dialect, first_neuron: int) -> Draft:
    """A core without synapses."""
    if dice.often(1, 2):
        shape: tuple[int, ...] = (dice.one(1, 3), dice.one(2, 3), dice.pick((1, 2, 3, 4, 6)))
        if prod(shape) < 4:
            shape = (2, *shape[1:])
    else:
        shape = (dice.one(4, dialect.size),)
    draft = Draft(shape, level=dice.one(-6, dialect.level), vmin_exponent=23, vmax_exponent=7)
    if dialect.limits:
        draft.vmin_exponent = 23 if dice.often(1, 2) else dice.one(0, 22)
        draft.vmax_exponent = 7 if dice.often(2, 3) else dice.one(0, 6)
    if dialect.delays and dice.often(3, 4):
        draft.delays = tuple(_delay(dice) for _ in range(dice.one(1, 2)))
    draft.profiles = [_profile(dice, dialect) for _ in range(dice.one(1, dialect.profiles))]
    draft.thresholds = [
        (_threshold(dice, draft.level),) for _ in range(dice.one(1, dialect.thresholds))
    ]
    draft.formats = [
        random_format(dice, draft, dense=dice.one(0, 1))
        for _ in range(dice.one(1, dialect.formats))
    ]
    population, atom = _populations(dice, draft)
    # Compartments with equal registers side by side, as a compiler writes them, or mixed.
    mixed = dice.often(1, 2)
    profile = dice.many(0, len(draft.profiles) - 1, draft.size)
    threshold = dice.many(0, len(draft.thresholds) - 1, draft.size)
    if not mixed:
        profile, threshold = np.sort(profile), np.sort(threshold)
    for k in range(draft.size):
        bias = _bias(dice, draft.level) if dialect.biases else (0, 0)
        place = int(population[k]), int(atom[k]), first_neuron + k
        draft.compartments.append((int(profile[k]), int(threshold[k]), *bias, *place))
    return draft


def random_format(dice: Dice, draft: Draft, dense: int) -> tuple[int, ...]:
    """A row of the formats."""
    exponent = min(max(draft.level + dice.one(-2, 2), -8), 7)
    bits = dice.pick((8, 8, 8, 1, 2, 3, 4, 5, 6))
    mode = dice.pick((MIXED, MIXED, EXCITATORY, EXCITATORY, INHIBITORY))
    return (exponent, bits, mode, dice.one(6, 8), max(draft.delays).bit_length(), dense)


def _profile(dice: Dice, dialect: Dialect) -> tuple[int, ...]:
    if dice.often(1, 4):
        return (4095, 0, 1, 0)  # Integrate and fire, for which the emulator has a short path.
    decay_u = dice.pick((4095, 0, dice.one(1, 60), dice.one(0, 4095), dice.one(4000, 4094)))
    decay_v = dice.pick((0, 0, dice.one(1, 60), dice.one(0, 4095), 4095))
    if not dialect.clips and max(decay_u, decay_v) <= 60 and dice.often(3, 4):
        decay_v = 4095  # Else the voltage mostly runs away.
    refractory = dice.pick((1, 1, dice.one(2, 5), dice.one(1, 63))) if dialect.refractory else 1
    return (decay_u, decay_v, refractory, 0)


def _threshold(dice: Dice, level: int) -> int:
    """Mostly between a sixteenth of and 16 times a typical weight of the level."""
    if dice.often(1, 10):
        return dice.one(1, (1 << dice.one(1, 17)) - 1)
    if dice.often(1, 25):
        return 131071
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


def _delay(dice: Dice) -> int:
    return dice.pick((0, dice.one(1, 5), dice.one(6, 35), dice.one(36, 62), 62))


def _populations(dice: Dice, draft: Draft) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Population and atom of each compartment.

    On a grid, the channels of a position are a population, channels being last or first;
    elsewhere, neighbours are, or there is none.
    """
    size = draft.size
    population = np.full(size, -1, np.int64)
    atom = np.zeros(size, np.int64)
    if draft.grid:
        channels = draft.shape[2]
        places = size // channels
        index = np.arange(size)
        draft.channels_last = dice.often(1, 2)
        if draft.channels_last:
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
