"""The registers of neurons that are quantised already, and what such neurons do in one step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: A decay of so much forgets everything; a current's register counts from one.
DECAY_UNITY = 4096


@dataclass(frozen=True)
class Registers:
    """A layer's integer neuron, in the units of the chip.

    Its weights, bias and threshold are whole numbers of the voltage's unit, held as floats.

    Attributes
    ----------
    decay_u : 0..4095; a step takes ``decay_u + 1`` parts of 4096 from the current
    decay_v : 0..4095; a step takes so many parts of 4096 from the voltage
    refractory : steps until it may fire again, 1 for the next one
    """

    decay_u: int
    decay_v: int
    refractory: int = 1

    @property
    def lost_u(self) -> float:
        """Share of the current that a step forgets."""
        return (self.decay_u + 1) / DECAY_UNITY

    @property
    def lost_v(self) -> float:
        """Share of the voltage that a step forgets."""
        return self.decay_v / DECAY_UNITY

    def step(
        self, u: NDArray[np.int64], v: NDArray[np.int64], drive: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Current and voltage a step later, before any spike and where no register overflows."""
        u = decayed(u, self.decay_u + 1) + drive
        return u, decayed(v, self.decay_v) + u

    def describe(self) -> str:
        """All registers in a few words."""
        words = f"decay_u {self.decay_u}, decay_v {self.decay_v}"
        return words if self.refractory == 1 else f"{words}, refractory {self.refractory}"


def decayed(x: NDArray[np.int64], rate: int) -> NDArray[np.int64]:
    """Whole numbers less so many parts of 4096, rounded toward zero."""
    return np.sign(x) * (np.abs(x) * (DECAY_UNITY - rate) // DECAY_UNITY)
