"""Neurons with a hard reset in floats, step by step: what training layers are held to."""

from math import exp

import numpy as np

from nmcompile.ir.nodes import Spiking


def hard_reset_spikes(
    drive: np.ndarray, bias: np.ndarray, neuron: Spiking, dt_s: float
) -> np.ndarray:
    """(samples, steps, neurons) spikes of neurons whose voltage is set to zero by a spike.

    Parameters
    ----------
    drive : (samples, steps, neurons) input that arrives, in units of the activation
    bias : (neurons,) in the same units
    """
    keep_u = exp(-dt_s / neuron.synapse_s) if neuron.synapse_s else 0.0
    keep_v = exp(-dt_s / neuron.tau_rc_s) if neuron.tau_rc_s else 1.0
    pause = round(neuron.refractory_s / dt_s)
    samples, steps, size = drive.shape
    u = np.zeros((samples, size), np.float32)
    v = np.zeros((samples, size), np.float32)
    resting = np.zeros((samples, size), np.int32)
    spikes = np.zeros(drive.shape, bool)
    for step in range(steps):
        u = keep_u * u + (1 - keep_u) * drive[:, step]
        v = keep_v * v + u + bias
        if pause:
            v[resting > 0] = 0
        fired = v > neuron.threshold
        v[fired] = 0
        if pause:
            resting = np.maximum(np.where(fired, pause + 1, resting) - 1, 0)
        spikes[:, step] = fired
    return spikes
