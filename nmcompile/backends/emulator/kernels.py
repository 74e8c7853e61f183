"""The chip's time step, compiled: the rules of `chip.arithmetic` over flat arrays.

Each sample runs all its steps on one thread, so that its state stays in that core's cache and
no result depends on the number of threads; the kernels release the interpreter's lock. Currents
and voltages are whole numbers below 2^24, so a decay is computed exactly in float64, whose
conversion to an integer rounds toward zero as the chip does.

All kernels stand in one file, because numba's cache watches no other file than a function's own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nmcompile.backends.emulator.fanout import RUN_LANES, Fanout
from nmcompile.backends.emulator.lower import Column, Lowered
from nmcompile.backends.emulator.prefetch import LINE, prefetch
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
_LANE_BITS = np.uint64(RUN_LANES.bit_length() - 1)
_LANES_LESS_1 = np.uint64(RUN_LANES - 1)
#: Weights that a processor's second cache can hold; more have to be asked for ahead.
_NEAR = 1 << 19
#: Weights in a cache line.
_IN_A_LINE = LINE // 2
_NO_CURRENT_DECAY = 4095
#: What a decay register counts in.
_FULL = 1 << DECAY_BITS


class State(NamedTuple):
    """All that one sample remembers from step to step.

    `accumulators` holds one row of compartments for each step to come that synaptic delays
    reach; `flags` a byte a compartment, in whole words; `fired` the numbers of those that
    fired last.
    """

    u: NDArray[np.int32]
    v: NDArray[np.int32]
    refractory: NDArray[np.int32]
    accumulators: NDArray[Any]
    noise_u: NDArray[np.int32]
    noise_v: NDArray[np.int32]
    flags: NDArray[np.uint8]
    fired: NDArray[np.int32]


@njit(cache=True)
def _aligned_zeros(size: int, like: np.ndarray) -> np.ndarray:
    """Zeros from the beginning of a cache line on, so that vectors do not cross lines."""
    found = np.zeros(size + LINE // like.itemsize, like.dtype)
    first = -found.ctypes.data % LINE // like.itemsize
    return found[first : first + size]


@njit(cache=True)
def fresh_state(lowered: Lowered, encoder_neurons: int) -> State:
    """Everything at zero."""
    size = len(lowered.bias)
    noisy = size if lowered.fine or lowered.segments[:, Column.NOISE].any() else 0
    # Whole words of flags, so that those without a spike are skipped eight at a time.
    flags = (max(size, encoder_neurons) + 7) // 8 * 8
    return State(
        np.zeros(size, np.int32),
        np.zeros(size, np.int32),
        np.zeros(size, np.int32),
        _aligned_zeros((lowered.max_delay + 1) * size + RUN_LANES, lowered.accumulator),
        np.zeros(noisy, np.int32),
        np.zeros(noisy, np.int32),
        np.zeros(flags, np.uint8),
        np.empty(flags + 1, np.int32),
    )


@njit(cache=True)
def _clear(state: State) -> None:
    """Everything at zero again."""
    state.u[:] = 0
    state.v[:] = 0
    state.refractory[:] = 0
    state.accumulators[:] = 0


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
def deliver(
    spikes: np.ndarray,
    fanout: Fanout,
    weights: np.ndarray,
    short: int,
    accumulators: np.ndarray,
    size: int,
    step: int,
) -> int:
    """Add the weights of spikes to the accumulators that take them in later steps.

    Returns how many synapses were met. All spikes of a step share one call, since passing
    the tables costs more than a spike. Unsigned indices let the additions vectorise; and runs of
    `short` weights and more are filled up with zeros, so that their length is plainly a multiple
    of the lanes and leaves no rest to add one by one.
    """
    spans, runs = fanout.spans, fanout.runs
    ring = (len(accumulators) - RUN_LANES) // size
    far = len(weights) > _NEAR
    events = 0
    for i in range(len(spikes)):
        n = spikes[i]
        events += spans[n, 2]
        if far and i + 2 < len(spikes):
            after, later = spans[spikes[i + 1]], spans[spikes[i + 2]]
            prefetch(runs, runs.shape[1] * later[0])
            for r in range(after[0], after[1]):
                for k in range(0, runs[r, 1], _IN_A_LINE):
                    prefetch(weights, runs[r, 2] + k)
        for r in range(spans[n, 0], spans[n, 1]):
            place = np.int64(runs[r, 0])
            if ring > 1:
                place += (step + 1 + runs[r, 3]) % ring * size
            to, first = np.uint64(place), np.uint64(runs[r, 2])
            length = np.uint64(runs[r, 1])
            if length < short:
                for k in range(length):
                    accumulators[to + k] += weights[first + k]
            else:
                for k in range((length + _LANES_LESS_1) >> _LANE_BITS << _LANE_BITS):
                    accumulators[to + k] += weights[first + k]
    return events


@njit(cache=True)
def add_by_sign(fanout: Fanout, weights: np.ndarray, up: np.ndarray, down: np.ndarray) -> None:
    """Add the sizes of all positive and all negative weights into each compartment."""
    for r in range(len(fanout.runs)):
        to, first = fanout.runs[r, 0], fanout.runs[r, 2]
        for i in range(fanout.runs[r, 1]):
            weight = np.int64(weights[first + i])
            up[to + i] += max(weight, 0)
            down[to + i] += max(-weight, 0)


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
def _update_noisy(
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
def _make_noise(
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
def _update(
    lowered: Lowered,
    state: State,
    step: int,
    seed: int,
    draws: np.ndarray,
    overflows: np.ndarray,
) -> None:
    """All compartments of all cores; the kernel is chosen by each segment's registers."""
    segments = lowered.segments
    size = len(lowered.bias)
    first = step % (lowered.max_delay + 1) * size
    for k in range(len(segments)):
        start, stop = segments[k, Column.START], segments[k, Column.STOP]
        registers = Registers(
            (_FULL - 1 - segments[k, Column.DECAY_U]) / _FULL,
            (_FULL - segments[k, Column.DECAY_V]) / _FULL,
            np.int32(segments[k, Column.REFRACTORY]),
            np.int32(segments[k, Column.THRESHOLD]),
            np.int32(segments[k, Column.VMIN]),
            np.int32(segments[k, Column.VMAX]),
        )
        part = Part(
            state.accumulators[first + start : first + stop],
            lowered.bias[start:stop],
            state.u[start:stop],
            state.v[start:stop],
            state.refractory[start:stop],
            state.flags[start:stop],
        )
        lost = overflows[segments[k, Column.LAYER]]
        if segments[k, Column.NOISE] or lowered.fine:
            if segments[k, Column.NOISE]:
                _make_noise(
                    k, segments, lowered.neuron, draws, seed, step, state.noise_u, state.noise_v
                )
            _update_noisy(
                WEIGHT_SHIFT - lowered.fine,
                registers,
                part,
                state.noise_u[start:stop],
                state.noise_v[start:stop],
                lost,
            )
        else:
            _choose(segments[k], registers, part, lost)


