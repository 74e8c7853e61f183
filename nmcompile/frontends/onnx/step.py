"""What converts one use of an ONNX operator: tensors of the network, and constants of the file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.errors import ModelError
from nmcompile.frontends.budget import Budget
from nmcompile.frontends.layout import Refused, Tensor
from nmcompile.frontends.onnx.attributes import Attributes
from nmcompile.frontends.onnx.graph import Graph, Op
from nmcompile.frontends.step import Step
from nmcompile.ir.nodes import FloatArray

#: Stands for the number of samples in shapes that a model computes.
BATCH = -(2**61)


@dataclass(frozen=True, eq=False)
class Constant:
    """A value that does not depend on the input.

    Attributes
    ----------
    array : numbers, in whole ones maybe `BATCH`
    """

    array: NDArray[Any]


@dataclass(frozen=True)
class Rounded(Tensor):
    """A tensor that the model rounds to whole numbers, until a DequantizeLinear.

    Attributes
    ----------
    scale, zero : step between numbers, and the whole number that stands for 0
    """

    scale: float
    zero: int


Value = Tensor | Constant


@dataclass(frozen=True, eq=False)
class Context:
    """What all operators of a model share.

    Attributes
    ----------
    where : the file, for messages
    kept : bytes that computed constants and the network's weights may take
    samples : how many the model takes at a time, where it says so
    """

    where: str
    graph: Graph
    kept: Budget
    samples: int | None

    def place(self, op: Op) -> str:
        """An operator, for messages."""
        return f"node {op.name!r} ({op.kind})"


@dataclass(frozen=True, eq=False)
class OpStep(Step):
    """One operator being converted; `values` are its inputs in order, None where left out."""

    op: Op
    values: tuple[Value | None, ...]
    context: Context

    def bad(self, text: str) -> ModelError:
        """An error for what no exporter would write."""
        place = self.context.place(self.op)
        return ModelError(f"{self.context.where}: {place}: {text}; export the model again")

    def value(self, k: int) -> Value | None:
        """An input, or None where it is left out."""
        return self.values[k] if k < len(self.values) else None

    def source(self, k: int = 0) -> Tensor:
        """An input that must be a tensor of the network."""
        value = self.value(k)
        if value is None:
            raise self.bad(f"it lacks input {k}")
        if isinstance(value, Constant):
            raise Refused(
                f"its input {k} is constant and another one is not",
                "exchange them, or export the model with constants folded",
            )
        return value

    def optional(self, k: int, what: str) -> NDArray[Any] | None:
        """An input that must be constant, or None where it is left out."""
        value = self.value(k)
        if isinstance(value, Tensor):
            raise Refused(
                f"its {what} {'are' if what.endswith('s') else 'is'} computed from the input",
                "export the model with constant weights and shapes",
            )
        return None if value is None else value.array

    def floats(self, k: int, what: str) -> FloatArray | None:
        """Numbers that must be constant, or None where they are left out."""
        array = self.optional(k, what)
        if array is None:
            return None
        if array.dtype.kind != "f":
            raise self.bad(f"its {what} are of type {array.dtype}, not floats")
        self.context.kept.take(4 * array.size, self.context.place(self.op))
        return as_floats(array)

    def weights(self, k: int, what: str = "weights") -> FloatArray:
        """Numbers that must be there."""
        found = self.floats(k, what)
        if found is None:
            raise self.bad(f"it lacks its {what}")
        return found

    def numbers(self, k: int, what: str) -> tuple[int, ...] | None:
        """Whole numbers that must be constant, such as axes, or None where they are left out."""
        array = self.optional(k, what)
        if array is None:
            return None
        if array.dtype.kind not in "iu" or array.ndim > 1 or array.size > 64:
            raise self.bad(f"its {what} are no short row of whole numbers")
        return tuple(int(n) for n in array.reshape(-1))

    def number(self, k: int, what: str) -> float | None:
        """One number that must be constant, or None where it is left out."""
        array = self.optional(k, what)
        if array is None:
            return None
        if array.size != 1 or array.dtype.kind not in "fiu":
            raise self.bad(f"its {what} is not one number")
        return float(array.reshape(-1)[0])


def as_floats(array: NDArray[Any]) -> FloatArray:
    """As float32; numbers beyond its range become infinite, which is refused later."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(array, np.float32)


#: Adds the nodes of one operator.
Converter = Callable[[OpStep], Tensor]
#: Reads an operator's attributes; what it returns converts it.
Parser = Callable[[Attributes], Converter]
