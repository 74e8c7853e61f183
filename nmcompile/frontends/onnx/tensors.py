"""Numbers of an ONNX file as arrays: checked for type, shape and size before they are read."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.errors import ModelError
from nmcompile.frontends.budget import Budget
from nmcompile.frontends.layout import Refused
from nmcompile.frontends.onnx.external import read_external

#: Number of `TensorProto.DataType` -> type that its numbers are read as.
TYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64",
    9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16",
}  # fmt: skip
#: The same, for what is refused.
OTHER_TYPES = {
    0: "not said", 8: "text", 14: "complex64", 15: "complex128", 17: "float8e4m3fn",
    18: "float8e4m3fnuz",
    19: "float8e5m2", 20: "float8e5m2fnuz", 21: "uint4", 22: "int4", 23: "float4e2m1",
    24: "float8e8m0", 25: "uint2", 26: "int2", 27: "float6e2m3", 28: "float6e3m2",
}  # fmt: skip
FLOATS = frozenset({1, 10, 11, 16})
#: Axes that an array may have.
MAX_RANK = 16
#: Value of `TensorProto.data_location` for numbers in another file.
EXTERNAL = 1


def type_name(number: int) -> str:
    """A type's name in messages."""
    return TYPES.get(number) or OTHER_TYPES.get(number) or f"number {number}"


@dataclass(frozen=True, eq=False)
class TensorReader:
    """Reads tensors of one model.

    Attributes
    ----------
    where : the file, for messages
    folder : of the file; None for a model in memory
    budget : bytes that may still be read
    digest : takes up the bytes that come from other files
    """

    where: str
    folder: Path | None
    budget: Budget
    digest: Any = field(default_factory=hashlib.sha256)

    def read(self, proto: Any, place: str) -> NDArray[Any]:
        """A `TensorProto` as an array.

        Raises
        ------
        Refused
            Numbers of a type that is not read.
        ModelError
            A shape that the numbers do not fit.
        """
        shape = tuple(int(n) for n in proto.dims)
        if len(shape) > MAX_RANK or any(n < 0 for n in shape):
            text = str(shape)[:60]
            raise ModelError(f"{self.where}: {place}: its shape {text} is none; export it again")
        name = TYPES.get(proto.data_type)
        if name is None:
            raise Refused(
                f"it holds numbers of type {type_name(proto.data_type)}",
                "export the model with float32 weights",
            )
        stored = np.dtype("uint16" if name == "bfloat16" else name).newbyteorder("<")
        count = math.prod(shape)
        self.budget.take(count * max(4, stored.itemsize), place)
        if proto.data_location == EXTERNAL:
            data = read_external(
                proto.external_data, self.folder, count * stored.itemsize, self.where, place
            )
            self.digest.update(data)
            values = self._from_bytes(data, stored, count, place)
        elif proto.HasField("raw_data"):
            values = self._from_bytes(proto.raw_data, stored, count, place)
        else:
            values = self._from_fields(proto, name, count, place)
        if name == "bfloat16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        return values.reshape(shape)

    def _from_bytes(
        self, data: bytes, stored: np.dtype[Any], count: int, place: str
    ) -> NDArray[Any]:
        if len(data) != count * stored.itemsize:
            raise ModelError(
                f"{self.where}: {place}: it holds {len(data)} bytes, but its shape needs "
                f"{count * stored.itemsize}; copy or export the model again"
            )
        if stored.kind == "b":
            return np.frombuffer(data, np.uint8) != 0
        return np.frombuffer(data, stored).astype(stored.newbyteorder("="), copy=False)

    def _from_fields(self, proto: Any, name: str, count: int, place: str) -> NDArray[Any]:
        holder = {
            "float32": "float_data", "float64": "double_data", "int64": "int64_data",
            "uint32": "uint64_data", "uint64": "uint64_data",
        }.get(name, "int32_data")  # fmt: skip
        numbers = getattr(proto, holder)
        if len(numbers) != count:
            raise ModelError(
                f"{self.where}: {place}: it holds {len(numbers)} numbers, but its shape needs "
                f"{count}; copy or export the model again"
            )
        bits = name in ("float16", "bfloat16")
        target = np.dtype("uint16" if bits else name)
        if holder != "int32_data" and name != "uint32":
            return np.array(numbers, target)
        wide = np.array(numbers, np.uint64 if name == "uint32" else np.int64)
        if target.kind in "iu" and wide.size:
            limits = np.iinfo(target)
            if wide.min() < limits.min or wide.max() > limits.max:
                raise ModelError(
                    f"{self.where}: {place}: a number goes beyond its type {name}; export it again"
                )
        values = wide.astype(target)
        return values.view(np.float16) if name == "float16" else values
