"""`nmcompile lava-export`: a folder that runs a Program in Intel's Lava, on CPUs or on Loihi 2."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nmcompile.cli.options import Json, Limit, ProgramPath, Steps
from nmcompile.cli.output import count, print_json, print_note


def lava_export(
    program_path: ProgramPath,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write.")],
    input_path: Annotated[
        Path | None,
        typer.Option("--input", help="Data file, .npz with x, whose spikes are written along."),
    ] = None,
    steps: Steps = None,
    limit: Limit = None,
    json: Json = False,
) -> None:
    """Write a Program's layers as Lava processes, with a runner that needs only NumPy and Lava."""
    from nmcompile.backends.lava.folder import RUN, write_folder
    from nmcompile.chip.program import Program
    from nmcompile.host.data import load_data

    program = Program.load(program_path)
    inputs = None
    if input_path is not None:
        data = load_data(input_path, program.encoder.input_shape, inputs=program.inputs)
        inputs = data.first(limit).x
    write_folder(program, output, inputs, steps=steps, source=str(program_path))
    samples = 0 if inputs is None else len(inputs)
    if json:
        print_json(
            {
                "folder": str(output),
                "layers": [layer.name for layer in program.layers],
                "samples": samples,
                "steps": steps or program.steps,
            }
        )
        return
    print_note(
        f"{count(len(program.layers), 'layer')} and {count(samples, 'sample')} in {output}; where "
        f"there is Lava: python {output / RUN}, with --hardware on Loihi 2"
    )
