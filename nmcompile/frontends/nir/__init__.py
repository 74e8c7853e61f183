"""NIR files, read as the HDF5 that they are; neither the `nir` package nor the tool is needed."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

from nmcompile.errors import ModelError, UsageError
from nmcompile.frontends.budget import Budget
from nmcompile.frontends.hdf5 import open_hdf5
from nmcompile.frontends.nir.convert import convert
from nmcompile.frontends.nir.dialects import DIALECTS
from nmcompile.frontends.nir.file import HDF5, NirFile, NirGraph
from nmcompile.frontends.nir.step import Context
from nmcompile.frontends.reading import model_errors, read_file
from nmcompile.frontends.source import AssumptionWarning, Source


def load_file(path: Path, max_bytes: int, dialect: str | None, dt: float | None) -> Source:
    """Read a NIR file of at most `max_bytes`; see `load_bytes`."""
    data = read_file(path, max_bytes)
    return load_bytes(data, str(path), path.stem, max_bytes, dialect, dt)


def load_bytes(
    data: bytes, where: str, name: str, max_bytes: int, dialect: str | None, dt: float | None
) -> Source:
    """Take the content of a NIR file.

    Parameters
    ----------
    where : the file, for messages
    name : of the network
    max_bytes : that it may unpack to
    dialect : whose rules its neurons follow; None for what the file says
    dt : length of a time step in seconds; None for what the file or the dialect says
    """
    if dialect is not None and dialect not in DIALECTS:
        raise UsageError(f"--dialect {dialect}: there are {', '.join(DIALECTS)}")
    if dt is not None and not 0 < dt < float("inf"):
        raise UsageError(f"--dt {dt:g}: give the length of a time step in seconds, above 0")
    file = NirFile(where, data, Budget(where, max_bytes))
    with model_errors(where, "write the file again"), open_hdf5(data, where, HDF5) as held:
        graph = file.graph(held)
        context = _context(graph, where, dialect, dt)
        network = convert(graph, file, context, name)
    for note in context.notes:
        warnings.warn(AssumptionWarning(f"{where}: assumed: {note}"), stacklevel=3)
    return Source(network, hashlib.sha256(data).hexdigest(), where)


def _context(graph: NirGraph, where: str, dialect: str | None, dt: float | None) -> Context:
    """Dialect and time step: the user's, else the file's."""
    said, step = graph.metadata.get("dialect"), graph.metadata.get("dt")
    if dialect is None and said is not None:
        if said not in DIALECTS:
            raise ModelError(
                f"{where}: its metadata name the dialect {str(said)[:40]!r}; there are "
                f"{', '.join(DIALECTS)}, so give one with --dialect"
            )
        dialect = str(said)
    if dt is None and step is not None:
        dt = float(step)
        if not 0 < dt < float("inf"):
            raise ModelError(f"{where}: its metadata give a time step of {dt:g} s; give --dt")
    return Context(dialect, dt)
