"""Reads an operator's attributes: every one is understood, known to be harmless, or refused."""

from __future__ import annotations

import math
from typing import Any

from nmcompile.errors import ModelError, Obstacle
from nmcompile.frontends.onnx.graph import Op, clean

#: Number of `AttributeProto.AttributeType` -> the field that holds the value.
FIELDS = {1: "f", 2: "i", 3: "s", 4: "t", 6: "floats", 7: "ints", 8: "strings"}
WORDS = {
    "f": "a number", "i": "a whole number", "s": "a word", "t": "a tensor",
    "floats": "numbers", "ints": "whole numbers",
}  # fmt: skip


class Attributes:
    """The attributes of one operator; `problem` collects what cannot be compiled.

    Attributes
    ----------
    opset : version of the operators that the model is written in
    final : whether nothing computes behind this operator
    """

    def __init__(self, op: Op, where: str, opset: int, *, final: bool = False) -> None:
        self.op, self.opset, self.final = op, opset, final
        self.obstacles: list[Obstacle] = []
        self._where = where
        self._read: set[str] = set()

    def problem(self, why: str, remedy: str) -> None:
        """Note an obstacle."""
        self.obstacles.append(Obstacle(self.op.name, self.op.kind, why, remedy))

    def bad(self, key: str, value: object, expected: str) -> ModelError:
        """An error for what no exporter would write."""
        return ModelError(
            f"{self._where}: node {self.op.name!r} ({self.op.kind}): its {key} is "
            f"{str(value)[:60]}, expected {expected}; export the model again"
        )

    def raw(self, key: str, kind: str) -> Any:
        """The value of an attribute of a kind, as the file has it; None where it is left out."""
        self._read.add(key)
        proto = self.op.attributes.get(key)
        if proto is None:
            return None
        if proto.ref_attr_name:
            raise self.bad(key, f"that of a function, {proto.ref_attr_name[:40]!r}", WORDS[kind])
        found = FIELDS.get(proto.type)
        if found != kind:
            raise self.bad(key, f"of kind {WORDS.get(str(found), 'number ' + str(proto.type))}",
                           WORDS[kind])  # fmt: skip
        return getattr(proto, kind)

    def whole(self, key: str, default: int) -> int:
        """A whole number."""
        value = self.raw(key, "i")
        return default if value is None else int(value)

    def flag(self, key: str, default: bool = False) -> bool:
        """0 or 1."""
        value = self.whole(key, int(default))
        if value not in (0, 1):
            raise self.bad(key, value, "0 or 1")
        return value == 1

    def number(self, key: str, default: float) -> float:
        """A finite number."""
        value = self.raw(key, "f")
        if value is None:
            return default
        if not math.isfinite(value):
            raise self.bad(key, value, "a finite number")
        return float(value)

    def ints(self, key: str, low: int | None = None) -> tuple[int, ...] | None:
        """Whole numbers of at least `low`, or None where they are left out."""
        value = self.raw(key, "ints")
        if value is None:
            return None
        if len(value) > 16 or (low is not None and any(n < low for n in value)):
            least = "" if low is None else f" of at least {low}"
            raise self.bad(key, list(value[:16]), f"a few whole numbers{least}")
        return tuple(int(n) for n in value)

    def choice(self, key: str, allowed: tuple[str, ...]) -> str:
        """One of some words; the first is the default."""
        value = self.raw(key, "s")
        text = allowed[0] if value is None else bytes(value).decode("utf-8", "replace")
        if text not in allowed:
            raise self.bad(key, repr(text), " or ".join(allowed))
        return text

    def ignore(self, *keys: str) -> None:
        """Attributes that say nothing about what a trained operator computes."""
        self._read.update(keys)

    def finish(self) -> None:
        """Note every attribute that was not read."""
        for key in self.op.attributes:
            if key not in self._read:
                self.problem(
                    f"its attribute {clean(key)} is not known", "export without it, or leave it out"
                )