@njit(cache=True)
def _choose(segment: np.ndarray, registers: Registers, part: Part, overflows: np.ndarray) -> None:
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


@njit(cache=True)
def _collect(flags: np.ndarray, words: np.ndarray, fired: np.ndarray) -> int:
    """Numbers of the raised flags into `fired`; how many there are. Lowers all flags.

    Every number of a word with a flag is written, and the next overwrites it where its flag is
    down: a branch would be guessed wrong too often.
    """
    count = 0
    for w in range(len(words)):
        if words[w]:
            for n in range(8 * w, 8 * w + 8):
                fired[count] = n
                count += flags[n]
            words[w] = 0
    return count


@njit(cache=True)
def _count_by_segment(fired: np.ndarray, segments: np.ndarray, layer_spikes: np.ndarray) -> None:
    """Add spikes, whose neurons ascend, to the counts of their layers."""
    first = 0
    for k in range(len(segments)):
        last = first + np.searchsorted(fired[first:], segments[k, Column.STOP])
        layer_spikes[segments[k, Column.LAYER]] += last - first
        first = last


@njit(cache=True)
def _step(
    lowered: Lowered,
    state: State,
    step: int,
    seed: int,
    draws: np.ndarray,
    layer_spikes: np.ndarray,
    overflows: np.ndarray,
) -> tuple[int, int]:
    """One step of all cores; how many compartments fired, and how many weights were added."""
    _update(lowered, state, step, seed, draws, overflows)
    n_fired = _collect(state.flags, state.flags.view(np.uint64), state.fired)
    fired = state.fired[:n_fired]
    _count_by_segment(fired, lowered.segments, layer_spikes)
    events = deliver(
        fired,
        lowered.fanout,
        lowered.weights,
        lowered.short_run,
        state.accumulators,
        len(lowered.bias),
        step,
    )
    return n_fired, events


@njit(cache=True)
def _record(
    state: State,
    n_fired: int,
    probed: np.ndarray,
    spikes: np.ndarray,
    u: np.ndarray,
    v: np.ndarray,
) -> None:
    """What one step left in the probed compartments; arrays without width are not asked for."""
    if len(spikes):
        for i in range(n_fired):
            state.flags[state.fired[i]] = 1
        for p in range(len(spikes)):
            spikes[p] = state.flags[probed[p]] != 0
        for i in range(n_fired):
            state.flags[state.fired[i]] = 0
    for p in range(len(u)):
        u[p] = state.u[probed[p]]
    for p in range(len(v)):
        v[p] = state.v[probed[p]]


