"""`nmcompile compare`: two runs of a network, such as on a board and on the emulator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmcompile.cli.options import Json
from nmcompile.cli.output import comparing, print_json, print_note, print_table

if TYPE_CHECKING:
    from nmcompile.analysis.compare_result import ProbeComparison, RunComparison

_FILE = "A result file, .npz, of `run -o` or of an exported run.py."
#: Steps behind the first difference of which the spread is shown.
_SHOWN = (0, 1, 2, 4, 8, 16, 32)


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help=_FILE)],
    b: Annotated[Path, typer.Argument(metavar="B", help=_FILE)],
    program_path: Annotated[
        Path | None,
        typer.Option("--program", help="NET.nmc that says where neurons sit, if the files do not."),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(help="Difference of scores by the larger of both that still counts as equal."),
    ] = 1e-9,
    json: Json = False,
) -> int:
    """Compare two runs: the first step, core, compartment and quantity that differ, and the spread.

    The exit status is 0 for equal runs, 1 for different ones, 2 where they cannot be compared.
    """
    from nmcompile.analysis.compare import compare_runs
    from nmcompile.backends.result_file import load_result
    from nmcompile.chip.program import Program
    from nmcompile.errors import UsageError

    if not 0 <= tolerance < 1:
        raise UsageError(f"--tolerance {tolerance:g}: a number from 0 to below 1 is needed")
    with comparing():
        program = None if program_path is None else Program.load(program_path)
        found = compare_runs(load_result(a), load_result(b), program, tolerance)
    if json:
        print_json(found.as_json())
    else:
        _print(found)
    return 0 if found.equal else 1


def _print(found: RunComparison) -> None:
    print_note(found.sentence)
    for note in found.notes:
        print_note(f"note: {note}")
    if found.first is not None:
        for fault in found.faults:
            print_note(f"also: {fault}")
    if found.probes:
        print_table(
            f"step by step, {found.samples:,} samples of {found.steps} steps",
            ("layer", "quantity", "values", "different", "samples", "neurons", "first step",
             "largest"),
            [
                (each.layer, each.quantity, f"{each.values:,}", f"{each.different:,}",
                 each.samples, each.neurons, "" if each.first_step is None else each.first_step,
                 each.largest)
                for each in found.probes
            ],
        )  # fmt: skip
    if found.first is not None:
        start = found.first.step
        steps = [start + k for k in _SHOWN if start + k < found.steps]
        print_table(
            "values that differ in each step, all samples together",
            ("layer", "quantity", *(f"step {step}" for step in steps)),
            list(_spread(found.probes, steps)),
        )
    if found.totals:
        print_table(
            "sample by sample",
            ("what", "samples", "different", "first", "A", "B"),
            [
                (each.name, each.samples, each.different,
                 *(("", "", "") if each.first is None
                   else (each.first, f"{each.a:.10g}", f"{each.b:.10g}")))
                for each in found.totals
            ],
        )  # fmt: skip


def _spread(probes: tuple[ProbeComparison, ...], steps: list[int]) -> Iterator[tuple[object, ...]]:
    for each in probes:
        counts = each.per_step or (0,) * (max(steps) + 1)
        yield each.layer, each.quantity, *(f"{counts[step]:,}" for step in steps)
