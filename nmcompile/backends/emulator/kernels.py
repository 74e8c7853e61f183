"""The chip's time step, compiled: deliver spikes, update compartments, over flat arrays.

Each sample runs all its steps on one thread, so that its state stays in that core's cache and
no result depends on the number of threads; the kernels release the interpreter's lock.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nmcompile.backends.emulator.fanout import Fanout
from nmcompile.backends.emulator.fuse import RUN_LANES
from nmcompile.backends.emulator.lower import Column, Lowered
from nmcompile.backends.emulator.prefetch import LINE, prefetch
from nmcompile.backends.emulator.update import (
    FULL,
    Part,
    Registers,
    make_noise,
    update_noisy,
    update_quiet,
)
from nmcompile.chip.arithmetic import WEIGHT_SHIFT

_LANE_BITS = np.uint64(RUN_LANES.bit_length() - 1)
_LANES_LESS_1 = np.uint64(RUN_LANES - 1)
#: Weights that a processor's second cache can hold; more have to be asked for ahead.
_NEAR = 1 << 19
#: Weights in a cache line.
_IN_A_LINE = LINE // 2


class State(NamedTuple):
    """All that one sample remembers from step to step.

    `accumulators` holds one row of compartments for each step to come that synaptic delays
    reach; `flags` a byte a compartment or encoder neuron, in whole words; `fired` the numbers of
    those that fired last.
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
    """Everything at zero but the voltages, which begin as the Program says."""
    size = len(lowered.bias)
    noisy = size if lowered.fine or lowered.segments[:, Column.NOISE].any() else 0
    # Whole words of flags, so that those without a spike are skipped eight at a time.
    flags = (max(size, encoder_neurons) + 7) // 8 * 8
    return State(
        np.zeros(size, np.int32),
        lowered.initial.copy(),
        np.zeros(size, np.int32),
        _aligned_zeros((lowered.max_delay + 1) * size + RUN_LANES, lowered.accumulator),
        np.zeros(noisy, np.int32),
        np.zeros(noisy, np.int32),
        np.zeros(flags, np.uint8),
        np.empty(flags + 1, np.int32),
    )


@njit(cache=True)
def _clear(lowered: Lowered, state: State) -> None:
    """Everything as in the beginning again."""
    state.u[:] = 0
    state.v[:] = lowered.initial
    state.refractory[:] = 0
    state.accumulators[:] = 0


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

    Returns how many synapses with a weight other than 0 were met. All spikes of a step share one
    call, since passing the tables costs more than a spike. Unsigned indices let the additions
    vectorise; and runs of `short` weights and more are filled up with zeros, so that their length
    is plainly a multiple of the lanes and leaves no rest to add one by one.
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
            (FULL - 1 - segments[k, Column.DECAY_U]) / FULL,
            (FULL - segments[k, Column.DECAY_V]) / FULL,
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
                make_noise(
                    k, segments, lowered.neuron, draws, seed, step, state.noise_u, state.noise_v
                )
            update_noisy(
                WEIGHT_SHIFT - lowered.fine,
                registers,
                part,
                state.noise_u[start:stop],
                state.noise_v[start:stop],
                lost,
            )
        else:
            update_quiet(segments[k], registers, part, lost)


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
    hold: int,
    read: np.ndarray,
    reads_voltage: bool,
    step_weights: np.ndarray,
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
    currents : (samples, frames, encoder neurons) int64
    hold : steps in which each frame is shown; behind the last there is no input
    read : (read compartments,) int64, ascending
    reads_voltage : whether their final voltage is read, or else their spikes
    step_weights : (steps,) int64, what a spike counts in each step
    seeds : (samples,) int64, of the noise
    values : (samples, read compartments) int64, what is read; filled in
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
    frames = currents.shape[1]
    state = fresh_state(lowered, currents.shape[2])
    words = state.flags.view(np.uint64)
    for s in range(len(currents)):
        shown = currents[s, 0] != 0
        for frame in range(1, frames):
            shown |= currents[s, frame] != 0
        active = np.flatnonzero(shown)
        drive = currents[s, 0][active]
        encoder_v = np.full(len(active), encoder_threshold // 2, np.int64)
        _clear(lowered, state)
        for step in range(steps):
            n_fired, added = _step(
                lowered, state, step, seeds[s], no_draws, layer_spikes[s], overflows[s]
            )
            events[s] += added
            for i in range(n_fired):
                k = place[state.fired[i]]
                if k >= 0:
                    values[s, k] += step_weights[step]
            _record(
                state, n_fired, probed, probe_spikes[s, step], probe_u[s, step], probe_v[s, step]
            )
            if step and step % hold == 0:
                frame = step // hold
                drive = currents[s, frame][active] if frame < frames else np.zeros_like(drive)
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
