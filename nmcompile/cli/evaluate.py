"""`nmcompile eval`: accuracy, activity and speed on labelled data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmcompile.cli.options import (
    BackendName,
    BoardPython,
    BoardWork,
    Jobs,
    Json,
    Limit,
    ProgramPath,
    Steps,
)
from nmcompile.cli.output import print_json, print_pairs, progress, unverified_row

if TYPE_CHECKING:
    from nmcompile.analysis.evaluation import Evaluation


def evaluate(
    program_path: ProgramPath,
    data_path: Annotated[Path, typer.Option("--data", help="Data file, .npz with x and y.")],
    steps: Steps = None,
    limit: Limit = None,
    jobs: Jobs = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Keep what is done in this file, and go on from it after a stop."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Also write a page with pictures (extra: report).")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(help="Output that the labels are for, of a network with several."),
    ] = None,
    backend: BackendName = "emulator",
    board_python: BoardPython = None,
    board_work: BoardWork = None,
    json: Json = False,
) -> None:
    """Judge a Program on labelled data, beside the float network that it was built from."""
    from nmcompile.analysis.evaluation import output_size
    from nmcompile.api import evaluate as judge
    from nmcompile.backends.choose import chosen_backend
    from nmcompile.chip.program import Program
    from nmcompile.errors import UsageError
    from nmcompile.files import check_writable
    from nmcompile.hardware import parse_target
    from nmcompile.host.data import load_data

    for path in (resume, report):
        if path is not None:
            check_writable(path, program_path, data_path)
    chosen = chosen_backend(backend, jobs=jobs, python=board_python, work=board_work)
    program = Program.load(program_path)
    if report is not None and program.outputs:
        raise UsageError("--report shows networks with one output; leave it out")
    data = load_data(
        data_path,
        program.encoder.input_shape,
        inputs=program.inputs,
        labels=output_size(program, output),
    ).first(limit)
    with progress("samples", quiet=json) as show:
        found = judge(
            program,
            data,
            steps=steps,
            backend=chosen,
            resume=resume,
            output=output,
            progress=show,
        )
    if report is not None:
        from nmcompile.analysis.report import write_report

        write_report(report, program, data, found)
    if json:
        print_json(found.as_json())
        return
    layers = ", ".join(f"{name} {count:,.0f}" for name, count in found.layer_spikes.items())
    wrapped = {name: count for name, count in found.overflows.items() if count}
    print_pairs(
        f"{program_path} on {found.backend} ({found.target}), "
        f"{found.samples:,} samples, {found.steps} steps",
        [
            ("chip accuracy", f"{found.accuracy:.2%}"),
            *_beside_float(found),
            *_early(found),
            ("cores, chips", f"{found.cores}, {found.chips}"),
            ("spikes per sample on chip", f"{found.spikes_per_sample:,.0f}"),
            ("spikes per sample by layer", layers),
            ("samples per second", f"{found.samples_per_second:,.0f}"),
            ("steps per second", f"{found.steps_per_second:,.0f}"),
            *unverified_row(parse_target(program.target).hardware),
            *((f"overflows in {name}", f"{count:,}") for name, count in wrapped.items()),
            *([("page", str(report))] if report is not None else []),
        ],
    )


def _early(found: Evaluation) -> list[tuple[str, str]]:
    """What answering early saves and costs, where the Program has a margin for it."""
    if found.early_accuracy is None or found.early_steps is None:
        return []
    saved = 1 - found.early_steps / found.steps
    lost = 100 * (found.accuracy - found.early_accuracy)
    return [
        ("answered early", f"after {found.early_steps:.1f} steps in the mean, {saved:.0%} saved"),
        ("chip accuracy then", f"{found.early_accuracy:.2%}, {lost:.2f} points lost by it"),
    ]


def _beside_float(found: Evaluation) -> list[tuple[str, str]]:
    """What was lost against the float network, where there is one."""
    if found.float_accuracy is None or found.lost is None:
        return []
    low, high = 100 * (found.lost_low or 0), 100 * (found.lost_high or 0)
    return [
        ("float accuracy", f"{found.float_accuracy:.2%}"),
        ("points lost", f"{100 * found.lost:.2f} (95 % interval {low:.2f} to {high:.2f})"),
    ]
