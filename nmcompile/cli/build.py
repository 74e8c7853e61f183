"""`nmcompile build`: compile a model into a Program file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nmcompile.cli.options import (
    Dialect,
    Json,
    MaxBytes,
    ModelPath,
    TargetName,
    layer_settings,
    numbers,
    source_file,
)
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
    dialect: Dialect = None,
    max_bytes: MaxBytes = None,
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
    equalise: Annotated[
        float, typer.Option(help="How far channels of a layer are driven equally, 0 to 1.")
    ] = 0.0,
    gain_samples: Annotated[
        int, typer.Option(help="Calibration samples to correct layers by; 0 for no correction.")
    ] = 64,
    gain: Annotated[
        str, typer.Option(help="What gets an amplitude of its own: none, layer or channel.")
    ] = "channel",
    correct_bias: Annotated[
        bool, typer.Option(help="Put mean errors of channels into the biases behind.")
    ] = True,
    threshold_factors: Annotated[
        str, typer.Option(help="Factors on thresholds of which each layer takes the best.")
    ] = "1",
    initial_voltage: Annotated[
        str, typer.Option(help="Where samples begin: zero, or aligned with the first input.")
    ] = "aligned",
    rounding: Annotated[
        str, typer.Option(help="Round weights to the nearest, or for the layer's output.")
    ] = "nearest",
    window: Annotated[
        float, typer.Option(help="Share of the steps, the last ones, that the read-out counts.")
    ] = 1.0,
    read_synapse: Annotated[
        float, typer.Option(help="Time constant in seconds of the read-out's filter; 0 for none.")
    ] = 0.0,
    early_exit: Annotated[
        float,
        typer.Option(
            help="Answer before the last step where the lead is safe: share of calibration "
            "samples whose answer that may change; 0 for never."
        ),
    ] = 0.0,
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
    from nmcompile.frontends import MAX_BYTES
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
        "equalise": equalise,
        "gain_samples": gain_samples,
        "gain": gain,
        "correct_bias": correct_bias,
        "threshold_factors": numbers("--threshold-factors", threshold_factors),
        "initial_voltage": initial_voltage,
        "rounding": rounding,
        "window": window,
        "read_synapse": read_synapse,
        "early_exit": early_exit,
        "weight_bits": weight_bits,
        "optimise": optimise,
        "seed": seed,
    }
    try:
        program = compile_model(
            model,
            target,
            calibrate=calibrate,
            dialect=dialect,
            max_bytes=max_bytes or MAX_BYTES,
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
