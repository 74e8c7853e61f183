"""Find and read the hardware models in `hw_models/`."""

from __future__ import annotations

import sys
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from nmcompile.errors import UsageError
from nmcompile.hardware.model import HardwareModel, Target

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from importlib.abc import Traversable


def _folder() -> Traversable:
    """`hw_models` lies inside an installed package, and beside it in a source checkout."""
    inside = files("nmcompile") / "hw_models"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "hw_models"


def model_names() -> tuple[str, ...]:
    """Names of all hardware models, sorted."""
    entries = (Path(entry.name) for entry in _folder().iterdir())
    return tuple(sorted(entry.stem for entry in entries if entry.suffix == ".toml"))


@cache
def load_hardware(name: str) -> HardwareModel:
    """Read one hardware model by name.

    Raises
    ------
    UsageError
        Unknown name, or a file that is not a valid model.
    """
    if name not in model_names():
        raise UsageError(f"there is no hardware model {name!r}; known: {', '.join(model_names())}")
    return parse_hardware((_folder() / f"{name}.toml").read_text("utf-8"), f"{name}.toml")


def parse_hardware(text: str, source: str) -> HardwareModel:
    """Check a hardware model's TOML text; `source` names it in errors.

    Raises
    ------
    UsageError
        Not TOML, or fields missing, unknown or of the wrong type.
    """
    try:
        return HardwareModel.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{source}: not valid TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise UsageError(
            f"{source}: {place}: {message[0].lower()}{message[1:]} "
            f"({error.error_count()} error(s) in all)"
        ) from None


def parse_target(text: str | None) -> Target:
    """Turn ``family[:board]`` into a target; None means Loihi 1, board chosen by size.

    Raises
    ------
    UsageError
        Unknown family or board.
    """
    family, _, board_name = (text or "loihi1").partition(":")
    hardware = load_hardware(family)
    if not board_name:
        return Target(hardware=hardware)
    for board in hardware.boards:
        if board.name == board_name:
            return Target(hardware=hardware, board=board)
    known = ", ".join(board.name for board in hardware.boards)
    raise UsageError(f"{family} has no board {board_name!r}; known: {known}")
