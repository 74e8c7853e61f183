"""What every backend offers: load a Program, run samples, return spikes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip.program import Program
from nmcompile.errors import UsageError
from nmcompile.ir.nodes import FloatArray

#: What can be probed: spikes, and the chip's names for current and voltage.
QUANTITIES = ("spikes", "u", "v")


@dataclass(frozen=True)
class Probe:
    """Record a quantity of every neuron of a layer in every step.

    Attributes
    ----------
    layer : name of a layer on the chip, or of the encoder (spikes only)
    quantity : "spikes", "u" (current) or "v" (voltage)
    """

    layer: str
    quantity: str

    @classmethod
    def parse(cls, text: str) -> Probe:
        """From ``LAYER:QUANTITY``; without a quantity, spikes.

        Raises
        ------
        UsageError
            An unknown quantity.
        """
        layer, _, quantity = text.rpartition(":") if ":" in text else (text, "", "spikes")
        if quantity not in QUANTITIES:
            raise UsageError(f"--probe {text}: {quantity!r} is none of {', '.join(QUANTITIES)}")
        return cls(layer, quantity)

    def __str__(self) -> str:
        return f"{self.layer}:{self.quantity}"


@dataclass(frozen=True, eq=False)
class Result:
    """What a run gave.

    Attributes
    ----------
    scores : (samples, outputs) float64, before a softmax
    spikes : layer name -> (samples,) int64, spikes of the whole layer per sample
    synaptic_events : (samples,) int64, weights other than 0 that spikes added to accumulators
    overflows : layer name -> how often an accumulator or current wrapped around
    probes : probe -> (samples, steps, neurons) bool or int32
    steps : time steps per sample
    backend, target : where this came from
    seconds : wall time of the run
    """

    scores: NDArray[np.float64]
    spikes: Mapping[str, NDArray[np.int64]]
    synaptic_events: NDArray[np.int64]
    overflows: Mapping[str, int]
    steps: int
    backend: str
    target: str
    seconds: float
    probes: Mapping[Probe, NDArray[np.int32] | NDArray[np.bool_]] = field(default_factory=dict)

    @property
    def answers(self) -> NDArray[np.int64]:
        """(samples,) number of the largest score."""
        return self.scores.argmax(axis=1).astype(np.int64)


class Session(Protocol):
    """A loaded Program, ready to run."""

    def run(
        self,
        inputs: FloatArray,
        steps: int | None = None,
        probes: Sequence[Probe] = (),
        first: int | None = None,
    ) -> Result:
        """Run samples, each from a fresh state; `first` numbers the first, for noise.

        Inputs are (samples, *input shape), or (samples, frames, *input shape).
        """
        ...


class Backend(Protocol):
    """Something that runs Programs."""

    def load(self, program: Program) -> Session:
        """Prepare a Program."""
        ...
