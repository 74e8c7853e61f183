"""`nmcompile board-image`: a folder to carry to a machine that has a board."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nmcompile.cli.options import Json, Limit, ProgramPath, Steps
from nmcompile.cli.output import cores_text, count, print_json, print_pairs


def board_image(
    program_path: ProgramPath,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the image.")],
    input_path: Annotated[
        Path | None, typer.Option("--input", help="Data file, .npz with x, to run there.")
    ] = None,
    steps: Steps = None,
    probe: Annotated[
        list[str] | None,
        typer.Option(help="Record LAYER:v or LAYER:u there; repeat. Spikes always are."),
    ] = None,
    limit: Limit = None,
    json: Json = False,
) -> None:
    """Write registers, spikes and a runner of one file, for a machine with a board of Loihi 1."""
    from nmcompile.backends.base import Probe
    from nmcompile.backends.board.folder import write_folder
    from nmcompile.chip.program import Program
    from nmcompile.errors import UsageError
    from nmcompile.host.data import load_data

    if output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file; name a folder")
    if output.is_dir() and any(output.iterdir()) and not (output / "image.json").is_file():
        raise UsageError(f"{output} holds other files than an image; name a new folder")
    if input_path is None and (probe or steps or limit):
        raise UsageError("--steps, --probe and --limit are of a run; give its samples, --input")
    program = Program.load(program_path)
    data = None
    if input_path is not None:
        shape, inputs = program.encoder.input_shape, program.inputs
        data = load_data(input_path, shape, inputs=inputs).first(limit)
    probes = [Probe.parse(text) for text in probe or []]
    names = [layer.name for layer in program.layers]
    unknown = [str(each) for each in probes if each.layer not in names]
    if unknown:
        raise UsageError(f"--probe {unknown[0]}: layers on the chip are {', '.join(names)}")
    about = write_folder(program, output, None if data is None else data.x, steps, probes)
    if json:
        print_json({"folder": str(output), **about})
        return
    back = f"python -m nmcompile eval {program_path} --backend board:result.npz"
    print_pairs(
        f"image of {program_path} in {output}",
        [
            ("cores", cores_text(program)),
            (
                "samples",
                "none; the runner needs --spikes" if data is None else count(len(data), "sample"),
            ),
            ("rehearse", f"python {output / 'runner.py'} --board virtual -o rehearsal.npz"),
            ("run", f"python3 {output / 'runner.py'} -o result.npz, in the Python that has NxSDK"),
            ("read back", f"{back} --data ... --limit ..."),
        ],
    )
