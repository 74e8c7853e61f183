"""`nmcompile convert`: write the float network of a model as a NIR file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nmcompile.cli.options import Dialect, Json, MaxBytes, ModelPath
from nmcompile.cli.output import count, print_json


def convert(
    model: ModelPath,
    output: Annotated[Path, typer.Argument(metavar="OUT.nir", help="The NIR file to write.")],
    dialect: Dialect = None,
    max_bytes: MaxBytes = None,
    dt: Annotated[
        float | None, typer.Option(help="Time step in seconds of a NIR file's neurons.")
    ] = None,
    json: Json = False,
) -> None:
    """Write the float network of MODEL as a NIR file."""
    from nmcompile.errors import UsageError
    from nmcompile.files import check_writable
    from nmcompile.frontends import MAX_BYTES, load
    from nmcompile.frontends.nir.write import write

    if output.suffix != ".nir":
        raise UsageError(f"{output}: only NIR files are written; name it {output.stem}.nir")
    check_writable(output, model)
    network = load(model, max_bytes=max_bytes or MAX_BYTES, dialect=dialect, dt=dt).network
    write(network, output)
    if json:
        print_json({"output": str(output), "nodes": len(network.nodes), "dt": network.dt_s})
    else:
        typer.echo(f"wrote {output}: {count(len(network.nodes), 'node')} of {model}")
