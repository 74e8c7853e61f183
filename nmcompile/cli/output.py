"""How commands print: tables for people, one JSON object for machines, progress on terminals."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from nmcompile.chip.program import Program
    from nmcompile.hardware import HardwareModel

Report = Callable[[int, int], None]


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
