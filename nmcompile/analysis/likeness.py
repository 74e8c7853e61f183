"""How like two sets of activations are, summed up batch by batch."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Likeness:
    """How like a layer's activations are to those of the float network.

    Attributes
    ----------
    correlation : over neurons and samples; None where one side does not vary
    relative_error : root of the summed squared differences by that of the summed squares of the
        float network; None where that is all zeros
    """

    correlation: float | None
    relative_error: float | None


class LikenessSums:
    """Sums from which a Likeness follows."""

    def __init__(self) -> None:
        self._count = 0
        self._sums = np.zeros(6)

    def add(self, wanted: NDArray[Any], given: NDArray[Any]) -> None:
        """Two arrays of one shape, `wanted` those of the float network."""
        a = wanted.reshape(-1).astype(np.float64)
        b = given.reshape(-1).astype(np.float64)
        off = b - a
        self._count += len(a)
        self._sums += [a.sum(), b.sum(), a @ a, b @ b, a @ b, off @ off]

    def likeness(self) -> Likeness:
        """Of all that was added."""
        count = max(self._count, 1)
        a, b, aa, bb, ab, off = self._sums.tolist()
        spread_a, spread_b = aa - a * a / count, bb - b * b / count
        varied = spread_a > 1e-12 * aa and spread_b > 1e-12 * bb
        return Likeness(
            correlation=(ab - a * b / count) / sqrt(spread_a * spread_b) if varied else None,
            relative_error=sqrt(off / aa) if aa else None,
        )
