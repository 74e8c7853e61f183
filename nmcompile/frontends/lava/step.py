"""What converts one layer of a `.net` file: its numbers, its input, and what the file assumes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nmcompile.frontends.lava.file import LavaLayer
from nmcompile.frontends.layout import Tensor
from nmcompile.frontends.step import Step


@dataclass(frozen=True, eq=False)
class LavaStep(Step):
    """One layer being converted.

    Attributes
    ----------
    layer : its numbers
    notes : what was assumed, each once
    final : whether it is the network's last layer
    """

    layer: LavaLayer
    notes: dict[str, None]
    final: bool = False

    def note(self, text: str) -> None:
        """Remember an assumption."""
        self.notes[text] = None


#: Adds the nodes of one layer.
Converter = Callable[[LavaStep], Tensor]
