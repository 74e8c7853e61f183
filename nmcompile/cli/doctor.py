"""`nmcompile doctor`: what this machine has, and what to do about what it lacks."""

from __future__ import annotations

from typing import Annotated

import typer

from nmcompile.cli.options import Json
from nmcompile.cli.output import print_json, print_table


def doctor(
    board_python: Annotated[
        list[str] | None,
        typer.Option(help="Another interpreter, which must have NxSDK or Lava; repeat."),
    ] = None,
    json: Json = False,
) -> int:
    """List Python, packages, extras, the software of boards and boards, with a remedy for each.

    The exit status is 0 where nothing is broken, 1 otherwise.
    """
    from nmcompile.analysis.doctor import examine

    machine = examine(board_python or ())
    if json:
        print_json(machine.as_json())
    else:
        print_table(
            "this machine" + ("" if machine.healthy else ", where something is broken"),
            ("what", "status", "found", "remedy"),
            [(each.name, each.status, each.found, each.remedy) for each in machine.checks],
        )
    return 0 if machine.healthy else 1
