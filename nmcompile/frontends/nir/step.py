"""What converts one NIR node: its numbers, its inputs, and what the whole file assumes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nmcompile.frontends.layout import Refused, Tensor
from nmcompile.frontends.nir.dialects import DIALECTS
from nmcompile.frontends.nir.parameters import Parameters
from nmcompile.frontends.step import Step


@dataclass(frozen=True, eq=False)
class Context:
    """What all nodes of a file share.

    Attributes
    ----------
    dialect : tool whose rules the neurons follow; None where nobody says
    dt_s : length of a time step in seconds; None for the dialect's own
    notes : what was assumed, each once
    """

    dialect: str | None
    dt_s: float | None
    notes: dict[str, None] = field(default_factory=dict)

    @property
    def step_s(self) -> float | None:
        """Length of a time step in seconds, given or the dialect's own."""
        return self.dt_s or (DIALECTS[self.dialect].dt_s if self.dialect else None)

    def note(self, text: str) -> None:
        """Remember an assumption."""
        self.notes[text] = None


@dataclass(frozen=True, eq=False)
class NirStep(Step):
    """One node being converted.

    Attributes
    ----------
    final : whether only outputs read it
    looped : whether its spikes come back to it
    """

    parameters: Parameters
    context: Context
    final: bool
    looped: bool

    def per_value(self, key: str, x: Tensor) -> NDArray[np.float64]:
        """Numbers for each value of a tensor, of one number, its shape, or one per channel.

        Axes along which they are all equal have length 1 in the result; one number has no axes.
        """
        values = self.parameters.numbers(key)
        if values.size == 1:
            return values.reshape(())
        if values.shape != x.shape and values.shape == (x.shape[0],) and len(x.shape) > 1:
            values = values.reshape(-1, *(1,) * (len(x.shape) - 1))
        if values.ndim != len(x.shape) or any(
            n not in (1, m) for n, m in zip(values.shape, x.shape, strict=True)
        ):
            raise Refused(
                f"its {key} of shape {values.shape} does not fit its input of shape {x.shape}",
                "give one number, one per channel, or one per value",
            )
        for axis in range(values.ndim):
            first = values.take([0], axis)
            if np.array_equal(np.broadcast_to(first, values.shape), values):
                values = first
        return values.reshape(()) if values.size == 1 else values


#: Adds the nodes of one NIR node.
Converter = Callable[[NirStep], Tensor]
