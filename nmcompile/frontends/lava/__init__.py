"""Networks that lava-dl exports as `.net`, read as the HDF5 that they are; Lava is not needed."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

from nmcompile.errors import ModelError
from nmcompile.frontends.budget import Budget
from nmcompile.frontends.hdf5 import open_hdf5
from nmcompile.frontends.lava.convert import convert
from nmcompile.frontends.lava.file import HDF5, LavaFile
from nmcompile.frontends.lava.inputs import input_spikes
from nmcompile.frontends.reading import model_errors, read_file
from nmcompile.frontends.source import AssumptionWarning, Source

__all__ = ["input_spikes", "load_file"]


def load_file(path: Path, max_bytes: int) -> Source:
    """Read a `.net` file of at most `max_bytes`."""
    data = read_file(path, max_bytes)
    where = str(path)
    file = LavaFile(where, data, Budget(where, max_bytes))
    with model_errors(where, "export it again"), open_hdf5(data, where, HDF5) as held:
        layers = file.layers(held)
        if not layers:
            raise ModelError(f"{where}: the network has no layers; export it again")
        network, notes = convert(layers, where, path.stem)
    for note in notes:
        warnings.warn(AssumptionWarning(f"{where}: assumed: {note}"), stacklevel=3)
    return Source(network, hashlib.sha256(data).hexdigest(), where)
