"""The numbers of one NIR node, each checked for what the node's type may have there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nmcompile.errors import ModelError
from nmcompile.frontends.nir.file import NirFile, NirNode
from nmcompile.ir.nodes import FloatArray


@dataclass(frozen=True, eq=False)
class Parameters:
    """Reads what a node holds; sentences name the file and the node."""

    node: NirNode
    file: NirFile

    @property
    def place(self) -> str:
        """The node, for messages."""
        return f"node {self.node.name[:80]!r} ({self.node.kind[:40]})"

    def bad(self, text: str) -> ModelError:
        """An error for what no tool would write."""
        return ModelError(f"{self.file.where}: {self.place}: {text}; write the file again")

    def __contains__(self, key: str) -> bool:
        return key in self.node.group

    def numbers(self, key: str) -> NDArray[np.float64]:
        """An array that must be there and be finite, in double precision."""
        found = self.file.value(self.node.group, key, self.place)
        if isinstance(found, str):
            raise self.bad(f"its {key} is a text, not numbers")
        values = np.asarray(found, np.float64)
        bad = int(np.count_nonzero(~np.isfinite(values)))
        if bad:
            raise self.bad(f"{bad} of the {values.size} numbers of its {key} are NaN or infinite")
        return values

    def weights(self, key: str, rank: int) -> FloatArray:
        """float32 weights with so many axes."""
        found = self.file.value(self.node.group, key, self.place)
        if isinstance(found, str) or found.ndim != rank or not found.size:
            raise self.bad(f"its {key} has no {rank} axes")
        with np.errstate(over="ignore", invalid="ignore"):
            values = np.asarray(found, np.float32)
        bad = values.size - int(np.count_nonzero(np.isfinite(values)))
        if bad:
            raise self.bad(f"{bad} of the {values.size} numbers of its {key} are NaN or infinite")
        return values

    def bias(self, size: int) -> FloatArray:
        """float32 bias of so many numbers."""
        found = self.weights("bias", 1)
        if found.shape != (size,):
            raise self.bad(f"its bias has shape {found.shape}, expected ({size},)")
        return found

    def whole(self, key: str, count: int, least: int = 1) -> tuple[int, ...]:
        """Whole numbers; a single one stands for `count` equal ones."""
        found = self.numbers(key).reshape(-1)
        if found.size not in (1, count) or np.any(found != np.rint(found)):
            raise self.bad(f"its {key} is not {count} whole numbers")
        if found.min() < least or found.max() > 2**31:
            raise self.bad(f"its {key} is {found.astype(int).tolist()}, expected {least} or more")
        return tuple(int(n) for n in np.broadcast_to(found, count))

    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes of an Input or Output."""
        found = self.numbers("shape").reshape(-1)
        if not 1 <= found.size <= 6 or found.min() < 1 or np.any(found != np.rint(found)):
            raise self.bad(f"its shape {found.tolist()[:8]} is none")
        return tuple(int(n) for n in np.minimum(found, 2**40))
