"""Points of a search, which of them no other beats, and which serves an objective best."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from nmcompile.tuning.judge import Measured
from nmcompile.tuning.space import Settings, build_options

Objective = Literal["accuracy", "latency", "spikes", "cores"]
OBJECTIVES: tuple[str, ...] = get_args(Objective)
#: Points that are checked after a search at most, and of them those that serve its objective
#: best, though others beat them: on so few samples those may have been lucky.
FINALISTS, BEST_OF_ALL = 16, 8


@dataclass(frozen=True)
class Point:
    """One setting that was judged.

    Attributes
    ----------
    trial : its number in the search
    settings : build options
    measured : on the samples of the search, or, at the end, on those that check it
    command : words of the command that builds it
    usual : whether it is what the build does by itself, which all others are compared with
    """

    trial: int
    settings: Settings
    measured: Measured
    command: tuple[str, ...]
    usual: bool = False

    @property
    def command_line(self) -> str:
        """The command as a shell takes it."""
        return shlex.join(self.command)

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of `nmcompile.build` that build it, beside model, target and calibration."""
        return build_options(self.settings).model_dump()

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "trial": self.trial,
            **self.measured.as_json(),
            "settings": dict(self.settings),
            "command": self.command_line,
        }


@dataclass(frozen=True)
class Tuning:
    """What a search found; `as_json` names and units are those of the command line.

    Attributes
    ----------
    objective : what was made best
    allowed_loss : accuracy that it might cost, 0..1
    trials, stopped : that were finished, and those of them that were stopped early
    failures : trial -> why its setting gives no Program
    searched, checked : samples that trials were judged on, and that the points were
    points : that no other beats, fewest spikes first
    best : the one that serves the objective best
    usual : what the build does by itself; None where that gives no Program
    met : whether the best keeps the allowed loss
    storage : the file that keeps the search
    """

    objective: Objective
    allowed_loss: float
    trials: int
    stopped: int
    failures: dict[int, str]
    searched: int
    checked: int
    points: tuple[Point, ...]
    best: Point
    usual: Point | None
    met: bool
    storage: str

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            **{name: value for name, value in asdict(self).items() if name != "points"},
            "points": [point.as_json() for point in self.points],
            "best": self.best.trial,
            "usual": None if self.usual is None else self.usual.as_json(),
        }


def rank(objective: Objective, allowed_loss: float, measured: Measured) -> float:
    """A number that is smaller the better a setting serves an objective.

    Settings that keep the allowed loss are below 1, and sorted by the objective, then by spikes;
    others are above 1 by what they lose, so that the constraint always comes first. For accuracy,
    what counts is the loss, and spikes where it is the same.
    """
    few = measured.spikes / (measured.spikes + 1e5)  # 0 to 1, and never decides against one step
    if objective == "accuracy":
        return measured.lost + few / (2 * max(measured.samples, 1))
    if measured.lost > allowed_loss + 1e-9:
        return 1 + measured.lost
    goal = {
        "latency": measured.steps + few,
        "spikes": measured.spikes,
        "cores": measured.cores + few,
    }[objective]
    return goal / (goal + 1e3)


def front(points: Sequence[Point]) -> list[Point]:
    """Points that no other beats in accuracy, steps, spikes and cores; fewest spikes first."""
    kept = [
        point
        for k, point in enumerate(points)
        if not any(_beats(other, point, first=j < k) for j, other in enumerate(points) if j != k)
    ]
    return sorted(kept, key=lambda point: (point.measured.spikes, point.trial))


def finalists(points: Sequence[Point], objective: Objective, allowed_loss: float) -> list[Point]:
    """Points worth a check on more samples, and the usual one, in the order of their trials."""
    key = best_first(objective, allowed_loss)
    chosen = [*sorted(points, key=key)[:BEST_OF_ALL], *sorted(front(points), key=key)]
    chosen = [*(point for point in points if point.usual), *chosen]
    first = list({point.trial: point for point in chosen}.values())[:FINALISTS]
    return sorted(first, key=lambda point: point.trial)


def _beats(other: Point, point: Point, first: bool) -> bool:
    """Whether a point is nowhere worse and somewhere better; of equal ones the first does."""
    theirs, ours = _costs(other), _costs(point)
    if theirs == ours:
        return first
    return all(a <= b for a, b in zip(theirs, ours, strict=True))


def _costs(point: Point) -> tuple[float, ...]:
    each = point.measured
    return (each.lost, each.steps, each.spikes, each.cores)


def best_first(objective: Objective, allowed_loss: float) -> Callable[[Point], tuple[float, int]]:
    """A key that sorts points by how well they serve."""
    return lambda point: (rank(objective, allowed_loss, point.measured), point.trial)
