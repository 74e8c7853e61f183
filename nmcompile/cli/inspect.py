"""`nmcompile inspect`: what is in a Program, layer by layer and core by core."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from nmcompile.cli.options import Json, ProgramPath
from nmcompile.cli.output import cores_text, print_json, print_pairs, print_table, unverified_row


def inspect(
    program_path: ProgramPath,
    cores: Annotated[bool, typer.Option(help="List every core.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(help="Also write a page that draws chips and cores (extra: report)."),
    ] = None,
    json: Json = False,
) -> None:
    """Show layers, cores, resources and formats of a Program."""
    from nmcompile.analysis.resources import core_bills, network_use
    from nmcompile.chip.program import Program
    from nmcompile.files import check_writable
    from nmcompile.hardware import parse_target
    from nmcompile.ir.text import shape_text

    if html is not None:
        check_writable(html, program_path)
    program = Program.load(program_path)
    hardware = parse_target(program.target).hardware
    if html is not None:
        from nmcompile.analysis.map_page import write_map_page

        write_map_page(html, program, hardware)
    uses = network_use(program, hardware)
    bills = core_bills(program, hardware)
    source = program.manifest.get("source", {})
    if json:
        print_json(
            {
                "program": str(program_path),
                "target": program.target,
                "unverified": [name for name, _ in hardware.unverified()],
                "steps": program.steps,
                "dt_s": program.dt_s,
                "source": source,
                "options": program.manifest.get("options", {}),
                "cores": [
                    {"core": k, "chip": core.chip, "position": core.position, **asdict(bill)}
                    for k, (core, bill) in enumerate(zip(program.cores, bills, strict=True))
                ],
                "layers": [
                    {**asdict(use), "binding": use.binding, **_registers(program, use.cores[0])}
                    for use in uses
                ],
                "passes": program.manifest.get("passes", []),
            }
        )
        return
    encoder = program.encoder
    print_pairs(
        str(program_path),
        [
            ("network", str(program.manifest.get("network", "-"))),
            (
                "source",
                f"{source.get('name', '-')}, SHA-256 {str(source.get('sha256', '-'))[:16]}…",
            ),
            (
                "target",
                f"{program.target}, {cores_text(program)}",
            ),
            *unverified_row(hardware),
            ("steps", f"{program.steps} of {program.dt_s * 1e3:g} ms"),
            ("encoder", f"{encoder.name}, {shape_text(encoder.shape)}, mode {encoder.mode}"),
            ("read-out", f"{program.read_out.kind} of {', '.join(program.read_out.layers)}"),
            *([("page", str(html))] if html is not None else []),
        ],
    )
    print_table(
        "layers",
        ("layer", "shape", "decay u/v", "refractory", "threshold", "weight 2^", "use"),
        [
            (
                use.layer,
                shape_text(use.shape),
                f"{registers['decay_u']}/{registers['decay_v']}",
                registers["refractory"],
                registers["threshold_mantissa"],
                ", ".join(map(str, registers["weight_exponents"])),
                use.sentence(),
            )
            for use in uses
            for registers in [_registers(program, use.cores[0])]
        ],
    )
    if cores:
        owner = {core: use.layer for use in uses for core in use.cores}
        print_table(
            "cores",
            (
                "core",
                "chip",
                "position",
                "layer",
                "compartments",
                "synapse words",
                "in axons",
                "out slots",
            ),
            [
                (
                    k,
                    core.chip,
                    core.position,
                    owner.get(k, "-"),
                    bill.compartments,
                    bill.memory_words,
                    bill.input_axons,
                    bill.output_axon_slots,
                )
                for k, (core, bill) in enumerate(zip(program.cores, bills, strict=True))
            ],
        )


def _registers(program: Any, number: int) -> dict[str, Any]:
    """Registers that all cores of a layer share, read from the first of them."""
    core = program.cores[number]
    return {
        "decay_u": int(core.profiles.decay_u[0]),
        "decay_v": int(core.profiles.decay_v[0]),
        "refractory": int(core.profiles.refractory[0]),
        "threshold_mantissa": int(core.thresholds.mantissa[0]),
        "weight_exponents": sorted({int(e) for e in core.formats.exponent}),
    }
