"""HDF5 from strangers: opened from memory, and read through hard links within the file only."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from nmcompile.errors import ModelError
from nmcompile.frontends.heaps import damaged_heap
from nmcompile.frontends.reading import MALFORMED, short

if TYPE_CHECKING:
    import h5py

#: How a text of any length is stored: its length, and where in a heap it lies.
VLEN = np.dtype([("length", "<u4"), ("heap", "<u8"), ("index", "<u4")])


@contextmanager
def open_hdf5(data: bytes, where: str, what: str) -> Iterator[h5py.File]:
    """Open the bytes of a file.

    Parameters
    ----------
    where : the file, for messages
    what : it holds, such as ``HDF5 weights``, for messages

    Raises
    ------
    ModelError
        Cut short or damaged, so far as that shows before anything is read.
    """
    import h5py

    damage = damaged_heap(data)
    try:
        if damage is None:
            file = h5py.File(io.BytesIO(data), "r")
    except MALFORMED as error:
        damage = short(error)
    if damage is not None:
        raise ModelError(
            f"{where}: the {what} are cut short or damaged ({damage}); copy or save the file again"
        )
    with file:
        yield file


def follow(parent: object, path: str, where: str, what: str) -> object:
    """What lies at a path below a group, reached through hard links.

    Raises
    ------
    ModelError
        Nothing there, or a link that may lead out of the file.
    """
    import h5py

    here = parent
    for part in path.strip("/").split("/"):
        if not isinstance(here, h5py.Group) or part in ("", ".", "..") or part not in here:
            raise ModelError(f"{where}: the {what} hold no {path!r}; save the whole model again")
        link = here.get(part, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise ModelError(
                f"{where}: {path!r} in the {what} is a {type(link).__name__}, "
                "which may point anywhere; save the model again"
            )
        here = here[part]
    return here


def follow_group(parent: object, path: str, where: str, what: str) -> h5py.Group:
    """A group at a path; see `follow`."""
    import h5py

    found = follow(parent, path, where, what)
    if not isinstance(found, h5py.Group):
        raise ModelError(f"{where}: {path!r} in the {what} is not a group")
    return found


def follow_dataset(parent: object, path: str, where: str, what: str) -> h5py.Dataset:
    """An array at a path, whose numbers lie in the file; see `follow`."""
    import h5py

    found = follow(parent, path, where, what)
    if not isinstance(found, h5py.Dataset):
        raise ModelError(f"{where}: {path!r} in the {what} is not an array")
    if found.is_virtual or found.external or found.shape is None:
        raise ModelError(
            f"{where}: {path!r} in the {what} points outside the file; save the model again"
        )
    return found


def texts_fit(array: h5py.Dataset, data: bytes) -> bool:
    """Whether texts of any length claim lengths that the file can hold.

    The library takes memory for the length that a text claims before it looks for the text (HDF5
    1.14, `H5T_vlen`). Each is 16 bytes, the length first, in one piece as h5py writes them.

    Parameters
    ----------
    array : of texts
    data : the whole file
    """
    import h5py

    kind = h5py.check_string_dtype(array.dtype)
    if kind is None or kind.length is not None or not array.size:
        return True
    start = array.id.get_offset()
    if start is None or start + VLEN.itemsize * array.size > len(data):
        return False
    claimed = np.frombuffer(data, VLEN, array.size, start)["length"]
    return bool(claimed.max() <= len(data))
