"""The chip's exact firing period for a constant drive, in its integer arithmetic."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nmcompile.chip.arithmetic import DECAY_BITS


def rate_curve(
    drive: ArrayLike, decay_v: int, threshold: int, refractory: int = 1
) -> NDArray[np.int64]:
    """Steps from one spike to the next of a compartment that a constant drive charges.

    The voltage only grows until it fires or stands still: decay keeps the order of voltages, and
    the first step starts from zero. So it is followed until one of both happens. The voltage
    limits are taken as wide open, as the compiler sets them.

    Parameters
    ----------
    drive : current plus bias in every step, in integer voltage units, of any shape
    decay_v : register of the membrane's decay, 0..4095; 0 for none
    threshold : firing threshold in voltage units, ``mantissa * 2**6``; strictly greater fires
    refractory : register of the refractory delay in steps, 1 for none

    Returns
    -------
    periods of the drive's shape, in steps; 0 where it never fires
    """
    given = np.asarray(drive, np.int64)
    distinct, place = np.unique(given, return_inverse=True)
    pause = max(refractory - 1, 0)
    periods = np.zeros(len(distinct), np.int64)
    active = np.flatnonzero(distinct > 0)
    if decay_v == 0:
        periods[active] = threshold // distinct[active] + 1 + pause
        return periods[place].reshape(given.shape)
    kept = (1 << DECAY_BITS) - decay_v
    current = distinct[active]
    voltage = np.zeros_like(current)
    step = 0
    while len(active):
        step += 1
        after = (voltage * kept >> DECAY_BITS) + current
        fired = after > threshold
        periods[active[fired]] = step + pause
        going = ~fired & (after > voltage)
        active, current, voltage = active[going], current[going], after[going]
    return periods[place].reshape(given.shape)
