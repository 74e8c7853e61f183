"""What an emulator did with a Program, step by step: recorded, and compared.

A recording is an .npz file with one element a Program in `seeds`, `digests`, `compartments` and
`wrapped`, and the states of all Programs end to end, each compartment's steps side by side, in
`u`, `v` and `spikes` (bits, each Program's from a fresh byte).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nmcompile.backends.base import Probe
from nmcompile.backends.emulator.session import Emulator, OverflowWarning
from nmcompile.chip.program import Program

#: In the order in which a step computes them.
QUANTITIES = ("u", "v", "spikes")
#: Share of a Program's compartments that must fire for the Program to count.
FIRING = 0.05


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


@dataclass(frozen=True, eq=False)
class Recording:
    """A seed, the digest of the Program that it gave where recorded, and the trace."""

    seed: int
    digest: str
    trace: Trace


def save_recordings(path: Path, recordings: Sequence[Recording]) -> None:
    """Write a recording; equal recordings give equal bytes."""
    traces = [recording.trace for recording in recordings]
    np.savez_compressed(
        path,
        seeds=np.array([recording.seed for recording in recordings], np.int64),
        digests=np.array([recording.digest for recording in recordings]),
        compartments=np.array([trace.u.shape[1] for trace in traces], np.int64),
        wrapped=np.array([trace.wrapped for trace in traces]),
        u=np.concatenate([trace.u.T.ravel() for trace in traces]),
        v=np.concatenate([trace.v.T.ravel() for trace in traces]),
        spikes=np.concatenate([np.packbits(trace.spikes.T.ravel()) for trace in traces]),
    )


def load_recordings(path: Path, steps: int) -> list[Recording]:
    """Read what `save_recordings` wrote."""
    with np.load(path) as file:
        stored = {name: file[name] for name in file.files}
    cells = stored["compartments"] * steps
    cuts = np.cumsum(cells)[:-1]
    u, v = np.split(stored["u"], cuts), np.split(stored["v"], cuts)
    spikes = np.split(stored["spikes"], np.cumsum(-(-cells // 8))[:-1])
    return [
        Recording(
            int(stored["seeds"][k]),
            str(stored["digests"][k]),
            Trace(
                u[k].reshape(-1, steps).T,
                v[k].reshape(-1, steps).T,
                np.unpackbits(spikes[k], count=cells[k]).reshape(-1, steps).T.astype(bool),
                bool(stored["wrapped"][k]),
            ),
        )
        for k in range(len(cells))
    ]


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
