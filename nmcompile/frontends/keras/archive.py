"""Opens `.keras` (zip) and whole-model `.h5` files and hands out configuration and weights."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nmcompile.errors import ModelError
from nmcompile.frontends.hdf5 import open_hdf5
from nmcompile.frontends.heaps import MAGIC
from nmcompile.frontends.keras.weights import HDF5, LayersStore, LegacyStore, WeightStore
from nmcompile.frontends.reading import MALFORMED, read_file

if TYPE_CHECKING:
    import h5py

ZIP_MAGIC = b"PK"
CONFIG = "config.json"
WEIGHTS = "model.weights.h5"


@dataclass(frozen=True)
class Archive:
    """An open model file: its configuration, its weights and its SHA-256."""

    config: object
    store: WeightStore
    sha256: str


@contextmanager
def open_archive(path: Path, max_bytes: int) -> Iterator[Archive]:
    """Open a model file, told apart by its first bytes.

    Raises
    ------
    ModelError
        Not such a file, cut short, damaged, or larger than `max_bytes`.
    """
    data = read_file(path, max_bytes)
    sha256 = hashlib.sha256(data).hexdigest()
    if data.startswith(ZIP_MAGIC):
        config, weights = _unzip(data, path, max_bytes)
        with open_hdf5(weights, str(path), HDF5) as file:
            yield Archive(config, LayersStore(file, str(path), max_bytes), sha256)
    elif data.startswith(MAGIC):
        with open_hdf5(data, str(path), HDF5) as file:
            config = _legacy_config(file, path)
            yield Archive(config, LegacyStore(file, str(path), max_bytes), sha256)
    else:
        raise ModelError(
            f"{path}: this is neither a .keras file, a Keras .h5 file, an ONNX, NIR nor lava-dl "
            "file; save the model with model.save('name.keras') or export it to ONNX"
        )


def _unzip(data: bytes, path: Path, max_bytes: int) -> tuple[object, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
            if CONFIG not in names:
                raise ModelError(
                    f"{path}: the zip holds no {CONFIG}, so it is not a .keras file; "
                    "save the model with model.save('name.keras')"
                )
            if WEIGHTS not in names:
                raise ModelError(
                    f"{path}: the .keras file holds no {WEIGHTS}; save the whole model again "
                    "with model.save('name.keras')"
                )
            for name in (CONFIG, WEIGHTS):
                size = archive.getinfo(name).file_size
                if size > max_bytes:
                    raise ModelError(
                        f"{path}: {name} would unpack to {size} bytes, more than the limit of "
                        f"{max_bytes}; raise it with --max-bytes, or max_bytes in Python, if you "
                        "trust the file"
                    )
            text, weights = archive.read(CONFIG), archive.read(WEIGHTS)
    except (
        zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, LookupError,
        RuntimeError, MemoryError, OverflowError,
    ) as error:  # fmt: skip
        raise ModelError(
            f"{path}: the .keras file is cut short or damaged ({_one_line(error)}); "
            "copy or save it again"
        ) from error
    return _parse_json(text, path), weights


def _legacy_config(file: h5py.File, path: Path) -> object:
    try:
        text = file.attrs.get("model_config")
    except MALFORMED as error:
        raise ModelError(
            f"{path}: the HDF5 file is damaged ({_one_line(error)}); copy or save it again"
        ) from error
    if not isinstance(text, str | bytes):
        raise ModelError(
            f"{path}: the HDF5 file holds weights but no model (no attribute model_config); "
            "save the whole model with model.save('name.keras')"
        )
    return _parse_json(text, path)


def _parse_json(text: str | bytes, path: Path) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"{path}: the model's configuration is not valid JSON ({_one_line(error)}); "
            "save the model again"
        ) from error


def _one_line(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
