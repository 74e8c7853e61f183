"""How the neurons of a layer fire, summed up batch by batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nmcompile.analysis.diagnosis import Rates
from nmcompile.analysis.samples import SATURATED, Firing
from nmcompile.ir.nodes import FloatArray


@dataclass(eq=False)
class SpikeSums:
    """Sums over samples of a layer's spikes, and of the float activations that they stand for.

    Attributes
    ----------
    neurons : of the layer
    fired : (neurons,) whether each has fired at all
    """

    neurons: int
    fired: NDArray[np.bool_]
    samples: int = 0
    spikes: int = 0
    most: int = 0
    silent: int = 0
    saturated: int = 0
    silent_float: int = 0
    beyond: int = 0

    def add(self, spikes: NDArray[np.int64], window: Firing) -> None:
        """(samples, neurons) spike counts."""
        self.samples += len(spikes)
        self.spikes += int(spikes.sum())
        self.most = max(self.most, int(spikes.max(initial=0)))
        self.silent += int(np.count_nonzero(spikes == 0))
        self.saturated += int(np.count_nonzero(spikes >= SATURATED * window.most))
        self.fired |= (spikes > 0).any(axis=0)

    def compare(self, wanted: FloatArray, beyond: NDArray[np.bool_]) -> None:
        """Float activations of the same samples, and which of them no rate expresses."""
        self.silent_float += int(np.count_nonzero(wanted <= 0))
        self.beyond += int(np.count_nonzero(beyond))

    def rates(self, window: Firing, dt_s: float, compared: bool) -> Rates:
        """What all that was added amounts to; `compared` where float activations were."""
        seconds, total = window.steps * dt_s, max(self.samples * self.neurons, 1)
        return Rates(
            mean_hz=self.spikes / total / seconds,
            highest_hz=min(self.most, window.most) / seconds,
            possible_hz=window.most / seconds,
            most_spikes=self.most,
            silent=self.silent / total,
            idle=float((~self.fired).mean()),
            silent_float=self.silent_float / total if compared else None,
            saturated=self.saturated / total,
            beyond=self.beyond / total if compared else None,
        )
