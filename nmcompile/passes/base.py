"""What a pass is: a frozen dataclass with a name, options as fields, and a pure function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from nmcompile.errors import NmcompileWarning

__all__ = ["NmcompileWarning", "Pass"]

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True)
class Pass(Generic[In, Out]):
    """A step of the compiler.

    `run` takes a value and returns a new one; it never edits its argument. `requires` and
    `ensures` raise where the argument or the result is not what the pass promises.
    """

    name: ClassVar[str]
    purpose: ClassVar[str]

    def run(self, value: In) -> Out:
        """The result of the pass."""
        raise NotImplementedError

    def requires(self, value: In) -> None:
        """Raise unless the pass can take this value."""

    def ensures(self, value: Out) -> None:
        """Raise unless the result is whole."""

    def changes(self, before: In, after: Out) -> str:
        """What the pass did, in a few words."""
        return ""
