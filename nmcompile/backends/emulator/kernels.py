"""The chip's time step, compiled: the rules of `chip.arithmetic` over flat arrays.

Each sample runs all its steps on one thread, so that its state stays in that core's cache and
no result depends on the number of threads; the kernels release the interpreter's lock. Currents
and voltages are whole numbers below 2^24, so a decay is computed exactly in float64, whose
conversion to an integer rounds toward zero as the chip does.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from nmcompile.backends.emulator.lower import Lowered, Routes, Segments, Synapses
from nmcompile.chip.arithmetic import (
    ACCUMULATOR_BITS,
    CURRENT_BITS,
    DECAY_BITS,
    WEIGHT_SHIFT,
)

#: The accumulator counts in units of 2^6, so its range is that much smaller.
_HALF = 1 << (ACCUMULATOR_BITS - WEIGHT_SHIFT)
_SPAN_MASK = 2 * _HALF - 1
_ACCUMULATOR_HALF = 1 << ACCUMULATOR_BITS
_ACCUMULATOR_MASK = 2 * _ACCUMULATOR_HALF - 1
_CURRENT_HALF = 1 << CURRENT_BITS
_CURRENT_MASK = 2 * _CURRENT_HALF - 1
_NO_CURRENT_DECAY = 4095
#: What a decay register counts in.
_FULL = 1 << DECAY_BITS


@njit(cache=True, inline="always")
def _wrap_accumulator(x: int) -> int:
    return ((x + _HALF) & _SPAN_MASK) - _HALF


@njit(cache=True, inline="always")
def _wrap_current(x: int) -> int:
    return ((x + _CURRENT_HALF) & _CURRENT_MASK) - _CURRENT_HALF


@njit(cache=True)
def _mix(x: np.uint64) -> np.uint64:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit(cache=True)
def _noise(seed: int, neuron: int, step: int, exponent: int, offset: int) -> int:
    golden = np.uint64(0x9E3779B97F4A7C15)
    key = _mix(_mix(np.uint64(seed) + golden) ^ (np.uint64(neuron + 1) * golden))
    key = _mix(key ^ (np.uint64(step + 1) * np.uint64(0xD1B54A32D192ED03)))
    value = np.int64(key % np.uint64(255)) - 127 + 64 * offset
    size = (abs(value) << exponent) >> 7
    return size if value >= 0 else -size


@njit(cache=True)
def _add_run(
    accumulators: np.ndarray,
    target: np.uint64,
    weights: np.ndarray,
    first: np.uint64,
    length: np.uint64,
) -> None:
    """Add a run of weights to a run of accumulators; unsigned indices let it vectorise."""
    for i in range(length):
        accumulators[target + i] += weights[first + i]


@njit(cache=True)
def _deliver(
    spikes: np.ndarray,
    routes: Routes,
    synapses: Synapses,
    accumulators: np.ndarray,
    size: int,
    step: int,
    counts: np.ndarray,
) -> int:
    """Count spikes, and add their weights to the accumulators that take them in later steps.

    Returns how many weights were added. All spikes of a step share one call, since passing
    the tables costs more than a spike.
    """
    ring = len(accumulators) // size
    events = 0
    for n in spikes:
        counts[n] += 1
        events += routes.events[n]
        for k in range(routes.start[n], routes.start[n + 1]):
            row = routes.row[k]
            base = routes.base[k]
            for r in range(synapses.row_start[row], synapses.row_start[row + 1]):
                slot = 0
                if ring > 1:
                    slot = (step + 1 + synapses.delay[r]) % ring * size
                _add_run(
                    accumulators,
                    np.uint64(slot + base + synapses.target[r]),
                    synapses.weights,
                    np.uint64(synapses.first[r]),
                    np.uint64(synapses.length[r]),
                )
    return events


@njit(cache=True)
def _update_simple(
    threshold: np.int32,
    vmin: np.int32,
    vmax: np.int32,
    incoming: np.ndarray,
    bias: np.ndarray,
    u: np.ndarray,
    v: np.ndarray,
    fired: np.ndarray,
) -> int:
    """Integrate and fire: no decay of the voltage, none left of the current, no refractory time.

    The arrays are those of one segment; every step of the loop is in 32 bits, so that it
    vectorises. Returns how many accumulators wrapped around.
    """
    changed = np.int32(0)
    for n in range(len(v)):
        total = incoming[n]
        kept = np.int32(_wrap_accumulator(total))
        changed |= np.int32(kept ^ total)
        current = np.int32(kept << WEIGHT_SHIFT)
        voltage = np.int32(v[n] + current + bias[n])
        voltage = max(min(voltage, vmax), vmin)
        u[n] = current
        v[n] = voltage
        fired[n] = voltage > threshold
    wrapped = 0
    if changed:
        for n in range(len(v)):
            wrapped += _wrap_accumulator(incoming[n]) != incoming[n]
    incoming[:] = 0
    return wrapped


@njit(cache=True)
def _update_general(
    kept_u: float,
    kept_v: float,
    pause: np.int32,
    threshold: np.int32,
    vmin: np.int32,
    vmax: np.int32,
    incoming: np.ndarray,
    bias: np.ndarray,
    noise_u: np.ndarray,
    noise_v: np.ndarray,
    u: np.ndarray,
    v: np.ndarray,
    refractory: np.ndarray,
    fired: np.ndarray,
) -> int:
    """Any registers; the arrays are those of one segment.

    `kept_u` and `kept_v` are the shares that a decay leaves, `pause` the refractory delay.
    Returns how many accumulators and currents wrapped around.
    """
    wrapped = 0
    for n in range(len(v)):
        total = np.int64(incoming[n]) * (1 << WEIGHT_SHIFT) + noise_u[n]
        kept = ((total + _ACCUMULATOR_HALF) & _ACCUMULATOR_MASK) - _ACCUMULATOR_HALF
        incoming[n] = 0
        current = np.int32(np.int32(np.float64(u[n]) * kept_u) + np.int32(kept))
        limited = np.int32(_wrap_current(current))
        u[n] = limited
        drive = np.int32(limited + bias[n] + noise_v[n])
        arriving = np.int32(_wrap_current(drive))
        wrapped += (kept != total) + (limited != current) + (arriving != drive)
        voltage = np.int32(np.int32(np.float64(v[n]) * kept_v) + arriving)
        voltage = max(min(voltage, vmax), vmin)
        voltage = np.int32(0) if refractory[n] > 0 else voltage
        v[n] = voltage
        fires = voltage > threshold
        fired[n] = fires
        # The counter starts after a spike and falls at the end of every step, this one included.
        refractory[n] = max((pause if fires else refractory[n]) - np.int32(1), np.int32(0))
    return wrapped


@njit(cache=True)
def _draw_noise(
    k: int,
    segments: Segments,
    neuron: np.ndarray,
    seed: int,
    step: int,
    noise_u: np.ndarray,
    noise_v: np.ndarray,
) -> None:
    """Fill the noise of a segment, on the current or on the voltage."""
    into = noise_v if segments.noise_at_voltage[k] else noise_u
    exponent, offset = segments.noise_exponent[k], segments.noise_offset[k]
    for n in range(segments.start[k], segments.stop[k]):
        into[n] = _noise(seed, neuron[n], step, exponent, offset)


@njit(cache=True)
def _collect(flags: np.ndarray, words: np.ndarray, fired: np.ndarray) -> int:
    """Numbers of the raised flags into `fired`; how many there are. Lowers all flags."""
    count = 0
    for w in range(len(words)):
        if words[w]:
            for n in range(8 * w, 8 * w + 8):
                if flags[n]:
                    fired[count] = n
                    count += 1
            words[w] = 0
    return count


@njit(cache=True)
def _count_by_segment(fired: np.ndarray, segments: Segments, layer_spikes: np.ndarray) -> None:
    """Add spikes, whose neurons ascend, to the counts of their layers."""
    i = 0
    for k in range(len(segments.start)):
        first = i
        while i < len(fired) and fired[i] < segments.stop[k]:
            i += 1
        layer_spikes[segments.layer[k]] += i - first


@njit(cache=True)
def _mark(fired: np.ndarray, probed: np.ndarray, spikes: np.ndarray, size: int) -> None:
    """Set the spikes of probed compartments."""
    raised = np.zeros(size, np.bool_)
    for i in range(len(fired)):
        raised[fired[i]] = True
    for p in range(len(probed)):
        spikes[p] = raised[probed[p]]


@njit(cache=True, nogil=True)
def run_samples(
    lowered: Lowered,
    currents: np.ndarray,
    encoder_threshold: int,
    steps: int,
    seeds: np.ndarray,
    counts: np.ndarray,
    encoder_counts: np.ndarray,
    voltages: np.ndarray,
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
    seeds : (samples,) int64, of the noise
    counts, voltages : (samples, compartments) int32, spikes and final voltage; filled in
    encoder_counts : (samples, encoder neurons) int32; filled in
    layer_spikes, overflows : (samples, layers + 1) int64; filled in
    events : (samples,) int64; filled in
    probed : (probed compartments,) int64
    probe_spikes, probe_u, probe_v : (samples, steps, probed or 0); filled in
    """
    size = len(lowered.bias)
    segments = lowered.segments
    for s in range(len(currents)):
        u = np.zeros(size, np.int32)
        v = np.zeros(size, np.int32)
        refractory = np.zeros(size, np.int32)
        noise_u = np.zeros(size, np.int32)
        noise_v = np.zeros(size, np.int32)
        accumulators = np.zeros((lowered.max_delay + 1) * size, np.int32)
        active = np.flatnonzero(currents[s])
        drive = currents[s][active]
        encoder_v = np.full(len(active), encoder_threshold // 2, np.int64)
        # Whole words of flags, so that those without a spike are skipped eight at a time.
        flags = np.zeros((max(size, len(active)) + 7) // 8 * 8, np.uint8)
        words = flags.view(np.uint64)
        fired = np.empty(len(flags), np.int32)
        for step in range(steps):
            slot = step % (lowered.max_delay + 1) * size
            incoming = accumulators[slot : slot + size]
            for k in range(len(segments.start)):
                start, stop = segments.start[k], segments.stop[k]
                if (
                    segments.decay_u[k] == _NO_CURRENT_DECAY
                    and segments.decay_v[k] == 0
                    and segments.refractory[k] == 1
                    and segments.noise[k] == 0
                ):
                    wrapped = _update_simple(
                        np.int32(segments.threshold[k]),
                        np.int32(segments.vmin[k]),
                        np.int32(segments.vmax[k]),
                        incoming[start:stop],
                        lowered.bias[start:stop],
                        u[start:stop],
                        v[start:stop],
                        flags[start:stop],
                    )
                else:
                    if segments.noise[k]:
                        _draw_noise(k, segments, lowered.neuron, seeds[s], step, noise_u, noise_v)
                    wrapped = _update_general(
                        (_FULL - 1 - segments.decay_u[k]) / _FULL,
                        (_FULL - segments.decay_v[k]) / _FULL,
                        np.int32(segments.refractory[k]),
                        np.int32(segments.threshold[k]),
                        np.int32(segments.vmin[k]),
                        np.int32(segments.vmax[k]),
                        incoming[start:stop],
                        lowered.bias[start:stop],
                        noise_u[start:stop],
                        noise_v[start:stop],
                        u[start:stop],
                        v[start:stop],
                        refractory[start:stop],
                        flags[start:stop],
                    )
                overflows[s, segments.layer[k]] += wrapped
            n_fired = _collect(flags, words, fired)
            _count_by_segment(fired[:n_fired], segments, layer_spikes[s])
            for i in range(n_fired):
                v[fired[i]] = 0
            events[s] += _deliver(
                fired[:n_fired],
                lowered.routes,
                lowered.synapses,
                accumulators,
                size,
                step,
                counts[s],
            )
            if probe_spikes.shape[2]:
                _mark(fired[:n_fired], probed, probe_spikes[s, step], size)
            for e in range(len(active)):
                voltage = encoder_v[e] + drive[e]
                fires = voltage >= encoder_threshold
                encoder_v[e] = voltage - encoder_threshold * fires
                flags[e] = fires
            n_fired = _collect(flags, words, fired)
            for i in range(n_fired):
                fired[i] = active[fired[i]]
            events[s] += _deliver(
                fired[:n_fired],
                lowered.encoder_routes,
                lowered.synapses,
                accumulators,
                size,
                step,
                encoder_counts[s],
            )
            for p in range(probe_u.shape[2]):
                probe_u[s, step, p] = u[probed[p]]
            for p in range(probe_v.shape[2]):
                probe_v[s, step, p] = v[probed[p]]
        voltages[s] = v
