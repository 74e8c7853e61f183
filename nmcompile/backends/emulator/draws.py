"""Random draws of the chip: of its noise, and of the stochastic rounding of what learns.

The chip's own generators cannot be reproduced, so draws depend on a seed, on the neuron or
synapse, and on the step, and not on how a network was partitioned or run.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nmcompile.backends.emulator.plastic import Plastic


class Draws(Protocol):
    """Where a running chip takes its random numbers from."""

    seed: int

    def traces(self, plastic: Plastic, axons: NDArray[np.int64], step: int) -> NDArray[np.float64]:
        """(axons,) numbers in 0..1 that round the traces of some learning axons."""
        ...

    def weights(
        self, plastic: Plastic, synapses: NDArray[np.int64], step: int
    ) -> NDArray[np.float64]:
        """(synapses,) numbers in 0..1 that round the weights of some learning synapses."""
        ...

    def noise(self, steps: int, compartments: int) -> NDArray[np.int32]:
        """(steps, compartments) in -127..127; or (steps, 0), for noise keyed by `seed`."""
        ...


class KeyedDraws:
    """Draws that depend on seed, neuron or synapse, and step alone.

    `chip.arithmetic.uniform_draw` and `noise_draw` are the same, one at a time.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def traces(self, plastic: Plastic, axons: NDArray[np.int64], step: int) -> NDArray[np.float64]:
        """See `Draws`."""
        return uniform_draws(self.seed, plastic.source[axons], np.full(len(axons), -1), step)

    def weights(
        self, plastic: Plastic, synapses: NDArray[np.int64], step: int
    ) -> NDArray[np.float64]:
        """See `Draws`."""
        source = plastic.source[plastic.axon[synapses]]
        return uniform_draws(self.seed, source, plastic.neuron[synapses], step)

    def noise(self, steps: int, compartments: int) -> NDArray[np.int32]:
        """See `Draws`."""
        return np.zeros((steps, 0), np.int32)


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_STEP = np.uint64(0xD1B54A32D192ED03)


def uniform_draws(
    seed: int, source: NDArray[np.int64], target: NDArray[np.int64], step: int
) -> NDArray[np.float64]:
    """`chip.arithmetic.uniform_draw` of arrays."""
    with np.errstate(over="ignore"):
        start = _mix(np.array([seed % (1 << 64)], np.uint64) + _GOLDEN)
        key = _mix(start ^ ((source + 1).astype(np.uint64) * _GOLDEN))
        key = _mix(key ^ ((target + 2).astype(np.uint64) * _FIRST))
        key = _mix(key ^ (np.array([step + 1], np.uint64) * _STEP))
    return (key >> np.uint64(11)) / float(1 << 53)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """`chip.arithmetic.mix` of an array."""
    x = (x ^ (x >> np.uint64(30))) * _FIRST
    x = (x ^ (x >> np.uint64(27))) * _SECOND
    return x ^ (x >> np.uint64(31))
