"""What discretised layers do on samples, spike for spike as the emulator has it.

The weights of a spike are whole numbers that 32-bit floats hold exactly, so a convolution of
spikes in floats gives the chip's accumulators; time then runs in integers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip.arithmetic import (
    ACCUMULATOR_BITS,
    CURRENT_BITS,
    DECAY_BITS,
    THRESHOLD_SHIFT,
    WEIGHT_SHIFT,
    voltage_ceiling,
    voltage_floor,
)
from nmcompile.chip.discrete import DiscreteConnection, DiscreteLayer
from nmcompile.ir.layers import Connection
from nmcompile.ir.links import CHUNK, through
from nmcompile.mapper.compiled import compiled

Spikes = NDArray[np.bool_]


def layer_spikes(
    layer: DiscreteLayer, links: Sequence[DiscreteConnection], sent: Mapping[str, Spikes]
) -> Spikes:
    """(samples, steps, neurons) spikes of a layer.

    Parameters
    ----------
    links : that end in the layer
    sent : source layer -> (samples, steps, neurons) its spikes; in the next step they arrive
    """
    samples, steps, _ = sent[links[0].link.source].shape
    spikes = np.zeros((samples, steps, layer.size), bool)
    at_once = max(1, CHUNK // steps)
    for start in range(0, samples, at_once):
        part = slice(start, start + at_once)
        gathered = np.zeros(spikes[part].shape, np.int32)
        for link in links:
            arriving = sent[link.link.source][part]
            flat = arriving.reshape(-1, arriving.shape[2]).astype(np.float32)
            added = through(_effective(link), flat).reshape(gathered.shape)
            late = min(1 + link.delay, steps)
            gathered[:, late:] += added[:, : steps - late].astype(np.int32) << WEIGHT_SHIFT
        compiled(run_layer)(
            gathered,
            layer.bias_mantissa.astype(np.int64) << layer.bias_exponent,
            layer.initial_voltage,
            (1 << DECAY_BITS) - 1 - layer.decay_u,
            (1 << DECAY_BITS) - layer.decay_v,
            layer.refractory,
            layer.threshold_mantissa << THRESHOLD_SHIFT,
            voltage_floor(layer.vmin_exponent),
            voltage_ceiling(layer.vmax_exponent),
            DECAY_BITS,
            ACCUMULATOR_BITS,
            CURRENT_BITS,
            spikes[part],
        )
    return spikes


def _effective(link: DiscreteConnection) -> Connection:
    """The connection with what a spike adds to the accumulator, in units of 2^6."""
    mantissa = link.link.weights.astype(np.int32)
    up, down = max(link.exponent, 0), max(-link.exponent, 0)
    return replace(link.link, weights=(mantissa << up >> down).astype(np.float32))


def run_layer(
    gathered: NDArray[np.int32],
    bias: NDArray[np.int64],
    initial: NDArray[np.int32],
    kept_u: int,
    kept_v: int,
    refractory: int,
    threshold: int,
    vmin: int,
    vmax: int,
    decay_bits: int,
    accumulator_bits: int,
    current_bits: int,
    spikes: Spikes,
) -> None:
    """Let time run for compartments with equal registers; the rules are `chip.arithmetic`'s.

    Parameters
    ----------
    gathered : (samples, steps, neurons) what arrives in each step
    bias, initial : (neurons,)
    kept_u, kept_v : of current and voltage after a step, in 4096ths
    spikes : (samples, steps, neurons); filled in
    """
    samples, steps, neurons = gathered.shape
    half_q, half_u = np.int64(1) << accumulator_bits, np.int64(1) << current_bits
    for s in range(samples):
        u = np.zeros(neurons, np.int64)
        v = initial.astype(np.int64)
        pause = np.zeros(neurons, np.int64)
        for step in range(steps):
            for n in range(neurons):
                q = (np.int64(gathered[s, step, n]) + half_q) % (2 * half_q) - half_q
                left = (abs(u[n]) * kept_u) >> decay_bits
                u[n] = ((left if u[n] >= 0 else -left) + q + half_u) % (2 * half_u) - half_u
                drive = (u[n] + bias[n] + half_u) % (2 * half_u) - half_u
                left = (abs(v[n]) * kept_v) >> decay_bits
                voltage = min(max((left if v[n] >= 0 else -left) + drive, vmin), vmax)
                if pause[n] > 0:
                    voltage = 0
                if voltage > threshold:
                    spikes[s, step, n] = True
                    voltage = 0
                    pause[n] = refractory
                v[n] = voltage
                pause[n] -= pause[n] > 0
