"""Tells an ONNX file by its first bytes; needs neither the `onnx` package nor the whole file.

An ONNX file is a protobuf message without a magic number: a row of fields, each a tag (number
and wire type), then a number or a length and so many bytes. The model's fields are few.
"""

from __future__ import annotations

from typing import BinaryIO

VARINT, BYTES = 0, 2
#: Number -> wire type of the fields of `ModelProto` (onnx.proto, IR version 14).
FIELDS = {
    1: VARINT, 2: BYTES, 3: BYTES, 4: BYTES, 5: VARINT, 6: BYTES, 7: BYTES, 8: BYTES, 14: BYTES,
    20: BYTES, 25: BYTES, 26: BYTES,
}  # fmt: skip
IR_VERSION, GRAPH = 1, 7
#: Fields before the graph that are looked at.
MOST_FIELDS = 1000


def looks_like_onnx(file: BinaryIO) -> bool:
    """Whether what lies before the graph, or before the end of a file cut short, is a model's."""
    for position in range(MOST_FIELDS):
        tag = _varint(file)
        if tag is None:
            return position > 0
        number, wire = tag >> 3, tag & 7
        if FIELDS.get(number) != wire or (position == 0 and number != IR_VERSION):
            return False
        if number == GRAPH:
            return True
        value = _varint(file)
        if value is None:
            return position > 0
        if wire == BYTES:
            file.seek(min(value, 2**40), 1)
    return False


def _varint(file: BinaryIO) -> int | None:
    """A number of seven bits a byte, the lowest first; None where the file ends or it is none."""
    value = 0
    for k in range(10):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << (7 * k)
        if byte[0] < 0x80:
            return value
    return None
