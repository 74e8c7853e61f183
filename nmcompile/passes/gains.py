"""What a spike stands for: the amplitudes at which rates fit float activations best."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nmcompile.ir.nodes import FloatArray

#: A correction beyond this factor says that calibration saw too little; it is cut off there.
LARGEST_CORRECTION = 2.0
#: Sum of squared rates at which a group's own gain and its layer's count the same.
RIDGE = 1.0


def best_gain(rate: FloatArray, wanted: FloatArray) -> float:
    """The factor on rates that leaves the least squared error; 0 where all are silent."""
    power = float((rate.astype(np.float64) ** 2).sum())
    return float((rate.astype(np.float64) * wanted).sum()) / power if power else 0.0


def fitted_gains(
    rate: FloatArray, wanted: FloatArray, usual: float, group: NDArray[np.int64]
) -> tuple[float, FloatArray]:
    """Amplitude of a layer, and of each of its neurons.

    Parameters
    ----------
    rate, wanted : (samples, neurons) spikes per step, and activations that these should stand for
    usual : amplitude so far, of which no new one is more than twice or less than half
    group : (neurons,) numbers of groups; neurons of one have the same amplitude

    Returns
    -------
    the layer's amplitude, and (neurons,) those of the groups, drawn towards it where they fire
    little
    """
    amplitude = float(_limited(best_gain(rate, wanted) or usual, usual))
    product = np.bincount(group, weights=(rate * wanted).sum(axis=0)) + RIDGE * amplitude
    power = np.bincount(group, weights=(rate**2).sum(axis=0)) + RIDGE
    return amplitude, _limited(product / power, amplitude).astype(np.float32)[group]


def mean_error(wanted: FloatArray, found: FloatArray, channels: int) -> FloatArray:
    """(neurons,) what the activations of each neuron's channel lack in the mean.

    Parameters
    ----------
    wanted, found : (samples, neurons), channels last
    """
    error = (wanted - found).reshape(-1, channels).mean(axis=0)
    return np.tile(error, wanted.shape[1] // channels)


def _limited(gain: NDArray[np.float64] | float, usual: float) -> NDArray[np.float64]:
    low, high = usual / LARGEST_CORRECTION, usual * LARGEST_CORRECTION
    return np.clip(np.asarray(gain, np.float64), low, high)
