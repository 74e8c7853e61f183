"""`nmcompile run`: run samples and keep what came out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
from nmcompile.cli.output import print_json, print_table


def run(
    program_path: ProgramPath,
    input_path: Annotated[Path, typer.Option("--input", help="Data file, .npz with x.")],
    steps: Steps = None,
    probe: Annotated[
        list[str] | None,
        typer.Option(help="Record LAYER:spikes, LAYER:v or LAYER:u; repeat."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Result file, .npz.")
    ] = None,
    limit: Limit = None,
    jobs: Jobs = None,
    seed: Annotated[int, typer.Option(help="Seed of the chip's noise.")] = 0,
    backend: BackendName = "emulator",
    board_python: BoardPython = None,
    board_work: BoardWork = None,
    json: Json = False,
) -> None:
    """Run the samples of a data file on the emulator, or on a board."""
    from nmcompile.backends.base import Probe
    from nmcompile.backends.choose import carried_back, chosen_backend
    from nmcompile.backends.result_file import save_result
    from nmcompile.chip.program import Program
    from nmcompile.errors import UsageError
    from nmcompile.files import check_writable
    from nmcompile.host.data import load_data

    if output is not None:
        check_writable(output, program_path, input_path, *carried_back(backend))
    elif probe:
        raise UsageError("--probe records into a result file; name one with -o")
    chosen = chosen_backend(backend, jobs=jobs, seed=seed, python=board_python, work=board_work)
    program = Program.load(program_path)
    data = load_data(input_path, program.encoder.input_shape, inputs=program.inputs).first(limit)
    probes = [Probe.parse(text) for text in probe or []]
    result = chosen.load(program).run(data.x, steps, probes)
    summary = {
        "samples": len(data),
        "steps": result.steps,
        "backend": result.backend,
        "target": result.target,
        "seconds": result.seconds,
        "answers": result.answers.tolist(),
        "scores": result.scores.tolist(),
        "spikes_per_sample": {name: float(each.mean()) for name, each in result.spikes.items()},
        "overflows": dict(result.overflows),
    }
    if output is not None:
        save_result(output, result, program, source=str(program_path), inputs=data.x)
    if json:
        print_json(summary)
        return
    shown = min(len(data), 20)
    header = ("sample", "answer", "score", *result.spikes)
    rows = [
        (
            k,
            int(result.answers[k]),
            f"{result.scores[k].max():.3f}",
            *(int(each[k]) for each in result.spikes.values()),
        )
        for k in range(shown)
    ]
    more = f", the first {shown} of {len(data)}" if shown < len(data) else ""
    print_table(f"answers and spikes on {result.backend} ({result.target}){more}", header, rows)
    if output is not None:
        typer.echo(f"all results: {output}")
