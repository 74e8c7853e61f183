"""Weights that lie in a file beside the model: read only from inside the model's folder."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nmcompile.errors import ModelError

_REMEDY = "save the model again with its weights inside"


@dataclass(frozen=True)
class Reference:
    """Where a tensor's bytes lie, as the model says.

    Attributes
    ----------
    location : path below the model's folder
    offset : of the first byte
    length : in bytes, or None for the rest of the file
    """

    location: str
    offset: int
    length: int | None


def read_external(entries: Any, folder: Path | None, size: int, where: str, place: str) -> bytes:
    """The bytes of a tensor.

    Parameters
    ----------
    entries : keys and values that the model holds instead of numbers
    folder : of the model; None for a model in memory
    size : bytes that the tensor's shape needs

    Raises
    ------
    ModelError
        A path that leaves the folder, a link, a file that is missing, too short or none.
    """
    reference = _reference(entries, where, place)
    if folder is None:
        raise ModelError(
            f"{where}: {place}: its numbers lie in the file {reference.location!r}, which a model "
            "in memory does not have; load it with onnx.load(path), which reads them"
        )
    path = _inside(folder, reference.location, where, place)
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(handle, "rb") as file:
            there = os.fstat(handle).st_size - reference.offset
            length = there if reference.length is None else reference.length
            if length != size or there < size:
                raise ModelError(
                    f"{where}: {place}: {reference.location!r} holds {max(0, min(there, length))} "
                    f"bytes for it, but its shape needs {size}; copy or save the model again"
                )
            file.seek(reference.offset)
            return file.read(size)
    except OSError as error:
        raise ModelError(
            f"{where}: {place}: its numbers in {reference.location!r} cannot be read: "
            f"{(error.strerror or str(error)).lower()}; put that file beside the model"
        ) from error


def _reference(entries: Any, where: str, place: str) -> Reference:
    given: dict[str, str] = {}
    for entry in entries:
        if entry.key in given:
            raise ModelError(f"{where}: {place}: it says twice what its {entry.key} is; {_REMEDY}")
        given[str(entry.key)] = str(entry.value)
    numbers: dict[str, int | None] = {"offset": 0, "length": None}
    for key in numbers:
        text = given.get(key)
        if text is None:
            continue
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise ModelError(f"{where}: {place}: its {key} is {text[:40]!r}, no number; {_REMEDY}")
        numbers[key] = int(text)
    return Reference(given.get("location", ""), numbers["offset"] or 0, numbers["length"])


def _inside(folder: Path, location: str, where: str, place: str) -> Path:
    parts = location.split("/")
    odd = any(char in location for char in "\\:\0") or not location.isprintable()
    if odd or len(location) > 1000 or any(part in ("", ".", "..") for part in parts):
        raise ModelError(
            f"{where}: {place}: its numbers lie in {location[:60]!r}, which leaves the model's "
            f"folder or is no plain path; {_REMEDY}"
        )
    path = folder
    for part in parts:
        path = path / part
        try:
            mode = path.lstat().st_mode
        except OSError as error:
            raise ModelError(
                f"{where}: {place}: its numbers lie in {location[:60]!r}, which is not beside the "
                "model; copy that file, too"
            ) from error
        if not (stat.S_ISREG(mode) or (stat.S_ISDIR(mode) and path != folder / location)):
            raise ModelError(
                f"{where}: {place}: its numbers lie in {location[:60]!r}, which is a link or no "
                f"file and may point anywhere; {_REMEDY}"
            )
    return path
