"""The update of compartments, compiled: the rules of `chip.arithmetic` over flat arrays.

Currents and voltages are whole numbers below 2^24, so a decay is computed exactly in float64,
whose conversion to an integer rounds toward zero as the chip does.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nmcompile.backends.emulator.lower import Column
from nmcompile.chip.arithmetic import (
    ACCUMULATOR_BITS,
    CURRENT_BITS,
    DECAY_BITS,
    WEIGHT_SHIFT,
)

#: Shifts that cut a 32-bit number to a register's width: left, then back with the sign.
_ACCUMULATOR_CUT = np.int32(31 - ACCUMULATOR_BITS)
_CURRENT_CUT = np.int32(31 - CURRENT_BITS)
#: The accumulator counts in units of 2^6, so its range is that much smaller.
_GATHERED_CUT = np.int32(31 - ACCUMULATOR_BITS + WEIGHT_SHIFT)
_UNIT = np.int32(WEIGHT_SHIFT)
_NO_CURRENT_DECAY = 4095
#: What a decay register counts in.
FULL = 1 << DECAY_BITS


class Registers(NamedTuple):
    """Registers of a segment; `kept_u` and `kept_v` are the shares that a decay leaves."""

    kept_u: float
    kept_v: float
    refractory: np.int32
    threshold: np.int32
    vmin: np.int32
    vmax: np.int32


class Part(NamedTuple):
    """The compartments of a segment."""

    incoming: NDArray[Any]
    bias: NDArray[np.int32]
    u: NDArray[np.int32]
    v: NDArray[np.int32]
    refractory: NDArray[np.int32]
    fired: NDArray[np.uint8]


@njit(cache=True, inline="always")
def _cut(x: int, by: int) -> int:
    """`x` in a register that is `by` bits narrower than 32, which wraps around."""
    return np.int32(np.int32(x << by) >> by)


@njit(cache=True)
def _mix(x: np.uint64) -> np.uint64:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit(cache=True)
def _noise_draw(seed: int, neuron: int, step: int) -> int:
    golden = np.uint64(0x9E3779B97F4A7C15)
    key = _mix(_mix(np.uint64(seed) + golden) ^ (np.uint64(neuron + 1) * golden))
    key = _mix(key ^ (np.uint64(step + 1) * np.uint64(0xD1B54A32D192ED03)))
    return np.int64(key % np.uint64(255)) - 127


@njit(cache=True)
def _update_segment(
    kept_u: float | None,
    kept_v: float | None,
    registers: Registers,
    part: Part,
    overflows: np.ndarray | None,
) -> None:
    """All registers but noise.

    Where an argument is None numba leaves out what it would take: `kept_u` if nothing is left
    of the current, `kept_v` if the voltage does not decay and no refractory time follows a
    spike, `overflows` if nothing can wrap around. The loop vectorises in each case.
    """
    pause, threshold = registers.refractory, registers.threshold
    vmin, vmax = registers.vmin, registers.vmax
    incoming, bias, u, v, refractory, fired = part
    lost_q = lost_u = lost_drive = np.int32(0)
    for n in range(len(v)):
        total = np.int32(incoming[n])
        kept = total if overflows is None else _cut(total, _GATHERED_CUT)
        current = np.int32(kept << _UNIT)
        if kept_u is not None:
            current = np.int32(np.int32(np.float64(u[n]) * kept_u) + current)
        limited = current if overflows is None else _cut(current, _CURRENT_CUT)
        drive = np.int32(limited + bias[n])
        arriving = drive if overflows is None else _cut(drive, _CURRENT_CUT)
        if overflows is not None:
            lost_q += np.int32(kept != total)
            lost_u += np.int32(limited != current)
            lost_drive += np.int32(arriving != drive)
        before = v[n] if kept_v is None else np.int32(np.float64(v[n]) * kept_v)
        voltage = max(min(np.int32(before + arriving), vmax), vmin)
        if kept_v is not None:
            voltage = np.int32(0) if refractory[n] > 0 else voltage
        fires = voltage > threshold
        u[n] = limited
        v[n] = np.int32(0) if fires else voltage
        fired[n] = fires
        if kept_v is not None:
            # It starts after a spike and falls at the end of every step, this one included.
            refractory[n] = max((pause if fires else refractory[n]) - np.int32(1), np.int32(0))
    incoming[:] = 0
    if overflows is not None:
        overflows[0] += lost_q
        overflows[1] += lost_u
        overflows[2] += lost_drive


@njit(cache=True)
def update_noisy(
    unit: int,
    registers: Registers,
    part: Part,
    noise_u: np.ndarray,
    noise_v: np.ndarray,
    overflows: np.ndarray,
) -> None:
    """Any registers; noise of up to 2^24 is added to what was gathered, or to the drive.

    Accumulators count in 2^`unit`.
    """
    kept_u, kept_v, pause = registers.kept_u, registers.kept_v, registers.refractory
    threshold, vmin, vmax = registers.threshold, registers.vmin, registers.vmax
    incoming, bias, u, v, refractory, fired = part
    for n in range(len(v)):
        total = np.int64(incoming[n]) * (1 << unit) + noise_u[n]
        kept = _cut(total, _ACCUMULATOR_CUT)
        current = np.int32(np.int32(np.float64(u[n]) * kept_u) + kept)
        limited = _cut(current, _CURRENT_CUT)
        drive = np.int32(limited + bias[n] + noise_v[n])
        arriving = _cut(drive, _CURRENT_CUT)
        overflows[0] += kept != total
        overflows[1] += limited != current
        overflows[2] += arriving != drive
        voltage = np.int32(np.int32(np.float64(v[n]) * kept_v) + arriving)
        voltage = max(min(voltage, vmax), vmin)
        voltage = np.int32(0) if refractory[n] > 0 else voltage
        fires = voltage > threshold
        u[n] = limited
        v[n] = np.int32(0) if fires else voltage
        fired[n] = fires
        refractory[n] = max((pause if fires else refractory[n]) - np.int32(1), np.int32(0))
        incoming[n] = 0


@njit(cache=True)
def make_noise(
    k: int,
    segments: np.ndarray,
    neuron: np.ndarray,
    draws: np.ndarray,
    seed: int,
    step: int,
    noise_u: np.ndarray,
    noise_v: np.ndarray,
) -> None:
    """Fill the noise of a segment, on the current or on the voltage.

    `draws` has a number for each compartment, or none: then they depend on seed, neuron and step.
    """
    into = noise_v if segments[k, Column.NOISE_AT_VOLTAGE] else noise_u
    exponent, offset = segments[k, Column.NOISE_EXPONENT], segments[k, Column.NOISE_OFFSET]
    for n in range(segments[k, Column.START], segments[k, Column.STOP]):
        draw = np.int64(draws[n]) if len(draws) else _noise_draw(seed, neuron[n], step)
        value = draw + 64 * offset
        size = (abs(value) << exponent) >> 7
        into[n] = size if value >= 0 else -size


@njit(cache=True)
def update_quiet(
    segment: np.ndarray, registers: Registers, part: Part, overflows: np.ndarray
) -> None:
    """Update a segment by as little as its registers need."""
    kept_u, kept_v = registers.kept_u, registers.kept_v
    general = segment[Column.DECAY_V] or registers.refractory > 1
    forgets = segment[Column.DECAY_U] == _NO_CURRENT_DECAY
    if segment[Column.SAFE]:
        if general:
            _update_segment(kept_u, kept_v, registers, part, None)
        elif forgets:
            _update_segment(None, None, registers, part, None)
        else:
            _update_segment(kept_u, None, registers, part, None)
    elif general:
        _update_segment(kept_u, kept_v, registers, part, overflows)
    elif forgets:
        _update_segment(None, None, registers, part, overflows)
    else:
        _update_segment(kept_u, None, registers, part, overflows)
