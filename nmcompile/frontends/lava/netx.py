"""Which weights of a dense layer Lava's NetX would change, where its choice of bits goes wrong.

`netx.utils.optimize_weight_bits` judges a matrix (of a recurrent layer both, side by side), shifts
it to the left and names a number of bits; Lava's `Dense` then judges the signs of each matrix anew,
clips and truncates it (lava/utils/weightutils.py), and shifts the sums back, toward minus infinity.
Most matrices lose nothing; those in which the two see other signs, or a weight is too large, do.
"""

from __future__ import annotations

from math import floor, log2

import numpy as np
from numpy.typing import NDArray

from nmcompile.frontends.lava.file import Numbers

#: Range of a matrix with both signs, bits of a weight, and the size of one without a sign bit.
LOW, HIGH, BITS, SPAN = -256, 254, 8, 255

Integers = NDArray[np.int64]


def changed(*matrices: Numbers) -> int:
    """How many weights of a layer's matrices have another value when Lava adds them up."""
    whole = [matrix.astype(np.int64) for matrix in matrices]
    joined = np.concatenate([matrix.reshape(-1) for matrix in whole])
    if not joined.any():
        return 0
    shift, bits, parts = _optimised(joined, whole)
    different = 0
    for matrix, part in zip(whole, parts, strict=True):
        run = None if shift < 0 else _run(part << shift, bits)
        if run is None:
            different += int(np.count_nonzero(matrix))
        else:
            different += int(np.count_nonzero(run != matrix << shift))
    return different


def _optimised(joined: Integers, parts: list[Integers]) -> tuple[int, int, list[Integers]]:
    """Shift, bits and clipped matrices that NetX decides on."""
    low, high = int(joined.min()), int(joined.max())
    if (high > HIGH and low < 0) or (low < LOW and high > 0):
        joined, parts = joined.clip(LOW, HIGH), [part.clip(LOW, HIGH) for part in parts]
        low, high = int(joined.min()), int(joined.max())
    signed = low < 0 <= high
    if signed:
        room = min(127 / high if high else np.inf, -128 / low)
    else:
        room = SPAN / high if high > 0 else LOW / low
    shift = floor(log2(room)) + signed
    zeros = next(n for n in range(BITS, -1, -1) if n == 0 or not np.any(joined % (1 << n)))
    return shift, BITS - shift - (zeros - signed), parts


def _run(weights: Integers, bits: int) -> Integers | None:
    """What Lava's synapses make of a matrix; None where they truncate by less than nothing."""
    signed = bool(weights.min(initial=0) < 0 < weights.max(initial=0))
    flip = -1 if not signed and weights.min(initial=0) < 0 else 1
    gone = BITS - bits + signed
    if gone < 0:
        return None
    clipped = (weights * flip).clip(LOW if signed else 0, SPAN)
    return (clipped >> gone << gone) * flip
