"""Options that several commands share, and how their text becomes values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from nmcompile.errors import UsageError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Steps = Annotated[int | None, typer.Option(help="Time steps per sample [default: the Program's].")]
Limit = Annotated[int | None, typer.Option(min=1, help="Use the first so many samples.")]
Jobs = Annotated[int | None, typer.Option(min=1, help="Threads [default: all cores].")]
TargetName = Annotated[
    str | None,
    typer.Option(help="Chip family and board, FAMILY[:BOARD] [default: smallest that fits]."),
]
ProgramPath = Annotated[Path, typer.Argument(metavar="NET.nmc", help="A built Program.")]
ModelPath = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        help="A .keras, whole-model .h5, .onnx, .nir or lava-dl .net file; "
        "or FILE.py:NAME of a Nengo network, which runs it.",
    ),
]
Dialect = Annotated[
    str | None,
    typer.Option(
        help="Tool whose rules a NIR file's neurons follow: nir, snntorch, norse, ... "
        "[default: what the file says]."
    ),
]

BackendName = Annotated[
    str,
    typer.Option(
        "--backend",
        metavar="NAME",
        help="emulator; board for the board that NxSDK finds; board:virtual for a rehearsal; "
        "board:RESULT.npz for what a board's runner wrote elsewhere; lava for Lava's models, "
        "lava:hardware for a Loihi 2.",
    ),
]
BoardPython = Annotated[
    str | None,
    typer.Option(
        metavar="PATH", help="Python that has the board's software, or Lava [default: this one]."
    ),
]
BoardWork = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Keep the image and finished samples here, and go on after a stop."
    ),
]

#: Suffix of a size -> bytes.
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def size_in_bytes(text: str) -> int:
    """Bytes from a number with or without K, M, G or T behind it, each 1024 times the last.

    Raises
    ------
    UsageError
        Something else, or less than one byte.
    """
    number = text.strip().upper().removesuffix("B").removesuffix("I")
    unit = number[-1:] if number[-1:] in _UNITS else ""
    try:
        size = int(float(number.removesuffix(unit)) * _UNITS[unit])
    except (ValueError, OverflowError):
        size = 0
    if size < 1:
        raise UsageError(f"--max-bytes {text}: give a size above 0, such as 500M or 4G")
    return size


MaxBytes = Annotated[
    int | None,
    typer.Option(
        "--max-bytes",
        metavar="SIZE",
        parser=size_in_bytes,
        help="Refuse model files that are, or unpack to, more than this, such as 4G [default: 2G].",
    ),
]

#: Neuron options by their name on the command line.
NEURON_NAMES = {
    "synapse": "synapse",
    "tau-rc": "tau_rc",
    "refractory": "refractory",
    "max-rate": "max_rate",
    "rate-scale": "rate_scale",
}


def source_file(model: Path) -> Path:
    """The file behind MODEL, without the name of an object in it."""
    from nmcompile.frontends.python import is_python

    return Path(str(model).rpartition(":")[0]) if is_python(model) else model


def numbers(option: str, text: str) -> tuple[float, ...]:
    """Numbers with commas between them.

    Raises
    ------
    UsageError
        Something that is no number.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{option} {text}: the form is NUMBER[,NUMBER...]") from None


def layer_settings(texts: Sequence[str]) -> dict[str, dict[str, float]]:
    """From ``NAME:option=value[,option=value]`` to layer -> option -> value.

    Raises
    ------
    UsageError
        Text of another form, an unknown option, or no number.
    """
    found: dict[str, dict[str, float]] = {}
    for text in texts:
        name, colon, settings = text.rpartition(":")
        if not colon or not name:
            raise UsageError(f"--layer {text}: the form is NAME:option=value[,option=value]")
        for setting in settings.split(","):
            option, _, number = setting.partition("=")
            key = NEURON_NAMES.get(option.strip().replace("_", "-"))
            if key is None:
                raise UsageError(f"--layer {text}: {option!r} is none of {', '.join(NEURON_NAMES)}")
            try:
                found.setdefault(name, {})[key] = float(number)
            except ValueError:
                raise UsageError(f"--layer {text}: {number!r} is no number") from None
    return found
