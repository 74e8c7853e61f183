"""`nmcompile targets`: the hardware models and their limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from nmcompile.cli.options import Json
from nmcompile.cli.output import print_json, print_table

if TYPE_CHECKING:
    from nmcompile.hardware import HardwareModel


def targets(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A chip family.")] = None,
    json: Json = False,
) -> None:
    """Show hardware models: chips, boards, and every limit with its source."""
    from nmcompile.hardware import load_hardware, model_names, parse_target

    if name is None:
        models = [load_hardware(each) for each in model_names()]
        if json:
            print_json(
                {
                    model.name: [
                        {
                            **board.model_dump(),
                            "cores": board.cores(model),
                            "unverified_limits": len(model.unverified()),
                        }
                        for board in model.boards
                    ]
                    for model in models
                }
            )
            return
        print_table(
            "targets",
            ("target", "chips", "cores"),
            [
                (f"{model.name}:{board.name}", board.chips, board.cores(model))
                for model in models
                for board in model.boards
            ],
        )
        for model in models:
            _print_unverified(model)
        return
    model = parse_target(name).hardware
    if json:
        print_json({**model.model_dump(), "unverified": [name for name, _ in model.unverified()]})
        return
    rows: list[tuple[object, ...]] = []
    for section in type(model).model_fields:
        part = getattr(model, section)
        if hasattr(part, "model_dump") and not isinstance(part, str):
            for field, entry in part.model_dump().items():
                rows.append((section, field, _value(entry), _source(entry)))
    print_table(f"{model.title} ({model.name})", ("part", "number", "value", "source"), rows)
    print_table(
        "boards",
        ("board", "chips", "cores", "source"),
        [
            (board.name, board.chips, board.cores(model), _source(board.model_dump()))
            for board in model.boards
        ],
    )
    _print_unverified(model)


def _print_unverified(model: HardwareModel) -> None:
    text = model.unverified_text()
    if text:
        typer.echo(text)


def _value(entry: dict[str, Any]) -> str:
    value = entry.get("value", entry.get("values"))
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _source(entry: dict[str, Any]) -> str:
    return str(entry["source"]) + ("" if entry["verified"] else " (unverified)")
