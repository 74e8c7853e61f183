"""Valid model files, changed at random: bytes, and the parts of what the bytes say."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

ODD: tuple[Any, ...] = (
    None, -1, 0, 7, 10**30, 0.5, float("nan"), "", "x", "relu", [], [[]], {}, True, [3, 3],
)  # fmt: skip
ODD_WHOLE = (-(2**63), -(2**31), -7, -1, 0, 1, 2, 3, 11, 16, 255, 2**16, 2**31 - 1, 2**40, 2**62)
ODD_FLOATS = (float("nan"), float("inf"), -1.0, 0.0, 1e-40, 1e30)
ODD_ARRAYS: tuple[Any, ...] = (
    0, -1, 2.5, float("nan"), "", "LIF", "NIRGraph", b"\xff", np.zeros(0), np.ones((2, 2)),
    np.full(20, np.inf), np.array([1, 2, 3]), np.array([-(2**62)]), np.array([b"a", b"b"]),
    np.array([[b"a", b"a"]]),
)  # fmt: skip
ODD_WORDS = (b"", b"x", b"Conv", b"MaxPool", b"SAME_UPPER", b"../x", b"a" * 300, b"\xff\xfe", b"\n")


def mutated(data: bytes, form: str, rng: np.random.Generator) -> bytes:
    """A file of a format, such as ``onnx`` or ``nir``, after a few random changes."""
    if rng.random() < 0.5:
        return changed_bytes(data, rng)
    for _ in range(int(rng.integers(1, 4))):
        data = CHANGES[form](data, rng)
    return data


def changed_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """Bits flipped, bytes overwritten, pieces dropped, doubled or cut off."""
    broken = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        start = int(rng.integers(max(1, len(broken))))
        if rng.random() < 0.5:  # where most of the structure lies
            start = int(rng.integers(max(1, min(len(broken), 600))))
        piece = broken[start : start + int(rng.integers(1, 40))]
        kind = int(rng.integers(6))
        if kind < 2 and piece:
            broken[start] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            broken[start : start + len(piece)] = rng.bytes(len(piece))
        elif kind == 3:
            del broken[start : start + len(piece)]
        elif kind == 4:
            broken[start:start] = piece
        elif rng.random() < 0.3:
            del broken[start:]
    return bytes(broken)


def messages(message: Any) -> Iterator[Any]:
    """A protobuf message and all that lie in it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for each in value if hasattr(value, "add") else [value]:
                yield from messages(each)


def changed_message(data: bytes, rng: np.random.Generator) -> bytes:
    """One field of an ONNX model dropped, doubled, exchanged or set to something odd."""
    import onnx
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        return changed_bytes(data, rng)
    found = [each for each in messages(model) if each.ListFields()]
    if not found:
        return data
    message = found[int(rng.integers(len(found)))]
    fields = message.ListFields()
    field, value = fields[int(rng.integers(len(fields)))]
    try:
        if hasattr(value, "extend"):
            change_row(value, field, rng)
        elif field.message_type is not None or rng.random() < 0.15:
            message.ClearField(field.name)
        else:
            setattr(message, field.name, odd_scalar(field, rng))
    except (TypeError, ValueError, UnicodeDecodeError):
        message.ClearField(field.name)
    return model.SerializeToString()


def change_row(values: Any, field: Any, rng: np.random.Generator) -> None:
    """Drop, double, exchange or change one of some values."""
    first, second = (int(rng.integers(len(values))) for _ in range(2))
    kind = int(rng.integers(4))
    if kind == 0:
        del values[first]
    elif field.message_type is not None:
        if kind == 1:
            values.add().CopyFrom(values[first])
        else:
            values[first].CopyFrom(values[second])
    elif kind == 1:
        values.append(values[first])
    elif kind == 2:
        values[first] = values[second]
    else:
        values[first] = odd_scalar(field, rng)


def odd_scalar(field: Any, rng: np.random.Generator) -> Any:
    """Something that a field of its type can hold."""
    if field.cpp_type == field.CPPTYPE_STRING:
        word = ODD_WORDS[int(rng.integers(len(ODD_WORDS)))]
        return word if field.type == field.TYPE_BYTES else word.decode("utf-8", "replace")
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return ODD_FLOATS[int(rng.integers(len(ODD_FLOATS)))]
    return ODD_WHOLE[int(rng.integers(len(ODD_WHOLE)))]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield value, key
        if isinstance(inner, dict | list):
            yield from places(inner)


def changed_configuration(config: Any, rng: np.random.Generator) -> None:
    """Drop one part of a Keras configuration, or put something odd in its place."""
    found = list(places(config))
    if not found:
        return
    container, key = found[int(rng.integers(len(found)))]
    if rng.random() < 0.3:
        del container[key]
    else:
        container[key] = ODD[int(rng.integers(len(ODD)))]


def changed_archive(data: bytes, rng: np.random.Generator) -> bytes:
    """One part of a `.keras` file's configuration, or bytes of its weights, changed."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as source:
            parts = {info.filename: source.read(info) for info in source.infolist()}
        config = json.loads(parts["config.json"])
    except (zipfile.BadZipFile, ValueError, KeyError):
        return changed_bytes(data, rng)
    if rng.random() < 0.6:
        changed_configuration(config, rng)
        parts["config.json"] = json.dumps(config).encode()
    else:
        parts["model.weights.h5"] = changed_bytes(parts["model.weights.h5"], rng)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for name, part in parts.items():
            target.writestr(zipfile.ZipInfo(name), part)  # with a date that is always the same
    return buffer.getvalue()


def changed_hdf5(data: bytes, rng: np.random.Generator) -> bytes:
    """One part of an HDF5 file dropped, exchanged, linked elsewhere or set to something odd."""
    buffer = io.BytesIO(data)
    try:
        with h5py.File(buffer, "r+") as file:
            found: list[str] = []
            file.visit(found.append)
            first, second = (found[int(rng.integers(len(found)))] for _ in range(2))
            kind = int(rng.integers(6))
            value = file[second] if kind == 0 else None
            del file[first]
            if kind == 0:
                file[first] = value
            elif kind == 1:
                file[first] = h5py.SoftLink(f"/{second}")
            elif kind == 2:
                file[first] = h5py.ExternalLink("/etc/hostname", "/x")
            elif kind == 3:
                file[first] = ODD_ARRAYS[int(rng.integers(len(ODD_ARRAYS)))]
            elif kind == 4:
                length = int(rng.choice([1, 7, 20, 2**20, 2**40]))
                file.create_dataset(first, (length,), "f4", chunks=(min(length, 2**16),))
    except (OSError, KeyError, ValueError, RuntimeError, TypeError):
        return changed_bytes(data, rng)
    return buffer.getvalue()


CHANGES = {
    "onnx": changed_message,
    "keras": changed_archive,
    "nir": changed_hdf5,
    "lava": changed_hdf5,
}
