"""The registers of all compartments of a Program, and what they lead to, as arrays.

States are (steps, compartments), core by core. This is what recordings leave out and what
tells whether a register wrapped around; the emulator has its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip.arithmetic import (
    ACCUMULATOR_BITS,
    CURRENT_BITS,
    DECAY_BITS,
    voltage_ceiling,
    voltage_floor,
)
from nmcompile.chip.core import Core
from nmcompile.chip.program import Program

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Registers:
    """One element a compartment, core by core."""

    decay_u: Integers
    decay_v: Integers
    refractory: Integers
    bias: Integers
    floor: Integers
    ceiling: Integers

    @staticmethod
    def of(program: Program) -> Registers:
        def column(values: Callable[[Core], object]) -> Integers:
            parts = [
                np.broadcast_to(np.asarray(values(core), np.int64), len(core.compartments))
                for core in program.cores
            ]
            return np.concatenate(parts)

        return Registers(
            decay_u=column(lambda c: c.profiles.decay_u[c.compartments.profile]),
            decay_v=column(lambda c: c.profiles.decay_v[c.compartments.profile]),
            refractory=column(lambda c: c.profiles.refractory[c.compartments.profile]),
            bias=column(
                lambda c: (
                    c.compartments.bias_mantissa.astype(np.int64) << c.compartments.bias_exponent
                )
            ),
            floor=column(lambda c: voltage_floor(c.vmin_exponent)),
            ceiling=column(lambda c: voltage_ceiling(c.vmax_exponent)),
        )

    def gathered(self, u: NDArray[np.int32]) -> Integers:
        """What the accumulators brought in each step, if nothing wrapped around."""
        before = np.concatenate([np.zeros_like(u[:1]), u[:-1]]).astype(np.int64)
        return u - self.kept(before)

    def kept(self, u: Integers) -> Integers:
        """What is left of currents a step later."""
        return _decayed(u, 4095 - self.decay_u)

    def drive(self, u: NDArray[np.int32]) -> Integers:
        """Current plus bias, before it wraps around."""
        return u + self.bias

    def settled(self, v: Integers, u: Integers) -> Integers:
        """The next voltage in one step, of compartments that do not fire and need not wait."""
        return np.clip(_decayed(v, 4096 - self.decay_v) + u + self.bias, self.floor, self.ceiling)

    def waiting(self, spikes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Where the voltage is held at 0 since the compartment fired not long ago."""
        left = np.zeros(spikes.shape[1], np.int64)
        held = np.zeros_like(spikes)
        for step, fired in enumerate(spikes):
            held[step] = left > 0
            left = np.maximum(np.where(fired, self.refractory, left) - 1, 0)
        return held


def overflows(values: Integers, bits: int) -> bool:
    """Whether any value does not fit a register of so many bits and sign."""
    return bool(((values < -(1 << bits)) | (values >= 1 << bits)).any())


def wrapped(program: Program, u: NDArray[np.int32]) -> frozenset[str]:
    """Which of "accumulator", "current" and "drive" wrap around, judged by the currents.

    `u` may be a reference's that wraps later than the chip, or never. The accumulator's
    wrapping is not seen where the current's hides it, as one that adds 2**22 more or less.
    """
    registers = Registers.of(program)
    gathered = registers.gathered(u)
    span = 1 << (CURRENT_BITS + 1)
    # A current that wrapped around shows in a step as large as its register.
    short = (gathered + span // 2) % span - span // 2
    found = {
        "accumulator": overflows(short, ACCUMULATOR_BITS),
        "current": bool((short != gathered).any()) or overflows(u, CURRENT_BITS),
        "drive": overflows(registers.drive(u), CURRENT_BITS),
    }
    return frozenset(name for name, yes in found.items() if yes)


def _decayed(x: Integers, kept: Integers) -> Integers:
    return np.sign(x) * (np.abs(x) * kept >> DECAY_BITS)
