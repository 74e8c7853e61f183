"""The chip's time step, compiled: the rules of `chip.arithmetic` over flat arrays.

Each sample runs all its steps on one thread, so that its state stays in that core's cache and
no result depends on the number of threads; the kernels release the interpreter's lock. Currents and voltages are whole numbers below 2^24,
so a decay is computed exactly in float64, whose conversion to an integer rounds toward zero as
the chip does.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from nmcompile.backends.emulator.lower import Lowered, Routes, Synapses
from nmcompile.chip.arithmetic import ACCUMULATOR_BITS, CURRENT_BITS, WEIGHT_SHIFT

#: The accumulator counts in units of 2^6, so its range is that much smaller.
_HALF = 1 << (ACCUMULATOR_BITS - WEIGHT_SHIFT)
_SPAN_MASK = 2 * _HALF - 1
_CURRENT_HALF = 1 << CURRENT_BITS
_CURRENT_MASK = 2 * _CURRENT_HALF - 1
_NO_CURRENT_DECAY = 4095


@njit(cache=True, inline="always")
def _wrap_accumulator(x: int) -> int:
    return ((x + _HALF) & _SPAN_MASK) - _HALF


@njit(cache=True, inline="always")
def _wrap_current(x: int) -> int:
    return ((x + _CURRENT_HALF) & _CURRENT_MASK) - _CURRENT_HALF


@njit(cache=True, inline="always")
def _decay(x: int, kept: float) -> int:
    return np.int32(np.float64(x) * kept)


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
def _deliver(
    neuron: int, routes: Routes, synapses: Synapses, accumulators: np.ndarray, step: int
) -> None:
    """Add a spike's weights to the accumulators that take them in later steps."""
    ring = accumulators.shape[0]
    for k in range(routes.start[neuron], routes.start[neuron + 1]):
        row = routes.row[k]
        base = routes.base[k]
        for r in range(synapses.row_start[row], synapses.row_start[row + 1]):
            slot = (step + 1 + synapses.delay[r]) % ring
            length = np.int64(synapses.length[r])
            target = base + synapses.target[r]
            first = synapses.first[r]
            into = accumulators[slot, target : target + length]
            weights = synapses.weights[first : first + length]
            for i in range(length):
                into[i] += weights[i]


@njit(cache=True)
def _update_simple(
    start: int,
    stop: int,
    threshold: int,
    vmin: int,
    vmax: int,
    incoming: np.ndarray,
    bias: np.ndarray,
    u: np.ndarray,
    v: np.ndarray,
) -> int:
    """Integrate and fire: no decay of the voltage, none left of the current, no refractory time.

    Returns how many accumulators wrapped around.
    """
    wrapped = 0
    for n in range(start, stop):
        total = incoming[n]
        incoming[n] = 0
        kept = _wrap_accumulator(total)
        wrapped += kept != total
        u[n] = kept << WEIGHT_SHIFT
        v[n] = min(max(v[n] + u[n] + bias[n], vmin), vmax)
    return wrapped


@njit(cache=True)
def _update_general(
    k: int,
    lowered: Lowered,
    incoming: np.ndarray,
    u: np.ndarray,
    v: np.ndarray,
    refractory: np.ndarray,
    seed: int,
    step: int,
) -> int:
    """Any registers. Returns how many accumulators and currents wrapped around."""
    segments = lowered.segments
    kept_u = (4095 - segments.decay_u[k]) / 4096.0
    kept_v = (4096 - segments.decay_v[k]) / 4096.0
    vmin, vmax = segments.vmin[k], segments.vmax[k]
    at_voltage = segments.noise_at_voltage[k]
    noisy = segments.noise[k]
    wrapped = 0
    for n in range(segments.start[k], segments.stop[k]):
        noise = 0
        if noisy:
            noise = _noise(
                seed, lowered.neuron[n], step, segments.noise_exponent[k], segments.noise_offset[k]
            )
        total = incoming[n] * (1 << WEIGHT_SHIFT)
        incoming[n] = 0
        if noisy and not at_voltage:
            total += noise
        kept = ((total + (1 << ACCUMULATOR_BITS)) & ((2 << ACCUMULATOR_BITS) - 1)) - (
            1 << ACCUMULATOR_BITS
        )
        wrapped += kept != total
        current = _decay(u[n], kept_u) + kept
        u[n] = _wrap_current(current)
        wrapped += u[n] != current
        drive = u[n] + lowered.bias[n]
        if noisy and at_voltage:
            drive += noise
        limited = _wrap_current(drive)
        wrapped += limited != drive
        voltage = _decay(v[n], kept_v) + limited
        voltage = min(max(voltage, vmin), vmax)
        v[n] = 0 if refractory[n] > 0 else voltage
    return wrapped


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
        accumulators = np.zeros((lowered.max_delay + 1, size), np.int32)
        encoder_v = np.full(currents.shape[1], encoder_threshold // 2, np.int64)
        fired = np.empty(size, np.int32)
        for step in range(steps):
            incoming = accumulators[step % (lowered.max_delay + 1)]
            n_fired = 0
            for k in range(len(segments.start)):
                start, stop = segments.start[k], segments.stop[k]
                simple = (
                    segments.decay_u[k] == _NO_CURRENT_DECAY
                    and segments.decay_v[k] == 0
                    and segments.refractory[k] == 1
                    and segments.noise[k] == 0
                )
                threshold = segments.threshold[k]
                if simple:
                    wrapped = _update_simple(
                        start, stop, threshold, segments.vmin[k], segments.vmax[k],
                        incoming, lowered.bias, u, v,
                    )
                else:
                    wrapped = _update_general(
                        k, lowered, incoming, u, v, refractory, seeds[s], step
                    )
                before = n_fired
                for n in range(start, stop):
                    if v[n] > threshold:
                        fired[n_fired] = n
                        n_fired += 1
                if not simple:
                    for i in range(before, n_fired):
                        refractory[fired[i]] = segments.refractory[k]
                    for n in range(start, stop):
                        refractory[n] = max(refractory[n] - 1, 0)
                overflows[s, segments.layer[k]] += wrapped
                layer_spikes[s, segments.layer[k]] += n_fired - before
            for i in range(n_fired):
                n = fired[i]
                v[n] = 0
                counts[s, n] += 1
                events[s] += lowered.routes.events[n]
                _deliver(n, lowered.routes, lowered.synapses, accumulators, step)
            for e in range(currents.shape[1]):
                encoder_v[e] += currents[s, e]
                if encoder_v[e] >= encoder_threshold:
                    encoder_v[e] -= encoder_threshold
                    encoder_counts[s, e] += 1
                    events[s] += lowered.encoder_routes.events[e]
                    _deliver(e, lowered.encoder_routes, lowered.synapses, accumulators, step)
            for p in range(probe_u.shape[2]):
                probe_u[s, step, p] = u[probed[p]]
            for p in range(probe_v.shape[2]):
                probe_v[s, step, p] = v[probed[p]]
            if probe_spikes.shape[2]:
                slot_of = np.zeros(size, np.uint8)
                for i in range(n_fired):
                    slot_of[fired[i]] = 1
                for p in range(probe_spikes.shape[2]):
                    probe_spikes[s, step, p] = slot_of[probed[p]] == 1
        voltages[s] = v
