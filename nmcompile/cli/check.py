"""`nmcompile check`: every obstacle at once, and whether the model fits."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nmcompile.cli.options import Dialect, Json, MaxBytes, ModelPath, TargetName, layer_settings
from nmcompile.cli.output import (
    cores_text,
    count,
    fit_json,
    print_json,
    print_pairs,
    print_table,
    trials,
    unverified_row,
)

if TYPE_CHECKING:
    from nmcompile.chip.program import Program
    from nmcompile.errors import Obstacle


def check(
    model: ModelPath,
    target: TargetName = None,
    dialect: Dialect = None,
    max_bytes: MaxBytes = None,
    dt: Annotated[
        float | None, typer.Option(help="Length of a time step in seconds [default: the model's].")
    ] = None,
    readout: Annotated[str, typer.Option(help="Where the last layer runs: host or chip.")] = "host",
    encoder: Annotated[
        str, typer.Option(help="Input encoder: auto, conv (the network's own), on, on-off.")
    ] = "auto",
    host_layers: Annotated[
        int | None, typer.Option(help="Leading neuron layers on the host [default: automatic].")
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(help="Neuron options for one layer, NAME:option=value[,...]; repeat."),
    ] = None,
    weight_bits: Annotated[int, typer.Option(help="Bits per weight: 1 to 6, or 8.")] = 8,
    json: Json = False,
) -> int:
    """List every obstacle in MODEL at once, and say whether it fits a board."""
    from nmcompile.analysis.resources import network_use
    from nmcompile.api import build
    from nmcompile.errors import CompileError, FitError, UnsupportedError
    from nmcompile.frontends import MAX_BYTES
    from nmcompile.frontends import check as find_obstacles
    from nmcompile.frontends.python import is_python
    from nmcompile.hardware import parse_target
    from nmcompile.passes.base import NmcompileWarning

    place = parse_target(target)
    unverified = [name for name, _ in place.hardware.unverified()]
    max_bytes = max_bytes or MAX_BYTES
    obstacles = (
        []
        if is_python(model)
        else find_obstacles(model, max_bytes=max_bytes, dialect=dialect, dt=dt)
    )
    if obstacles:
        return _list_obstacles(model, obstacles, json)
    chosen: dict[str, Any] = {
        "dialect": dialect,
        "max_bytes": max_bytes,
        "dt": dt,
        "readout": readout,
        "encoder": encoder,
        "host_layers": host_layers,
        "layers": layer_settings(layer or []),
        "weight_bits": weight_bits,
    }
    if not is_python(model):
        # Whether it fits does not depend on amplitudes, so the time is saved.
        chosen["gain_samples"] = 0
    try:
        with warnings.catch_warnings():
            # Whether it fits does not depend on calibration data.
            warnings.simplefilter("ignore", NmcompileWarning)
            program = build(model, target, trying=trials(json), **chosen)
    except UnsupportedError as error:
        return _list_obstacles(model, error.obstacles, json)
    except FitError as error:
        if json:
            print_json(
                {
                    "ok": False,
                    "obstacles": [],
                    "fit": fit_json(error),
                    "unverified": unverified,
                }
            )
            return 1
        if doubt := place.hardware.unverified_text():
            typer.echo(doubt)
        raise
    except CompileError as error:
        if json:
            print_json({"ok": False, "obstacles": [], "error": str(error)})
            return 1
        raise
    if json:
        print_json(
            {
                "ok": True,
                "obstacles": [],
                "target": program.target,
                "cores": len(program.cores),
                "chips": program.chips,
                "unverified": unverified,
            }
        )
        return 0
    split = next(e["changes"] for e in program.manifest["passes"] if e["name"] == "split")
    use = network_use(program, place.hardware)
    print_pairs(
        f"{model}: no obstacles",
        [
            (
                "fits",
                f"{program.target}, {cores_text(program)}",
            ),
            *([("cores", use.sentence())] if use.bound else []),
            *unverified_row(place.hardware),
            ("split", split),
            *_ends(program),
            *((layer_use.layer, layer_use.sentence()) for layer_use in use.layers),
        ],
    )
    return 0


def _ends(program: Program) -> list[tuple[str, str]]:
    """Names that data files need, and those of scores, where a network has several."""
    from nmcompile.ir.text import shape_text

    rows = []
    if program.inputs:
        shapes = (f"{name} {shape_text(shape)}" for name, shape in program.inputs.items())
        rows.append(("inputs", ", ".join(shapes)))
    if program.outputs:
        sizes = (f"{name} {part.stop - part.start}" for name, part in program.outputs.items())
        rows.append(("outputs", ", ".join(sizes)))
    return rows


def _list_obstacles(model: Path, obstacles: Sequence[Obstacle], json: bool) -> int:
    """Print every obstacle; the exit status."""
    if json:
        print_json({"ok": False, "obstacles": [asdict(each) for each in obstacles]})
    else:
        print_table(
            f"{model}: {count(len(obstacles), 'obstacle')}",
            ("layer", "kind", "why", "what to do"),
            [(each.layer, each.kind, each.why, each.remedy) for each in obstacles],
        )
    return 1
