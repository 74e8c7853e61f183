"""Recorded traces: an .npz file of many Programs, kept small by leaving out what follows.

A recording holds, for each Program, its seed, its digest and the spikes as they were, and the
currents and voltages less what the registers and the recorded states one step before lead to
(`registers`): mostly zeros. Adding that again gives back exactly what was recorded, whether it
was right or not. Elements: `seeds`, `digests`, `compartments` and `wrapped` (-1 for None), one
element a Program; `u`, `v` and `spikes`, all Programs end to end, each compartment's steps side
by side, the bits of each Program's spikes from a fresh byte.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from registers import Registers
from traces import Trace

from nmcompile.chip.program import Program


@dataclass(frozen=True, eq=False)
class Recording:
    """A seed, the digest of the Program that it gave where recorded, and what was left over.

    Attributes
    ----------
    u, v : (steps, compartments) int32, less what follows
    spikes : (steps, compartments) bool
    """

    seed: int
    digest: str
    wrapped: bool | None
    u: NDArray[np.int32]
    v: NDArray[np.int32]
    spikes: NDArray[np.bool_]

    @staticmethod
    def of(seed: int, digest: str, program: Program, trace: Trace) -> Recording:
        registers = Registers.of(program)
        before = np.concatenate([np.zeros_like(trace.v[:1]), trace.v[:-1]]).astype(np.int64)
        expected = registers.settled(before, trace.u.astype(np.int64))
        expected[trace.spikes | registers.waiting(trace.spikes)] = 0
        return Recording(
            seed,
            digest,
            trace.wrapped,
            registers.gathered(trace.u).astype(np.int32),
            (trace.v - expected).astype(np.int32),
            trace.spikes,
        )

    def trace(self, program: Program) -> Trace:
        """What was recorded."""
        registers = Registers.of(program)
        still = self.spikes | registers.waiting(self.spikes)
        u, v = (np.zeros(self.u.shape, np.int64) for _ in range(2))
        for step in range(len(u)):
            before = max(step - 1, 0)  # Zeros, at the start.
            u[step] = self.u[step] + registers.kept(u[before])
            expected = registers.settled(v[before], u[step])
            v[step] = self.v[step] + np.where(still[step], 0, expected)
        return Trace(u.astype(np.int32), v.astype(np.int32), self.spikes, self.wrapped)


def save_recordings(path: Path, recordings: Iterable[Recording]) -> None:
    """Write recordings; equal ones give equal bytes."""
    all_of = list(recordings)
    np.savez_compressed(
        path,
        seeds=np.array([one.seed for one in all_of], np.int64),
        digests=np.array([one.digest for one in all_of]),
        compartments=np.array([one.u.shape[1] for one in all_of], np.int64),
        wrapped=np.array([-1 if one.wrapped is None else one.wrapped for one in all_of], np.int8),
        u=np.concatenate([one.u.T.ravel() for one in all_of]),
        v=np.concatenate([one.v.T.ravel() for one in all_of]),
        spikes=np.concatenate([np.packbits(one.spikes.T.ravel()) for one in all_of]),
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
            None if stored["wrapped"][k] < 0 else bool(stored["wrapped"][k]),
            u[k].reshape(-1, steps).T,
            v[k].reshape(-1, steps).T,
            np.unpackbits(spikes[k], count=cells[k]).reshape(-1, steps).T.astype(bool),
        )
        for k in range(len(cells))
    ]
