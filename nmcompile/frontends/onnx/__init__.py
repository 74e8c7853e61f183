"""ONNX models, read as the protobuf messages that they are; nothing in them is executed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from nmcompile.errors import ModelError
from nmcompile.frontends.budget import Budget
from nmcompile.frontends.onnx.convert import convert
from nmcompile.frontends.onnx.graph import read_graph
from nmcompile.frontends.onnx.tensors import TensorReader
from nmcompile.frontends.reading import model_errors, read_file, short
from nmcompile.frontends.source import Source


def load_file(path: Path, max_bytes: int) -> Source:
    """Read an ONNX file of at most `max_bytes`, and the files with weights beside it."""
    data = read_file(path, max_bytes)
    digest = hashlib.sha256(data)
    model = _parse(data, str(path))
    del data  # The message holds it all once more.
    return _source(model, str(path), path.parent, digest, max_bytes)


def is_model(source: object) -> bool:
    """Whether an object is an `onnx.ModelProto`, judged without importing the package."""
    kind = type(source)
    return kind.__name__ == "ModelProto" and kind.__module__.partition(".")[0] == "onnx"


def load_model(model: Any, max_bytes: int) -> Source:
    """Take an `onnx.ModelProto` in memory."""
    name = str(model.graph.name)[:60] or "model"
    try:
        digest = hashlib.sha256(model.SerializeToString(deterministic=True))
    except Exception as error:  # protobuf's own kinds, such as for more than 2 GiB
        raise ModelError(
            f"{name}: the model cannot be written ({short(error)}); load it from its file"
        ) from error
    return _source(model, name, None, digest, max_bytes)


def _parse(data: bytes, where: str) -> Any:
    try:
        from google.protobuf.message import DecodeError
        from onnx import ModelProto
    except ImportError as error:
        raise ModelError(
            f"{where}: ONNX files are read with the package onnx, which is missing "
            "(pip install 'nmcompile[onnx]')"
        ) from error
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise ModelError(
            f"{where}: the ONNX file is cut short or damaged; copy or export it again"
        ) from error
    return model


def _source(model: Any, where: str, folder: Path | None, digest: Any, max_bytes: int) -> Source:
    """Check and convert."""
    with model_errors(where, "export it again"):
        # Numbers may be read more than once, where several operators use them.
        reader = TensorReader(where, folder, Budget(where, max_bytes, times=4), digest)
        network = convert(read_graph(model, where), reader, Budget(where, max_bytes))
    return Source(network, digest.hexdigest(), where)
