"""Writes a Network as a NIR file, in the layout of `nir.write`, with the rules of its neurons."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nmcompile.files import write_atomically
from nmcompile.frontends.nir.export import to_nir
from nmcompile.ir import Network
from nmcompile.ir.nodes import Spiking

if TYPE_CHECKING:
    import h5py

#: Version of NIR whose layout this is.
VERSION = "1.0.8"


def write(network: Network, path: str | Path) -> None:
    """Write a float network; equal networks give equal bytes.

    Its metadata name the dialect and the time step, so that `load` needs no options.

    Raises
    ------
    UnsupportedError
        With every node that NIR lacks.
    UsageError
        The file cannot be written.
    """
    import h5py

    steps = [node.dt_s for node in network if isinstance(node, Spiking)]
    parts = to_nir(network)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("version", data=VERSION, dtype=h5py.string_dtype())
        graph = file.create_group("node")
        _fill(graph, {"type": "NIRGraph", "metadata": {
            "dialect": parts.dialect, "dt": steps[0] if steps else network.dt_s
        }})  # fmt: skip
        graph["edges"] = np.array(parts.edges, dtype=h5py.string_dtype())
        members = graph.create_group("nodes")
        for name, fields in parts.nodes.items():
            _fill(members.create_group(name), fields)
    write_atomically(path, buffer.getvalue())


def _fill(group: h5py.Group, fields: Mapping[str, Any]) -> None:
    """Texts, numbers, compressed arrays and groups by name."""
    import h5py

    for key, value in fields.items():
        if isinstance(value, Mapping):
            _fill(group.create_group(key), value)
        elif isinstance(value, str):
            group.create_dataset(key, data=value, dtype=h5py.string_dtype())
        elif isinstance(value, np.ndarray):
            group.create_dataset(key, data=value, compression="gzip")
        else:
            group.create_dataset(key, data=value)
