"""What a comparison of two networks finds: for each layer what differs, where, and by how much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nmcompile.ir.nodes import FloatArray


@dataclass(frozen=True)
class Difference:
    """Where two arrays of one shape differ most.

    Attributes
    ----------
    what : the numbers, such as ``"bias"``
    largest : absolute difference
    relative : the same by the largest number of both
    where : in words, such as ``"channel 4"``
    a, b : the numbers there
    """

    what: str
    largest: float
    relative: float
    where: str
    a: float
    b: float

    @property
    def sentence(self) -> str:
        """``by 0.3 at channel 4 (0.1 against 0.4)``."""
        return f"by {self.largest:.3g} at {self.where} ({self.a:.6g} against {self.b:.6g})"


@dataclass(frozen=True)
class LayerDiff:
    """One layer of both networks, or of one.

    Attributes
    ----------
    a, b : its names; None in a network that lacks it
    kind : of node
    shape : of its result in A, or B
    numbers : largest difference of each of its arrays
    values : largest difference of what it computes, where that was compared
    faults : what differs, in words; empty where nothing does
    """

    a: str | None
    b: str | None
    kind: str
    shape: tuple[int, ...]
    numbers: tuple[Difference, ...] = ()
    values: Difference | None = None
    faults: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether both have it, and nothing differs."""
        return not self.faults

    @property
    def place(self) -> str:
        """``conv2 (A) / Conv_3 (B)``."""
        both = ((self.a, "A"), (self.b, "B"))
        return " / ".join(f"{name} ({side})" for name, side in both if name is not None)


@dataclass(frozen=True)
class Comparison:
    """Two networks, layer by layer.

    Attributes
    ----------
    a, b : what they are called
    tolerance : relative difference up to which numbers are equal
    layers : in the order of A
    assumed : what was taken for the same though it is written otherwise
    samples : on which values were compared
    """

    a: str
    b: str
    tolerance: float
    layers: tuple[LayerDiff, ...]
    assumed: tuple[str, ...] = ()
    samples: int = 0

    @property
    def equal(self) -> bool:
        """Whether no layer differs."""
        return all(layer.equal for layer in self.layers)

    @property
    def first(self) -> LayerDiff | None:
        """The first layer that differs."""
        return next((layer for layer in self.layers if not layer.equal), None)

    @property
    def largest(self) -> float:
        """Largest relative difference of any number or value."""
        found = [each.relative for layer in self.layers for each in layer.numbers]
        found += [layer.values.relative for layer in self.layers if layer.values is not None]
        return max(found, default=0.0)

    @property
    def sentence(self) -> str:
        """Whether they are equal, or where they differ first."""
        if self.first is None:
            close = "exactly" if not self.largest else f"to {self.largest:.1g}"
            return f"equal {close}: {self.a} (A) and {self.b} (B)"
        return f"first differs at {self.first.place}: {'; '.join(self.first.faults)}"

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain values."""
        layers = [{**asdict(layer), "equal": layer.equal} for layer in self.layers]
        return {
            "equal": self.equal,
            "sentence": self.sentence,
            "largest": self.largest,
            **asdict(self),
            "layers": layers,
        }


def difference(
    what: str, a: FloatArray, b: FloatArray, words: Sequence[str] = ("place",)
) -> Difference:
    """Where two arrays of one shape differ most."""
    gap = np.abs(a.astype(np.float64) - b)
    place = np.unravel_index(int(gap.argmax()), gap.shape)
    largest = float(gap[place])
    scale = float(max(np.abs(a).max(), np.abs(b).max()))
    where = ", ".join(f"{word} {int(k)}" for word, k in zip(words, place, strict=True))
    relative = largest / scale if scale else 0.0
    return Difference(what, largest, relative, where, float(a[place]), float(b[place]))
