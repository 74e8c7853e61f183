"""How commands print: tables for people, one JSON object for machines, progress on terminals."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from nmcompile.chip.program import Program
    from nmcompile.errors import FitError
    from nmcompile.hardware import HardwareModel

Report = Callable[[int, int], None]

#: Seconds after which it is said what takes so long.
PATIENCE_S = 3.0


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object on standard output."""
    print(json.dumps(value, indent=2, sort_keys=False, default=str))


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table; columns whose cells all look like numbers are right-aligned."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for k, name in enumerate(header):
        numeric = bool(rows) and all(str(row[k])[:1] in "0123456789-−" for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console().print(table)


def print_pairs(title: str, pairs: Sequence[tuple[str, str]]) -> None:
    """A table of two columns without a header."""
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(name, value)
    console().print(table)


def print_note(text: str) -> None:
    """A sentence, wrapped like tables."""
    console().print(text)


def count(number: int, noun: str) -> str:
    """``1 core``, ``2 cores``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def cores_text(program: Program) -> str:
    """``7 cores on 1 chip``."""
    return f"{count(len(program.cores), 'core')} on {count(program.chips, 'chip')}"


def unverified_row(hardware: HardwareModel) -> list[tuple[str, str]]:
    """A row of `print_pairs` on unverified limits; none where all are verified."""
    text = hardware.unverified_text()
    return [("unverified", text)] if text else []


def fit_json(error: FitError) -> dict[str, Any]:
    """A network that does not fit, and what would help, for `print_json`."""
    return {
        "message": str(error),
        "layer": error.layer,
        "resource": error.resource,
        "used": error.used,
        "limit": error.limit,
        "remedies": [asdict(each) for each in error.remedies],
    }


def print_remedies(error: FitError) -> None:
    """What was tried and helps, in the order of what it costs."""
    if error.remedies:
        print_table(
            "what would help, as tried",
            ("change", "cores", "then", "option"),
            [
                (
                    each.change,
                    f"{each.cores:,}",
                    f"{'fits' if each.fits else 'does not fit'} {each.board}",
                    each.option or "train it so",
                )
                for each in error.remedies
            ],
        )


def trials(quiet: bool) -> Report:
    """On a terminal a line that says which trial of how many runs, once they take long."""
    begin = time.monotonic()

    def report(number: int, planned: int) -> None:
        passed = time.monotonic() - begin
        if not quiet and passed > PATIENCE_S and sys.stderr.isatty():
            words = f"trying what would fit: {number} of {planned}, {passed:.0f} s"
            # What is printed next goes over it.
            print(f"{words}\x1b[K", end="\r", file=sys.stderr, flush=True)

    return report


def console() -> Console:
    """Standard output; wide where it is no terminal, so that tables are not cut."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 120, markup=False)


@contextmanager
def progress(label: str, quiet: bool = False) -> Iterator[Report]:
    """A bar on a terminal, a line each tenth elsewhere, both on standard error."""
    if quiet:
        yield lambda done, total: None
        return
    if not sys.stderr.isatty():
        yield _lines(label)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _lines(label: str) -> Report:
    printed = 0

    def report(done: int, total: int) -> None:
        nonlocal printed
        tenth = 10 * done // max(total, 1)
        if tenth > printed:
            printed = tenth
            print(f"{label}: {done} of {total}", file=sys.stderr)

    return report


@contextmanager
def comparing() -> Iterator[None]:
    """Give files that cannot be read status 2, where status 1 says that two things differ."""
    from nmcompile.errors import NmcompileError, UsageError

    try:
        yield
    except NmcompileError as error:
        raise UsageError(str(error)) from None
