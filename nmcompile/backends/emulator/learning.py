"""Learning by PES: traces and weights of the synapses that learn.

The rules are those of `chip.arithmetic`, over arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.backends.emulator.draws import Draws
from nmcompile.backends.emulator.fanout import Fanout
from nmcompile.backends.emulator.plastic import Plastic
from nmcompile.backends.emulator.rows import ranges, shifted
from nmcompile.chip.arithmetic import (
    LEARN_FRACTION,
    LEARN_OVERFLOW,
    TRACE_MAX,
    TRACE_UNIT,
)

#: Columns of `Plastic.rule`.
_IMPULSE, _TAU, _TRACE_EPOCH, _LEARN_EPOCH, _MANTISSA, _EXPONENT = range(6)


class Learner:
    """State of all synapses that learn.

    Attributes
    ----------
    traces : (axons,) int64
    mantissas : (synapses,) int64
    spiked : (axons,) bool; whether a spike came since the trace's last epoch
    lost : spikes that came when there was one already, so that the trace misses them
    clipped_traces, clipped_weights : values that reached their limit
    """

    def __init__(self, plastic: Plastic) -> None:
        self.plastic = plastic
        self.traces = np.zeros(len(plastic.source), np.int64)
        self.mantissas = plastic.mantissa.copy()
        self.spiked = np.zeros(len(plastic.source), bool)
        self.lost = self.clipped_traces = self.clipped_weights = 0

    def note(self, spikes: NDArray[Any], fanout: Fanout, axon_of_run: NDArray[np.int64]) -> None:
        """Remember which axons spikes enter by."""
        if not len(spikes):
            return
        spans = fanout.spans[spikes]
        axons = axon_of_run[ranges(spans[:, 0], spans[:, 1] - spans[:, 0])]
        axons = axons[axons >= 0]
        fresh = len(np.unique(axons[~self.spiked[axons]]))
        self.lost += len(axons) - fresh
        self.spiked[axons] = True

    def advance(
        self, step: int, errors: NDArray[np.int64], weights: NDArray[Any], draws: Draws
    ) -> None:
        """Traces, then weights, where the step ends an epoch.

        Parameters
        ----------
        step : number of the step
        errors : (compartments,) -127..127
        weights : of the lowered Program; changed in place
        """
        rule = self.plastic.rule
        due = np.flatnonzero((step + 1) % rule[:, _TRACE_EPOCH] == 0)
        if len(due):
            self._update_traces(due, draws.traces(self.plastic, due, step))
        learns = (step + 1) % rule[:, _LEARN_EPOCH] == 0
        if learns.any():
            synapses = np.flatnonzero(learns[self.plastic.axon])
            draw = draws.weights(self.plastic, synapses, step)
            self._update_weights(synapses, errors, draw)
            weights[self.plastic.weight[synapses]] = shifted(
                self.mantissas[synapses], self.plastic.exponent[synapses]
            )

    def _update_traces(self, due: NDArray[np.int64], draw: NDArray[np.float64]) -> None:
        grown = np.where(self.spiked[due], self.plastic.rule[due, _IMPULSE] / TRACE_UNIT, 0.0)
        rounded = _round(self.plastic.kept[due] * self.traces[due] + grown, draw)
        self.clipped_traces += int((rounded > TRACE_MAX).sum())
        self.traces[due] = np.minimum(rounded, TRACE_MAX)
        self.spiked[due] = False

    def _update_weights(
        self, synapses: NDArray[np.int64], errors: NDArray[np.int64], draw: NDArray[np.float64]
    ) -> None:
        plastic = self.plastic
        axon, step = plastic.axon[synapses], plastic.step[synapses]
        change = shifted(
            self.traces[axon]
            * errors[plastic.compartment[synapses]]
            * plastic.rule[axon, _MANTISSA],
            LEARN_FRACTION + plastic.rule[axon, _EXPONENT] - LEARN_OVERFLOW,
        )
        fine = (self.mantissas[synapses] << LEARN_FRACTION) + change
        limit = 256 // step - 1
        rounded = _round(fine / (step << LEARN_FRACTION), draw)
        self.clipped_weights += int((np.abs(rounded) > limit).sum())
        self.mantissas[synapses] = np.clip(rounded, -limit, limit) * step


def _round(x: NDArray[np.float64], draw: NDArray[np.float64]) -> NDArray[np.int64]:
    """`chip.arithmetic.round_stochastically` of arrays."""
    size = np.abs(x)
    whole = np.floor(size)
    rounded = (whole + (size - whole > draw)).astype(np.int64)
    return np.where(x >= 0, rounded, -rounded)
