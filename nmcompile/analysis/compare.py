"""Compares two runs of a network, such as one on a board and one on the emulator."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.analysis.compare_result import (
    Moment,
    ProbeComparison,
    RunComparison,
    TotalComparison,
)
from nmcompile.backends.base import Probe
from nmcompile.backends.result_file import PLACE, ResultFile, places
from nmcompile.chip.file import program_checksum
from nmcompile.chip.program import Program
from nmcompile.errors import DataError

#: Relative difference of scores that is no difference: hosts may add floats in another order.
TOLERANCE = 1e-9
#: What a step computes first: a current gives a voltage, and a voltage a spike.
ORDER = ("u", "v", "spikes")


def compare_runs(
    a: ResultFile, b: ResultFile, program: Program | None = None, tolerance: float = TOLERANCE
) -> RunComparison:
    """Compare what both files hold, in the samples and steps that both have.

    Parameters
    ----------
    program : says where neurons sit, for files that do not
    tolerance : largest difference of scores, relative to the larger one, that is none

    Raises
    ------
    DataError
        A damaged file, or two that have nothing in common.
    """
    if program is not None:
        known = [file.meta["program_sha256"] for file in (a, b) if "program_sha256" in file.meta]
        if known and program_checksum(program) not in known:
            raise DataError("neither run is of the Program that is given; give that of one of them")
    samples, steps = min(a.samples, b.samples), min(a.steps, b.steps)
    notes, faults = _notes(a, b), []
    probes, moments = [], []
    for probe in (each for each in a.probes if each in b.probes):
        one, two = (file.array(f"probe/{probe}")[:samples, :steps] for file in (a, b))
        if one.shape != two.shape:
            faults.append(f"{probe.layer} has {one.shape[2]} neurons in A and {two.shape[2]} in B")
            continue
        found, moment = _probe(probe, one, two)
        probes.append(found)
        moments += [moment] if moment is not None else []
    totals = _totals(a, b, samples, tolerance, faults) if a.steps == b.steps else []
    if not (probes or totals or faults):
        raise DataError(f"{a.path} and {b.path} have no samples, probes or layers in common")
    first = min(
        moments, key=lambda each: (each.step, each.sample, ORDER.index(each.quantity)), default=None
    )
    return RunComparison(
        str(a.path),
        str(b.path),
        samples,
        steps,
        tuple(probes),
        tuple(totals),
        None if first is None else _placed(first, a, b, program),
        tuple(dict.fromkeys(faults)),
        tuple(notes),
    )


def _notes(a: ResultFile, b: ResultFile) -> list[str]:
    """What both do not have, and what was run otherwise."""
    notes = []
    for key, words in (("program_sha256", "Programs"), ("input_sha256", "inputs")):
        if {key} <= a.meta.keys() & b.meta.keys() and a.meta[key] != b.meta[key]:
            notes.append(f"the two ran different {words}")
    if a.samples != b.samples:
        notes.append(f"A has {a.samples} samples, B {b.samples}: the first of both are compared")
    if a.steps != b.steps:
        notes.append(
            f"A has {a.steps} steps, B {b.steps}: probes are compared in those of both, and "
            "totals, scores and answers are not"
        )
    for one, other, side in ((a, b, "A"), (b, a, "B")):
        alone = [str(probe) for probe in one.probes if probe not in other.probes]
        if alone:
            notes.append(f"only {side} has the probes {', '.join(alone)}")
        names = [x for x in one.names if x.startswith("spikes/") and x not in other.names]
        if names and any(x.startswith("spikes/") for x in other.names):
            layers = ", ".join(name.removeprefix("spikes/") for name in names)
            notes.append(f"only {side} has the layers {layers}")
    return notes


def _probe(probe: Probe, a: NDArray[Any], b: NDArray[Any]) -> tuple[ProbeComparison, Moment | None]:
    """How (samples, steps, neurons) differ, and where first: earliest step, then sample."""
    differs = a != b
    per_step = differs.sum(axis=(0, 2))
    if not per_step.any():
        return ProbeComparison(probe.layer, probe.quantity, int(a.size)), None
    step = int(np.flatnonzero(per_step)[0])
    sample, neuron = (int(k) for k in np.argwhere(differs[:, step])[0])
    gap = np.abs(a[differs].astype(np.int64) - b[differs].astype(np.int64))
    found = ProbeComparison(
        layer=probe.layer,
        quantity=probe.quantity,
        values=int(a.size),
        different=int(per_step.sum()),
        samples=int(differs.any(axis=(1, 2)).sum()),
        neurons=int(differs.any(axis=(0, 1)).sum()),
        first_step=step,
        largest=int(gap.max()),
        per_step=tuple(per_step.tolist()),
    )
    one, two = (int(each[sample, step, neuron]) for each in (a, b))
    return found, Moment(sample, step, probe.layer, neuron, probe.quantity, one, two)


def _totals(
    a: ResultFile, b: ResultFile, samples: int, tolerance: float, faults: list[str]
) -> list[TotalComparison]:
    """Spikes by layer, synaptic events, scores and answers, of what both have."""
    totals = []
    fixed = ("synaptic_events", "scores", "answers")
    names = [name for name in a.names if name.startswith("spikes/")]
    for name in (*names, *fixed):
        if name not in a.names or name not in b.names or not samples:
            continue
        one, two = (file.array(name)[:samples] for file in (a, b))
        words = "synaptic events" if name == "synaptic_events" else name
        words = words.replace("spikes/", "spikes of ", 1)
        if one.shape != two.shape:
            faults.append(f"{words} are {one.shape[1]} in A and {two.shape[1]} in B")
            continue
        totals.append(_total(words, one, two, tolerance if name == "scores" else 0.0))
    return totals


def _total(name: str, a: NDArray[Any], b: NDArray[Any], tolerance: float) -> TotalComparison:
    one, two = (each.reshape(len(each), -1).astype(np.float64) for each in (a, b))
    close = np.isclose(one, two, rtol=tolerance, atol=0, equal_nan=True)
    wrong = ~close.all(axis=1)
    if not wrong.any():
        return TotalComparison(name, len(one))
    first = int(np.flatnonzero(wrong)[0])
    worst = int(np.nan_to_num(np.abs(one[first] - two[first]), nan=np.inf).argmax())
    return TotalComparison(
        name, len(one), int(wrong.sum()), first, float(one[first, worst]), float(two[first, worst])
    )


def _placed(first: Moment, a: ResultFile, b: ResultFile, program: Program | None) -> Moment:
    """A moment with the shape of its layer, and the place of its neuron, where known."""
    known: Mapping[str, NDArray[Any]] = {} if program is None else places(program)
    shape = a.shape(first.layer) or b.shape(first.layer)
    if program is not None and first.layer in known:
        shape = program.layer(first.layer).shape
    if shape is not None and prod(shape) <= first.neuron:
        shape = None
    name = f"place/{first.layer}"
    place = known.get(first.layer)
    for file in (a, b):
        if place is None and name in file.names:
            place = file.array(name)
    if place is not None and (place.shape[1:] != (len(PLACE),) or len(place) <= first.neuron):
        place = None
    row = None if place is None else tuple(int(k) for k in place[first.neuron])
    return Moment(**{**vars(first), "shape": shape, "place": row})
