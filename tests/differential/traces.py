"""What an emulator did with a Program, step by step, and how two such traces differ."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nmcompile.backends.base import Probe
from nmcompile.backends.emulator.session import Emulator, OverflowWarning
from nmcompile.chip.program import Program

#: In the order in which a step computes them.
QUANTITIES = ("u", "v", "spikes")


@dataclass(frozen=True, eq=False)
class Trace:
    """Every compartment of a Program, core by core, at the end of every step.

    Attributes
    ----------
    u, v : (steps, compartments) int32
    spikes : (steps, compartments) bool
    wrapped : whether an accumulator, current or drive (current plus bias) wrapped around
    """

    u: NDArray[np.int32]
    v: NDArray[np.int32]
    spikes: NDArray[np.bool_]
    wrapped: bool

    @property
    def firing(self) -> float:
        """Share of the compartments that fired at least once."""
        return float(self.spikes.any(axis=0).mean())


def emulator_trace(program: Program, inputs: NDArray[np.float64]) -> Trace:
    """Our emulator's trace."""
    probes = {
        quantity: [Probe(layer.name, quantity) for layer in program.layers]
        for quantity in QUANTITIES
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OverflowWarning)
        result = Emulator(jobs=1).load(program).run(inputs, probes=sum(probes.values(), []))
    joined = {
        quantity: np.concatenate([result.probes[probe][0] for probe in probes[quantity]], axis=1)
        for quantity in QUANTITIES
    }
    return Trace(**joined, wrapped=any(result.overflows.values()))


def difference(program: Program, ours: Trace, theirs: Trace) -> str | None:
    """The first difference in words, or None."""
    sizes = [len(core.compartments) for core in program.cores]
    core_of = np.repeat(np.arange(len(sizes)), sizes)
    first_of = np.cumsum([0, *sizes])
    for step in range(len(theirs.u)):
        for quantity in QUANTITIES:
            mine, other = getattr(ours, quantity)[step], getattr(theirs, quantity)[step]
            wrong = np.flatnonzero(mine != other)
            if len(wrong):
                n = int(wrong[0])
                core = int(core_of[n])
                return (
                    f"step {step}, core {core}, compartment {n - first_of[core]}: {quantity} is "
                    f"{int(mine[n])}, nengo-loihi's {int(other[n])} ({len(wrong)} of "
                    f"{len(mine)} compartments differ)"
                )
    if ours.wrapped != theirs.wrapped:
        return f"wrapped around: {ours.wrapped}, nengo-loihi: {theirs.wrapped}"
    return None
