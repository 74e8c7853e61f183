"""`nmcompile diff`: two networks of any two formats, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmcompile.cli.options import Json, MaxBytes
from nmcompile.cli.output import comparing, count, print_json, print_note, print_table
from nmcompile.ir.text import shape_text

if TYPE_CHECKING:
    from nmcompile.analysis.diff_result import Comparison, LayerDiff

_FILE = "A .keras, whole-model .h5, .onnx, .nir or lava-dl .net file."


def diff(
    a: Annotated[Path, typer.Argument(metavar="A", help=_FILE)],
    b: Annotated[Path, typer.Argument(metavar="B", help=_FILE)],
    data: Annotated[
        Path | None,
        typer.Option(help="Data file, .npz with x in the layout of A or of B [default: random]."),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(help="Difference by the largest number beside it that still counts as equal."),
    ] = 1e-4,
    limit: Annotated[int, typer.Option(min=1, help="Samples on which to compare values.")] = 16,
    dialect_a: Annotated[
        str | None, typer.Option(help="Tool whose rules A's neurons follow, if A is a NIR file.")
    ] = None,
    dialect_b: Annotated[
        str | None, typer.Option(help="Tool whose rules B's neurons follow, if B is a NIR file.")
    ] = None,
    dt: Annotated[
        float | None, typer.Option(help="Time step in seconds of NIR files' neurons.")
    ] = None,
    max_bytes: MaxBytes = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of random inputs.")] = 0,
    json: Json = False,
) -> int:
    """Compare the float networks A and B layer by layer, and say where they differ first."""
    from nmcompile.api import diff as compare
    from nmcompile.frontends import MAX_BYTES

    with comparing():
        found = compare(
            a,
            b,
            data=data,
            tolerance=tolerance,
            limit=limit,
            dialects=(dialect_a, dialect_b),
            dt=dt,
            max_bytes=max_bytes or MAX_BYTES,
            seed=seed,
        )
    if json:
        print_json(found.as_json())
    else:
        _print(found)
    return 0 if found.equal else 1


def _print(found: Comparison) -> None:
    print_note(found.sentence)
    for each in found.assumed:
        print_note(f"assumed: {each}")
    values = f"values on {count(found.samples, 'sample')}" if found.samples else "without values"
    print_table(
        f"{found.a} (A) and {found.b} (B), {values}, tolerance {found.tolerance:g}",
        ("A", "B", "kind", "shape", "weights", "values", "verdict"),
        [_row(layer) for layer in found.layers],
    )


def _row(layer: LayerDiff) -> tuple[str, ...]:
    numbers = max((each.relative for each in layer.numbers), default=None)
    values = None if layer.values is None else layer.values.relative
    return (
        layer.a or "",
        layer.b or "",
        layer.kind,
        shape_text(layer.shape),
        *("" if each is None else f"{each:.1e}" if each else "0" for each in (numbers, values)),
        "; ".join(layer.faults) or "equal",
    )