@njit(cache=True, nogil=True)
def run_samples(
    lowered: Lowered,
    currents: np.ndarray,
    encoder_threshold: int,
    steps: int,
    read: np.ndarray,
    reads_voltage: bool,
    seeds: np.ndarray,
    values: np.ndarray,
    host_spikes: np.ndarray,
    layer_spikes: np.ndarray,
    events: np.ndarray,
    overflows: np.ndarray,
    probed: np.ndarray,
    probe_spikes: np.ndarray,
    probe_u: np.ndarray,
    probe_v: np.ndarray,
) -> None:
    """Run every sample from a fresh state.

    Parameters
    ----------
    currents : (samples, encoder neurons) int64
    read : (read compartments,) int64, ascending
    reads_voltage : whether their final voltage is read, or else their spikes
    seeds : (samples,) int64, of the noise
    values : (samples, read compartments) int32, what is read; filled in
    host_spikes : (samples,) int64, spikes of the encoder; filled in
    layer_spikes : (samples, layers + 1) int64; filled in
    events : (samples,) int64; filled in
    overflows : (samples, layers + 1, 3) int64, of accumulator, current, drive; filled in
    probed : (probed compartments,) int64
    probe_spikes, probe_u, probe_v : (samples, steps, probed or 0); filled in
    """
    no_draws = np.zeros(0, np.int32)
    place = np.full(len(lowered.bias), -1, np.int32)
    if not reads_voltage:
        for k in range(len(read)):
            place[read[k]] = k
    state = fresh_state(lowered, currents.shape[1])
    words = state.flags.view(np.uint64)
    for s in range(len(currents)):
        active = np.flatnonzero(currents[s])
        drive = currents[s][active]
        encoder_v = np.full(len(active), encoder_threshold // 2, np.int64)
        _clear(state)
        for step in range(steps):
            n_fired, added = _step(
                lowered, state, step, seeds[s], no_draws, layer_spikes[s], overflows[s]
            )
            events[s] += added
            for i in range(n_fired):
                k = place[state.fired[i]]
                if k >= 0:
                    values[s, k] += 1
            _record(
                state, n_fired, probed, probe_spikes[s, step], probe_u[s, step], probe_v[s, step]
            )
            for e in range(len(active)):
                voltage = encoder_v[e] + drive[e]
                fires = voltage >= encoder_threshold
                encoder_v[e] = voltage - encoder_threshold * fires
                state.flags[e] = fires
            n_fired = _collect(state.flags, words[: (len(active) + 7) // 8], state.fired)
            for i in range(n_fired):
                state.fired[i] = active[state.fired[i]]
            host_spikes[s] += n_fired
            events[s] += deliver(
                state.fired[:n_fired],
                lowered.host_fanout,
                lowered.weights,
                lowered.short_run,
                state.accumulators,
                len(lowered.bias),
                step,
            )
        if reads_voltage:
            for k in range(len(read)):
                values[s, k] = state.v[read[k]]


@njit(cache=True, nogil=True)
def run_steps(
    lowered: Lowered,
    state: State,
    first: int,
    seed: int,
    draws: np.ndarray,
    host_start: np.ndarray,
    host_neuron: np.ndarray,
    layer_spikes: np.ndarray,
    overflows: np.ndarray,
    probed: np.ndarray,
    probe_spikes: np.ndarray,
    probe_u: np.ndarray,
    probe_v: np.ndarray,
) -> tuple[int, int]:
    """Run one sample on from a state, with spikes of the host.

    Parameters
    ----------
    first : number of the first step
    draws : (steps, compartments) int32 in -127..127 for the noise; or (steps, 0), keyed
    host_start : (steps + 1,) int64; the spikes of encoder neurons
        host_neuron[host_start[i]:host_start[i + 1]] arrive in step i, if without delay
    layer_spikes, overflows : (layers + 1,) and (layers + 1, 3) int64; added to
    probed, probe_spikes, probe_u, probe_v : as in `run_samples`, without its first axis

    Returns
    -------
    How many compartments fired in the last step (their numbers are in `state.fired`), and how
    many synapses were met.
    """
    n_fired = events = 0
    for i in range(len(host_start) - 1):
        events += deliver(
            host_neuron[host_start[i] : host_start[i + 1]],
            lowered.host_fanout,
            lowered.weights,
            lowered.short_run,
            state.accumulators,
            len(lowered.bias),
            first + i - 1,
        )
        n_fired, added = _step(lowered, state, first + i, seed, draws[i], layer_spikes, overflows)
        events += added
        _record(state, n_fired, probed, probe_spikes[i], probe_u[i], probe_v[i])
    return n_fired, events
