"""`nmcompile build`: compile a model into a Program file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nmcompile.cli.options import Json, ModelPath, TargetName, layer_settings, source_file
from nmcompile.cli.output import (
    cores_text,
    fit_json,
    print_json,
    print_pairs,
    trials,
    unverified_row,
)


def build(
    model: ModelPath,
    output: Annotated[Path, typer.Option("-o", "--output", help="The Program file to write.")],
    target: TargetName = None,
    calibrate: Annotated[
        Path | None, typer.Option(help="Data file (.npz with x) that shows real inputs.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Time steps per sample.")] = 32,
    dt: Annotated[
        float | None,
        typer.Option(help="Length of a time step in seconds [default: the network's, 1 ms]."),
    ] = None,
    synapse: Annotated[float, typer.Option(help="Synaptic time constant in seconds.")] = 0.0,
    tau_rc: Annotated[
        float | None, typer.Option(help="Membrane time constant in seconds [default: no leak].")
    ] = None,
    refractory: Annotated[float, typer.Option(help="Refractory period in seconds.")] = 0.0,
    max_rate: Annotated[
        float, typer.Option(help="Rate in Hz at which the largest activation fires.")
    ] = 800.0,
    rate_scale: Annotated[float, typer.Option(help="Factor on all rates.")] = 1.0,
    layer: Annotated[
        list[str] | None,
        typer.Option(help="Other neuron options for one layer, NAME:option=value[,...]; repeat."),
    ] = None,
    encoder: Annotated[
        str, typer.Option(help="Input encoder: auto, conv (the network's own), on, on-off.")
    ] = "auto",
    host_layers: Annotated[
        int | None, typer.Option(help="Leading neuron layers on the host [default: automatic].")
    ] = None,
    readout: Annotated[str, typer.Option(help="Where the last layer runs: host or chip.")] = "host",
    percentile: Annotated[
        float, typer.Option(help="Percentile of calibrated activations taken for the largest.")
    ] = 99.0,
    threshold_gain: Annotated[
        float, typer.Option(help="Factor on thresholds, for the overshoot a reset loses.")
    ] = 0.9,
    gain_samples: Annotated[
        int, typer.Option(help="Calibration samples for correcting amplitudes; 0 for none.")
    ] = 64,
    weight_bits: Annotated[int, typer.Option(help="Bits per weight: 1 to 6, or 8.")] = 8,
    optimise: Annotated[
        str, typer.Option(help="What to make small first: cores, traffic, energy or latency.")
    ] = "cores",
    seed: Annotated[
        int, typer.Option(help="Seed of synthetic calibration data, and of the search for places.")
    ] = 0,
    dump_ir: Annotated[
        Path | None, typer.Option(help="Folder for the text of every stage.")
    ] = None,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Print each pass.")] = False,
    json: Json = False,
) -> int:
    """Compile MODEL into a Program file."""
    from nmcompile.api import build as compile_model
    from nmcompile.errors import FitError
    from nmcompile.files import check_writable
    from nmcompile.hardware import parse_target
    from nmcompile.passes.pipeline import PassRecord

    check_writable(output, source_file(model), calibrate)

    def watch(record: PassRecord) -> None:
        if verbose and not json:
            typer.echo(f"{record.name:14} {record.seconds * 1e3:8.1f} ms  {record.changes}")

    options = {
        "steps": steps,
        "dt": dt,
        "neuron": {
            "synapse": synapse,
            "tau_rc": tau_rc,
            "refractory": refractory,
            "max_rate": max_rate,
            "rate_scale": rate_scale,
        },
        "layers": layer_settings(layer or []),
        "encoder": encoder,
        "host_layers": host_layers,
        "readout": readout,
        "percentile": percentile,
        "threshold_gain": threshold_gain,
        "gain_samples": gain_samples,
        "weight_bits": weight_bits,
        "optimise": optimise,
        "seed": seed,
    }
    try:
        program = compile_model(
            model,
            target,
            calibrate=calibrate,
            dump_ir=dump_ir,
            watch=watch,
            trying=trials(json),
            **options,
        )
    except FitError as error:
        if not json:
            raise
        print_json({"ok": False, "fit": fit_json(error)})
        return 1
    program.save(output)
    hardware = parse_target(program.target).hardware
    log = {entry["name"]: entry["changes"] for entry in program.manifest["passes"]}
    summary = {
        "program": str(output),
        "target": program.target,
        "cores": len(program.cores),
        "chips": program.chips,
        "unverified": [name for name, _ in hardware.unverified()],
        "neurons": sum(layer.neurons for layer in program.layers),
        "stored_synapses": sum(len(core.synapses) for core in program.cores),
        "steps": program.steps,
        "split": log["split"],
        "calibration": program.manifest["calibration"],
        "passes": program.manifest["passes"],
    }
    if json:
        print_json(summary)
        return 0
    print_pairs(
        f"built {output}",
        [
            ("target", program.target),
            *unverified_row(hardware),
            ("size", cores_text(program)),
            ("neurons", f"{summary['neurons']:,}"),
            ("stored synapses", f"{summary['stored_synapses']:,}"),
            ("split", log["split"]),
        ],
    )
    return 0
