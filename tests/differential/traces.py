"""What an emulator did with a Program, step by step, and where two differ."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from dialects import Dialect
from numpy.typing import NDArray
from registers import Registers, wrapped

from nmcompile.backends.base import Probe
from nmcompile.backends.emulator.session import Emulator, OverflowWarning
from nmcompile.chip.arithmetic import CURRENT_BITS
from nmcompile.chip.program import Program

#: In the order in which a step computes them.
QUANTITIES = ("u", "v", "spikes")
#: Share of a Program's compartments that must fire for the Program to count.
FIRING = 0.05
TOO_QUIET = f"less than {FIRING:.0%} fire"


@dataclass(frozen=True, eq=False)
class Trace:
    """Every compartment of a Program, core by core, at the end of every step.

    Attributes
    ----------
    u, v : (steps, compartments) int32
    spikes : (steps, compartments) bool
    wrapped : whether an accumulator, current or drive (current plus bias) wrapped around;
        None where an emulator does not say
    """

    u: NDArray[np.int32]
    v: NDArray[np.int32]
    spikes: NDArray[np.bool_]
    wrapped: bool | None

    @property
    def firing(self) -> float:
        """Share of the compartments that fired at least once."""
        return float(self.spikes.any(axis=0).mean())


def emulator_trace(program: Program, inputs: NDArray[np.float64]) -> Trace:
    """Our emulator's trace."""
    names = [layer.name for layer in program.layers]
    probes = [Probe(name, quantity) for quantity in QUANTITIES for name in names]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OverflowWarning)
        result = Emulator(jobs=1).load(program).run(inputs, probes=probes)
    u, v, spikes = (
        np.concatenate([result.probes[Probe(name, quantity)][0] for name in names], axis=1)
        for quantity in QUANTITIES
    )
    return Trace(u, v, spikes, wrapped=any(result.overflows.values()))


def unequal(dialect: Dialect, program: Program, theirs: Trace) -> str | None:
    """Why a Program has no equal in a reference after all: what happens that it does not model.

    Judged by the reference's own trace.
    """
    apart = wrapped(program, theirs.u) - dialect.wraps
    if apart:
        return f"{min(apart)} wraps around"
    if "current" in dialect.wraps and (theirs.u == 1 << CURRENT_BITS).any():
        return "current wraps around"  # Lava's register holds this one value more.
    if not dialect.clips and (theirs.v < Registers.of(program).floor).any():
        return "voltage clips"
    if theirs.firing < FIRING:
        return TOO_QUIET
    return None


def difference(
    program: Program, ours: Trace, theirs: Trace, reference: str, seed: int | None = None
) -> str | None:
    """The first difference in words, or None."""
    sizes = [len(core.compartments) for core in program.cores]
    core_of = np.repeat(np.arange(len(sizes)), sizes)
    first_of = np.cumsum([0, *sizes])
    label = "" if seed is None else f"seed {seed}, "
    wrong = {name: getattr(ours, name) != getattr(theirs, name) for name in QUANTITIES}
    steps = np.flatnonzero(np.any([where.any(axis=1) for where in wrong.values()], axis=0))
    if len(steps):
        step = int(steps[0])
        quantity = next(name for name in QUANTITIES if wrong[name][step].any())
        places = np.flatnonzero(wrong[quantity][step])
        n = int(places[0])
        core = int(core_of[n])
        mine, other = (int(getattr(trace, quantity)[step, n]) for trace in (ours, theirs))
        return (
            f"{label}step {step}, core {core}, compartment {n - first_of[core]}: {quantity} is "
            f"{mine}, {reference}'s {other} ({len(places)} of {len(core_of)} compartments differ)"
        )
    if theirs.wrapped is not None and ours.wrapped != theirs.wrapped:
        return f"{label}wrapped around: {ours.wrapped}, {reference}: {theirs.wrapped}"
    return None
