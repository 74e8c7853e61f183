"""`nmcompile conformance`: one small Program for each feature of the chip, against known traces."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from nmcompile.cli.options import BackendName, BoardPython, Json
from nmcompile.cli.output import print_json, print_note, print_table, progress


def conformance(
    only: Annotated[list[str] | None, typer.Option(help="Run this case alone; repeat.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Report, .txt, to attach to a bug; a .json beside it."),
    ] = None,
    backend: BackendName = "emulator",
    board_python: BoardPython = None,
    json: Json = False,
) -> int:
    """Run the conformance set on a backend and say which features of the chip differ, and where.

    The exit status is 0 where every case is equal, 1 where one differs or cannot run.
    """
    from nmcompile.analysis.conformance import run_conformance
    from nmcompile.backends.choose import chosen_backend
    from nmcompile.errors import UsageError
    from nmcompile.files import check_writable, write_atomically

    if output is not None:
        if output.suffix == ".json":
            raise UsageError(f"-o {output}: name the text, such as report.txt; JSON goes beside it")
        check_writable(output)
        check_writable(output.with_suffix(".json"))
    if backend.partition(":")[0] == "lava" or backend.endswith(".npz"):
        raise UsageError(
            f"--backend {backend}: the set runs on the emulator and on boards of Loihi 1; its "
            "Programs are tables without layers, which Lava cannot take, and no single result"
        )
    chosen = chosen_backend(backend, python=board_python)
    with progress("cases", quiet=json) as show:
        found = run_conformance(chosen, only or (), show)
    if output is not None:
        write_atomically(output, str(found).encode())
        details = json_module.dumps(found.as_json(), indent=1, default=str)
        write_atomically(output.with_suffix(".json"), details.encode())
    if json:
        print_json(found.as_json())
        return 0 if found.equal else 1
    print_note(found.sentence)
    print_table(
        "cases",
        ("case", "verdict", "feature"),
        [(case.name, case.verdict, case.sentence or case.feature) for case in found.cases],
    )
    if output is not None:
        print_note(f"report: {output} and {output.with_suffix('.json')}")
    return 0 if found.equal else 1
