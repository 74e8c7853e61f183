"""Writes the reference pages that come from the program: command line and hardware models."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

#: Text in a page -> what makes its replacement.
_COMMANDS = "<!-- commands -->"
_MODELS = "<!-- hardware models -->"


def on_page_markdown(markdown: str, **kwargs: Any) -> str:
    """Fill the marks of a page."""
    if _COMMANDS in markdown:
        markdown = markdown.replace(_COMMANDS, commands())
    if _MODELS in markdown:
        markdown = markdown.replace(_MODELS, hardware_models())
    return markdown


def commands() -> str:
    """Every command with its help, as Markdown."""
    import typer.main

    from nmcompile.cli.app import app

    group: Any = typer.main.get_command(app)
    parts = []
    for name, command in group.commands.items():
        rows = []
        usage = [f"python -m nmcompile {name}", "[OPTIONS]"]
        for parameter in command.params:
            if "--help" in parameter.opts:
                continue
            spelled = ", ".join(f"`{opt}`" for opt in (*parameter.opts, *parameter.secondary_opts))
            if parameter.param_type_name == "argument":
                word = str(parameter.metavar or parameter.name)
                spelled = f"`{word}`"
                usage.append(word if parameter.required else f"[{word}]")
            default = parameter.default
            plain = isinstance(default, str | int | float) and not isinstance(default, bool)
            shown = f"`{default}`" if plain else ""
            if parameter.required:
                shown = "required"
            rows.append((spelled, _cell(getattr(parameter, "help", None) or ""), shown))
        parts += [f"## {name}", "", command.help or "", "", f"    {' '.join(usage)}", ""]
        parts += [_table(("option", "what it does", "default"), rows), ""]
    return "\n".join(parts)


def hardware_models() -> str:
    """Every number of every hardware model with its source, as Markdown."""
    from nmcompile.hardware import load_hardware, model_names

    parts = []
    for name in model_names():
        model = load_hardware(name)
        parts += [f"## {name}: {model.title}", ""]
        for section in type(model).model_fields:
            part = getattr(model, section)
            if not hasattr(part, "model_dump"):
                continue
            rows = []
            for field, entry in part.model_dump().items():
                value = entry.get("value", entry.get("values"))
                many = isinstance(value, tuple | list)
                text = ", ".join(map(str, value)) if many else str(value)
                doubt = "" if entry["verified"] else " **(unverified)**"
                rows.append((f"`{field}`", text, _cell(entry["source"]) + doubt))
            parts += [f"### {section}", "", _table(("number", "value", "source"), rows), ""]
        boards = [
            (
                f"`{name}:{board.name}`",
                str(board.chips),
                str(board.cores(model)),
                _cell(board.source) + ("" if board.verified else " **(unverified)**"),
            )
            for board in model.boards
        ]
        parts += ["### boards", "", _table(("target", "chips", "cores", "source"), boards), ""]
    return "\n".join(parts)


def _cell(text: str) -> str:
    return re.sub(r"([|\[\]<>*_])", r"\\\1", " ".join(text.split()))


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
