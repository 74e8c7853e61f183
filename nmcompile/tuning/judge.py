"""Judge one setting: build it as `build` would, and run samples until it is clear enough."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.analysis.evaluation import paired_difference
from nmcompile.backends.emulator import Emulator
from nmcompile.errors import NmcompileError
from nmcompile.hardware import parse_target
from nmcompile.host.data import Data
from nmcompile.ir import Network
from nmcompile.ir.nodes import FloatArray
from nmcompile.passes.pipeline import compile_network
from nmcompile.tuning.space import Settings, build_options

#: Shares of the samples after which a trial may be stopped, and the fewest samples for that.
SHARES, FEWEST = (0.125, 0.25, 0.5, 1.0), 100


@dataclass(frozen=True)
class Measured:
    """What a setting gives.

    Attributes
    ----------
    samples : that were run
    accuracy, float_accuracy : share of right answers, 0..1
    lost, lost_low, lost_high : float less chip accuracy, and its 95 % interval, 0..1
    steps : per sample
    spikes : per sample, of all layers on the chip
    cores, chips : in use
    stopped : whether it was clearly too bad before all samples were run
    """

    samples: int
    accuracy: float
    float_accuracy: float
    lost: float
    lost_low: float
    lost_high: float
    steps: int
    spikes: float
    cores: int
    chips: int
    stopped: bool = False

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Failure:
    """Why a setting gives no Program, in one sentence, and whether its process died of it."""

    sentence: str
    died: bool = False


@dataclass(frozen=True, eq=False)
class Part:
    """Samples to judge on.

    Attributes
    ----------
    x, y : (samples, *shape) float32 and (samples,) int64
    float_right : (samples,) whether the float network answers right
    """

    x: FloatArray
    y: NDArray[np.int64]
    float_right: NDArray[np.bool_]

    @classmethod
    def of(cls, data: Data, right: NDArray[np.bool_]) -> Part:
        """From labelled data."""
        assert data.y is not None
        return cls(data.x, data.y, right)


@dataclass(frozen=True, eq=False)
class Task:
    """All that a process needs to judge settings of one network.

    Attributes
    ----------
    network : the float network
    target : ``family[:board]``, or None for the smallest board that fits
    calibration : (samples, *shape) for builds
    search, check : samples to judge on
    """

    network: Network
    target: str | None
    calibration: FloatArray
    search: Part
    check: Part


@dataclass(frozen=True)
class Request:
    """One setting to judge.

    Attributes
    ----------
    settings : build options
    most_lost : loss, 0..1, beyond which it is stopped; None to run all samples
    checking : on which samples
    """

    settings: Settings
    most_lost: float | None
    checking: bool = False


def judge(task: Task, request: Request) -> Measured | Failure:
    """Build a setting and run samples; equal arguments give equal results."""
    try:
        with warnings.catch_warnings():
            # They are shown when a setting that was chosen is built.
            warnings.simplefilter("ignore")
            return _measured(task, request)
    except (NmcompileError, MemoryError) as error:
        return Failure(" ".join(str(error).split()) or "out of memory")


def _measured(task: Task, request: Request) -> Measured:
    options = build_options(request.settings)
    program = compile_network(task.network, parse_target(task.target), options, task.calibration)
    part = task.check if request.checking else task.search
    session = Emulator(jobs=1).load(program)
    right = np.zeros(0, bool)
    spikes = 0
    lost = low = high = 0.0
    stopped = False
    for share in SHARES:
        stop = len(part.y) if share == 1 else int(share * len(part.y))
        if stop < min(FEWEST, len(part.y)):
            continue
        begin = len(right)
        result = session.run(part.x[begin:stop], program.steps, first=begin)
        right = np.concatenate([right, result.answers == part.y[begin:stop]])
        spikes += sum(int(result.spikes[layer.name].sum()) for layer in program.layers)
        lost, low, high = paired_difference(part.float_right[:stop], right)
        stopped = request.most_lost is not None and low > request.most_lost and share < 1
        if stopped:
            break
    return Measured(
        samples=len(right),
        accuracy=float(right.mean()),
        float_accuracy=float(part.float_right[: len(right)].mean()),
        lost=lost,
        lost_low=low,
        lost_high=high,
        steps=program.steps,
        spikes=spikes / len(right),
        cores=len(program.cores),
        chips=program.chips,
        stopped=stopped,
    )
