"""What a benchmark leaves behind: figures, the table of them, and `build/bench/SUBJECT.json`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from nmcompile.cli.output import print_table

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "bench"
#: Processors that may be busy with other work when a benchmark starts.
QUIET = 0.5
MET = {True: "yes", False: "no", None: "-"}


@dataclass(frozen=True)
class Figure:
    """One measured number and what it should reach.

    Attributes
    ----------
    name, value, unit : what was measured
    goal : reads with `unit`, or with "times" where there is another side
    met : whether it was reached; None without a goal
    other, other_value : what it is compared with, and its number in the same unit
    ratio : how many times better ours is
    """

    name: str
    value: float
    unit: str
    goal: str = "-"
    met: bool | None = None
    other: str | None = None
    other_value: float | None = None
    ratio: float | None = None


def at_most(name: str, value: float, unit: str, limit: float) -> Figure:
    """A figure that should not exceed a limit."""
    return Figure(name, float(value), unit, f"at most {limit:g}", bool(value <= limit))


def at_least(name: str, value: float, unit: str, limit: float) -> Figure:
    """A figure that should reach a limit."""
    return Figure(name, float(value), unit, f"at least {limit:g}", bool(value >= limit))


def faster(
    name: str, value: float, unit: str, other: str, other_value: float, goal: float | None
) -> Figure:
    """A time beside the same work's time elsewhere; `goal` is the ratio to reach."""
    ratio = other_value / value
    return Figure(
        name,
        value,
        unit,
        "-" if goal is None else f"at least {goal:,g} times",
        None if goal is None else ratio >= goal,
        other,
        other_value,
        ratio,
    )


def write(subject: str, figures: Iterable[Figure], folder: Path = FOLDER) -> Path:
    """Write the figures as they come, each with a line of progress, and print their table."""
    busy = os.getloadavg()[0]
    if busy > QUIET:
        progress(f"Others keep {busy:.1f} processors busy, so times will be too long.")
    found: list[Figure] = []
    path = folder / f"{subject}.json"
    folder.mkdir(parents=True, exist_ok=True)
    for figure in figures:
        found.append(figure)
        progress(text(figure))
        path.write_text(json.dumps([asdict(f) for f in found], indent=2), "utf-8")
    print_table(subject, HEADER, [row(asdict(f)) for f in found])
    return path


HEADER = ("what", "ours", "unit", "other", "its figure", "ratio", "goal", "met")

Row = tuple[str, ...]


def row(figure: dict[str, object]) -> Row:
    """A figure's record as cells."""
    number: Callable[[object], str] = lambda x: "-" if x is None else f"{x:.4g}"  # noqa: E731
    return (
        str(figure["name"]),
        number(figure["value"]),
        str(figure["unit"]),
        str(figure["other"] or "-"),
        number(figure["other_value"]),
        number(figure["ratio"]),
        str(figure["goal"]),
        MET[figure["met"]],  # type: ignore[index]
    )


def text(figure: Figure) -> str:
    """A figure in a line."""
    line = f"{figure.name}: {figure.value:.4g} {figure.unit}"
    if figure.ratio is not None:
        line += f", {figure.other} {figure.other_value:.4g}, ratio {figure.ratio:.4g}"
    if figure.met is not None:
        line += f" (goal {figure.goal}: {'met' if figure.met else 'missed'})"
    return line


def progress(line: str) -> None:
    """Say at once how far a benchmark is."""
    print(line, flush=True)
