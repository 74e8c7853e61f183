"""Model files written without Keras, for the tests of what is refused and of damaged files."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nmcompile.errors import NmcompileError
from nmcompile.frontends import load

MODELS = Path(__file__).parent / "models"


def layer(kind: str, name: str, **config: Any) -> dict[str, Any]:
    """A layer as Keras 3 writes it."""
    module = config.pop("module", "keras.layers")
    registered = config.pop("registered_name", None)
    return {
        "module": module,
        "class_name": kind,
        "config": {"name": name, "dtype": "float32", **config},
        "registered_name": registered,
    }


def sequential(*layers: Mapping[str, Any], shape: tuple[int | None, ...] = (8, 8, 1)) -> Any:
    """A Sequential configuration with an input of some shape."""
    first = layer("InputLayer", "input", batch_shape=[None, *shape])
    return {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "net", "layers": [first, *layers]},
    }


def weights_file(arrays: Mapping[str, Any]) -> bytes:
    """HDF5 with arrays at paths."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for path, value in arrays.items():
            file[path] = np.asarray(value)
    return buffer.getvalue()


def write_keras(path: Path, config: Any, weights: bytes | None = None) -> Path:
    """A `.keras` file from its parts."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", config if isinstance(config, str) else json.dumps(config))
        archive.writestr("model.weights.h5", weights_file({}) if weights is None else weights)
    return path


def parts(name: str) -> tuple[Any, bytes]:
    """Configuration and weights of a recorded `.keras` file."""
    with zipfile.ZipFile(MODELS / name) as archive:
        return json.loads(archive.read("config.json")), archive.read("model.weights.h5")


def edit_weights(weights: bytes, change: Callable[[h5py.File], None]) -> bytes:
    """The weights after a change."""
    buffer = io.BytesIO(weights)
    with h5py.File(buffer, "r+") as file:
        change(file)
    return buffer.getvalue()


def survives(path: Path) -> bool:
    """Whether the file loads; anything but one sentence with its name is a failure."""
    try:
        load(path)
    except NmcompileError as error:
        message = str(error)
    else:
        return True
    assert "\n" not in message
    assert path.name in message
    return False
