"""Tells what a model file is by what is in it, whatever it is called."""

from __future__ import annotations

from pathlib import Path

from nmcompile.frontends.hdf5 import open_hdf5
from nmcompile.frontends.heaps import MAGIC
from nmcompile.frontends.onnx.wire import looks_like_onnx
from nmcompile.frontends.reading import MALFORMED, read_file

#: What lies at the top of an HDF5 file, and which format that is.
HDF5_FORMATS = {"node": "nir", "layer": "lava"}


def format_of(path: Path, max_bytes: int) -> str:
    """``keras``, ``nir``, ``lava`` or ``onnx``; what cannot be read is left to Keras' reader.

    Raises
    ------
    ModelError
        HDF5 that is cut short, damaged, or larger than `max_bytes`.
    """
    try:
        with path.open("rb") as file:
            begin = file.read(len(MAGIC))
            file.seek(0)
            if begin != MAGIC:
                return "onnx" if looks_like_onnx(file) else "keras"
        with open_hdf5(read_file(path, max_bytes), str(path), "HDF5 data") as held:
            if "model_config" in held.attrs:
                return "keras"
            return next((kind for key, kind in HDF5_FORMATS.items() if key in held), "keras")
    except (OSError, *MALFORMED):
        return "keras"
