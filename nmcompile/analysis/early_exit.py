"""Answers before the last step: when the best score's lead is safe, and what that saves.

The lead is the difference of the two largest scores times the steps that they were counted
over: it grows with time as evidence does, so one margin serves early and late steps. The
margin is chosen on calibration samples, as the smallest at which answers hardly ever change.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nmcompile.analysis.samples import read_probes, scores_over_time
from nmcompile.backends.emulator import Emulator
from nmcompile.chip.program import Program
from nmcompile.errors import UsageError
from nmcompile.host.decoder import step_weights
from nmcompile.ir.nodes import FloatArray
from nmcompile.passes.base import NmcompileWarning

#: Margins that are tried, as shares of the usual lead at the last step.
MARGINS = np.linspace(0.05, 1.5, 59)
#: Samples that are run at a time.
BATCH = 250


@dataclass(frozen=True, eq=False)
class Exits:
    """When samples are answered, and how.

    Attributes
    ----------
    steps : (samples,) steps that each sample takes
    answers : (samples,) number of the largest score then
    """

    steps: NDArray[np.int64]
    answers: NDArray[np.int64]


def leads(program: Program, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """(samples, steps) lead of the best score; zero before any input can have reached it."""
    steps = scores.shape[1]
    depth = max(program.layer(name).depth for name in program.read_out.layers)
    counted = np.zeros(steps)
    for step in range(depth, steps):
        weights = step_weights(program, step + 1)
        counted[step] = weights[depth:].sum() / max(int(weights.max()), 1)
    if scores.shape[2] < 2:
        return np.zeros(scores.shape[:2])
    top = np.sort(scores, axis=2)[:, :, -2:]
    return (top[:, :, 1] - top[:, :, 0]) * counted


def exits(program: Program, scores: NDArray[np.float64], margin: float) -> Exits:
    """When a margin answers samples, at the last step at the latest."""
    safe = leads(program, scores) >= margin
    safe[:, -1] = True
    first = safe.argmax(axis=1)
    answers = scores[np.arange(len(scores)), first].argmax(axis=1)
    return Exits(first + 1, answers)


def with_margin(program: Program, x: FloatArray, share: float) -> Program:
    """The Program with the smallest margin that changes at most a share of the answers to `x`.

    Raises
    ------
    UsageError
        No two scores to compare.
    """
    if program.read_out.weights.shape[1] < 2:
        raise UsageError("--early-exit: the network has one output, so no score leads another")
    session = Emulator().load(program)
    parts = [
        scores_over_time(program, session.run(x[k : k + BATCH], None, read_probes(program)))
        for k in range(0, len(x), BATCH)
    ]
    scores = np.concatenate(parts)
    last = scores[:, -1].argmax(axis=1)
    usual = float(np.median(leads(program, scores)[:, -1]))
    changed = np.array(
        [np.mean(exits(program, scores, usual * each).answers != last) for each in MARGINS]
    )
    # From the safe end down: one lucky small margin among unsafe ones does not count.
    unsafe = np.flatnonzero(changed > share)
    first = int(unsafe[-1]) + 1 if len(unsafe) else 0
    margin = usual * float(MARGINS[first]) if first < len(MARGINS) else 0.0
    if not margin:
        warnings.warn(
            f"--early-exit {share:g}: on these samples no lead of a score is safe, so answers come "
            "at the last step; allow a larger share, or raise --steps",
            NmcompileWarning,
            stacklevel=2,
        )
    return replace(program, read_out=replace(program.read_out, margin=margin))
