"""`nmcompile diagnose`: where accuracy is lost between float and chip, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmcompile.cli.options import Jobs, Json, ProgramPath, Steps
from nmcompile.cli.output import print_json, print_note, print_table, progress

if TYPE_CHECKING:
    from nmcompile.analysis.diagnosis import Diagnosis, LayerDiagnosis

#: Stages between the float network and the chip whose likeness each layer's row gives.
SHOWN = ("weights", "curve", "chip")


def diagnose(
    program_path: ProgramPath,
    data_path: Annotated[
        Path, typer.Option("--data", help="Data file, .npz with x, and y if there are labels.")
    ],
    steps: Steps = None,
    limit: Annotated[int, typer.Option(min=1, help="Use the first so many samples.")] = 200,
    jobs: Jobs = None,
    html: Annotated[
        Path | None, typer.Option(help="Also write a page with pictures (extra: report).")
    ] = None,
    sample: Annotated[
        list[int] | None,
        typer.Option(min=0, help="Show this sample on the page; repeat for more."),
    ] = None,
    json: Json = False,
) -> None:
    """Find where a Program loses accuracy on its way from float to chip, and what to do."""
    from nmcompile.api import diagnose as follow
    from nmcompile.backends.emulator import Emulator
    from nmcompile.chip.program import Program
    from nmcompile.errors import UsageError
    from nmcompile.files import check_writable
    from nmcompile.host.data import load_data

    if html is not None:
        check_writable(html, program_path, data_path)
    elif sample:
        raise UsageError("--sample chooses what a page shows; give --html PAGE as well")
    program = Program.load(program_path)
    classes = None if program.outputs else program.read_out.weights.shape[1]
    data = load_data(
        data_path, program.encoder.input_shape, inputs=program.inputs, labels=classes, needed=False
    )
    for number in sample or ():
        if number >= len(data):
            raise UsageError(
                f"--sample {number}: {data_path} holds {len(data):,} samples, 0 to {len(data) - 1}"
            )
    with progress("samples", quiet=json) as show:
        found = follow(
            program, data, steps=steps, limit=limit, backend=Emulator(jobs), progress=show
        )
    if html is not None:
        from nmcompile.analysis.diagnosis_page import write_diagnosis

        write_diagnosis(html, program, data, found, sample or ())
    if json:
        print_json(found.as_json())
        return
    _print(found, str(program_path))
    if html is not None:
        print_note(f"page: {html}")


def _print(found: Diagnosis, name: str) -> None:
    """The stages, the layers, and what to do."""
    part = f"first {found.samples:,} of {found.available:,}"
    print_table(
        f"{name} on {found.backend} ({found.target}), "
        f"{part if found.samples < found.available else f'{found.samples:,}'} samples, "
        f"{found.steps} steps",
        ("stage", "accuracy", "points lost", "answers as float", "scores: correlation"),
        [
            (
                each.title,
                share(each.accuracy, "no labels"),
                "-" if each.lost is None else f"{100 * each.lost:.1f}".replace("-", "−"),
                share(each.agreement),
                "-" if each.scores is None else number(each.scores.correlation),
            )
            for each in found.stages
        ],
    )
    stages = [stage for stage in found.stages if stage.name in SHOWN]
    if len(found.stages) == 1:
        print_note("the Program was not built from a float network, so only the chip can be shown")
    elif not any(layer.stages for layer in found.layers):
        print_note(
            "neurons that remember from frame to frame have no activation to compare with, so only "
            "answers are"
        )
    else:
        print_table(
            "activations against float: correlation (relative error)",
            ("layer", *(stage.title for stage in stages)),
            [
                (layer.layer, *(_likeness(layer, stage.name) for stage in stages))
                for layer in found.layers
            ],
        )
    print_table(
        "on the chip",
        (
            "layer",
            "mean Hz",
            "highest Hz",
            "silent (float)",
            "saturated",
            "overflows",
            "weight bits",
            "threshold",
            "bias bits",
        ),
        [(layer.layer, *_rates(layer), *_registers(layer)) for layer in found.layers],
    )
    if not found.findings:
        print_note("nothing odd was found")
    for k, finding in enumerate(found.findings, start=1):
        print_note(f"{k}. {finding}")


def share(value: float | None, none: str = "-") -> str:
    """``97.50 %``."""
    return none if value is None else f"{value:.2%}"


def number(value: float | None) -> str:
    """``0.987``."""
    return "-" if value is None else f"{value:.3f}"


def _likeness(layer: LayerDiagnosis, stage: str) -> str:
    found = layer.stages.get(stage)
    if found is None:
        return "-"
    error = "-" if found.relative_error is None else f"{found.relative_error:.1%}"
    return f"{number(found.correlation)} ({error})"


def _rates(layer: LayerDiagnosis) -> tuple[str, str, str, str]:
    rates = layer.rates
    if rates is None:
        return ("-", "-", "read by voltage", "-")
    silent = f"{rates.silent:.1%}"
    if rates.silent_float is not None:
        silent += f" ({rates.silent_float:.1%})"
    return (f"{rates.mean_hz:.0f}", f"{rates.highest_hz:.0f}", silent, f"{rates.saturated:.1%}")


def _registers(layer: LayerDiagnosis) -> tuple[str, str, str, str]:
    if not layer.weights:
        return (f"{layer.overflows:,}", "-", "-", "-")
    return (
        f"{layer.overflows:,}",
        ", ".join(f"{each.largest:.1f}" for each in layer.weights),
        f"{layer.threshold:,}",
        str(layer.bias_bits),
    )
