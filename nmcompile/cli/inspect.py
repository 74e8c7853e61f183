"""`nmcompile inspect`: what is in a Program, layer by layer and core by core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nmcompile.cli.options import Json, ProgramPath
from nmcompile.cli.output import (
    cores_text,
    print_json,
    print_note,
    print_pairs,
    print_table,
    unverified_row,
)

if TYPE_CHECKING:
    from nmcompile.analysis.resources import LayerUse
    from nmcompile.chip.program import Program
    from nmcompile.hardware import HardwareModel


def inspect(
    program_path: ProgramPath,
    cores: Annotated[bool, typer.Option(help="List every core.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(help="Also write a page that draws chips and cores (extra: report)."),
    ] = None,
    why: Annotated[
        str | None,
        typer.Option(metavar="LAYER", help="Show the arithmetic behind one layer's cores."),
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
    if why is not None:
        _print_why(program, hardware, why, json)
        return
    use = network_use(program, hardware)
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
                "bound": use.bound and asdict(use.bound),
                "gap": use.gap,
                "messages": use.messages or None,
                "layers": [_layer_json(each) for each in use.layers],
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
            *([("cores", use.sentence())] if use.bound else []),
            *([("messages", messages)] if (messages := use.messages_sentence()) else []),
            *_estimates(program.manifest),
            *unverified_row(hardware),
            ("steps", f"{program.steps} of {program.dt_s * 1e3:g} ms"),
            ("encoder", f"{encoder.name}, {shape_text(encoder.shape)}, mode {encoder.mode}"),
            ("read-out", program.read_out.describe()),
            *([("page", str(html))] if html is not None else []),
        ],
    )
    print_table(
        "layers",
        ("layer", "shape", "decay u/v", "refractory", "threshold", "weight 2^"),
        [
            (
                each.layer,
                shape_text(each.shape),
                f"{each.registers['decay_u']}/{each.registers['decay_v']}",
                each.registers["refractory"],
                each.registers["threshold_mantissa"],
                ", ".join(map(str, each.registers["weight_exponents"])),
            )
            for each in use.layers
        ],
    )
    print_pairs("what binds each layer", [(each.layer, _binding(each)) for each in use.layers])
    if cores:
        owners: dict[int, list[str]] = {}
        for each in use.layers:
            for core in each.cores:
                owners.setdefault(core, []).append(each.layer)
        print_table(
            "cores",
            (
                "core",
                "chip",
                "position",
                "layers",
                "compartments",
                "memory words",
                "in axons",
                "out slots",
            ),
            [
                (
                    k,
                    core.chip,
                    core.position,
                    ", ".join(owners.get(k, ["-"])),
                    bill.compartments,
                    bill.memory_words,
                    bill.input_axons,
                    bill.output_axon_slots,
                )
                for k, (core, bill) in enumerate(zip(program.cores, bills, strict=True))
            ],
        )


def _binding(use: LayerUse) -> str:
    """What binds a layer, and its lower bound."""
    return f"{use.sentence()}; {use.bound.text()}" if use.bound else use.sentence()


def _layer_json(use: LayerUse) -> dict[str, Any]:
    """All that is known of a layer's use, registers beside the rest."""
    values = asdict(use)
    registers = values.pop("registers")
    return {**values, "binding": use.binding, "sentence": use.sentence(), **registers}


def _print_why(program: Program, hardware: HardwareModel, layer: str, json: bool) -> None:
    """The arithmetic behind a layer's cores."""
    from nmcompile.analysis.why import why

    found = why(program, hardware, layer)
    if json:
        print_json(
            {
                "layer": found.layer,
                "reasons": [{**asdict(each), "cores": each.cores} for each in found.reasons],
                "verdict": found.verdict,
            }
        )
        return
    seen: set[tuple[str, str]] = set()
    rows = []
    for each in found.reasons:
        key = (each.title, each.where)
        rows.append((*(("", "") if key in seen else key), each.text))
        seen.add(key)
    print_table(f"why {layer}", ("about", "where", "arithmetic"), rows)
    print_note(found.verdict)


def _estimates(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the mapping was chosen for, and energy and time of a step, if the mapper said so."""
    found = manifest.get("mapping", {}).get("estimates")
    if not found:
        return []
    goal = manifest.get("options", {}).get("optimise", "cores")
    return [
        (
            "estimated",
            f"{found['energy_nj_per_step']:,.0f} nJ and {found['us_per_step']:,.1f} µs a step; "
            f"mapped for {goal}",
        )
    ]
