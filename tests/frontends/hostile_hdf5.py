"""Changes that make an HDF5 file of a model a hostile one, and how it must be refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import pytest

from nmcompile.errors import ModelError
from nmcompile.frontends import load

Change = Callable[[h5py.File], None]


def refused(path: Path, *words: str, **options: Any) -> None:
    """The file gives one sentence with its name and some words."""
    with pytest.raises(ModelError) as error:
        load(path, **options)
    message = str(error.value)
    assert "\n" not in message
    for word in (path.name, *words):
        assert word in message


def put(path: str, value: Any) -> Change:
    """Put something in the place of a dataset."""

    def change(file: h5py.File) -> None:
        del file[path]
        if value is not None:
            file[path] = value

    return change


def links(path: str, elsewhere: str, secret: Path) -> Iterator[tuple[Change, str]]:
    """Links in the place of a (20, 12) dataset, each with a word of the sentence that refuses it.

    Parameters
    ----------
    elsewhere : place within the file that a soft link leads to
    secret : file outside whose bytes a dataset claims
    """
    group, _, name = path.rpartition("/")

    def external(file: h5py.File) -> None:
        del file[path]
        file[group].create_dataset(name, (20, 12), "f4", external=[(str(secret), 0, 960)])

    yield put(path, h5py.ExternalLink("/etc/passwd", "/x")), "ExternalLink"
    yield put(path, h5py.SoftLink(elsewhere)), "SoftLink"
    yield external, "outside the file"


def bomb(path: str) -> Change:
    """A dataset of 400 million numbers, none of which is stored, in the place of another."""
    group, _, name = path.rpartition("/")

    def change(file: h5py.File) -> None:
        del file[path]
        file[group].create_dataset(
            name, (20_000, 20_000), "f4", chunks=(2_000, 2_000), compression="gzip"
        )

    return change
