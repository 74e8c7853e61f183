"""Keras models, read as the zip, JSON and HDF5 that they are; nothing in them is executed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from nmcompile.errors import ModelError
from nmcompile.frontends.keras.archive import open_archive
from nmcompile.frontends.keras.convert import convert
from nmcompile.frontends.keras.model import parse_model
from nmcompile.frontends.keras.weights import MemoryStore, WeightStore
from nmcompile.frontends.reading import model_errors, short
from nmcompile.frontends.source import Source
from nmcompile.ir import Network


def load_file(path: Path, max_bytes: int) -> Source:
    """Read a `.keras` or whole-model `.h5` file of at most `max_bytes`."""
    with open_archive(path, max_bytes) as archive:
        network = _network(archive.config, archive.store, str(path))
        return Source(network, archive.sha256, str(path))


def is_model(source: object) -> bool:
    """Whether an object is a Keras model, judged without importing Keras."""
    modules = {kind.__module__.split(".")[0] for kind in type(source).__mro__}
    return bool(modules & {"keras", "tf_keras", "tensorflow"}) and hasattr(source, "get_config")


def load_model(model: Any) -> Source:
    """Take a Keras model in memory."""
    name = str(getattr(model, "name", "model"))
    if not hasattr(model, "to_json") or not hasattr(model, "layers"):
        raise ModelError(
            f"{name}: a single {type(model).__name__} is no model; wrap it in keras.Sequential"
        )
    try:
        text = model.to_json()
        weights = model.get_weights()
    except Exception as error:  # user-defined models may raise anything here
        raise ModelError(
            f"{name}: the model cannot describe itself ({short(error)}); "
            "build it as a Sequential or functional model"
        ) from error
    digest = hashlib.sha256(text.encode())
    for value in weights:
        array = np.ascontiguousarray(value)
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.tobytes())
    network = _network(json.loads(text), MemoryStore(model), name)
    return Source(network, digest.hexdigest(), name)


def _network(config: object, store: WeightStore, where: str) -> Network:
    """Parse and convert."""
    with model_errors(where, "export it again with Keras 3 as .keras"):
        model = parse_model(config, where)
        store.bind(model)
        return convert(model, store, where)
