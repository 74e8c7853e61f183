"""The channels of a convolution: which channels of the source reach which of the target."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nmcompile.mapper.cut import Bounds, Cut, IntArray
from nmcompile.mapper.entry import is_skeleton


@dataclass(frozen=True)
class Reached:
    """Which channels of a piece a connection reaches.

    Attributes
    ----------
    first, last : the span of output channels with synapses in the piece
    base : channel at which targets are counted from zero
    lead : that channel within the piece, where the base can express it
    skip : compartments from the base to that channel, where it cannot
    """

    first: int
    last: int
    base: int
    lead: int
    skip: int


class Channels:
    """Channels of a view and of a convolution's weights, group by group.

    Attributes
    ----------
    seen : (view channels,) whether one lies in the source and has a weight that is not zero
    span : first and behind the last output channel with such a weight
    """

    def __init__(self, weights: NDArray[np.int16], groups: int, channel_of: IntArray) -> None:
        """`channel_of` is (view channels,): the channel of the source, -1 for none."""
        self._weights = weights
        self._groups = groups
        self.channel_of = channel_of
        alive = np.ones(len(channel_of), bool)
        self.span = (0, weights.shape[3])
        if groups == 1 and not is_skeleton(weights):
            alive = np.asarray(weights.any(axis=(0, 1, 3)))
            living = np.flatnonzero(weights.any(axis=(0, 1, 2)))
            self.span = (int(living[0]), int(living[-1]) + 1) if len(living) else (0, 0)
        self.seen = alive & (channel_of >= 0)
        self._known: dict[tuple[object, ...], list[tuple[int, int]]] = {}

    @cached_property
    def _view_channel(self) -> IntArray:
        """(source channels,) view channel that shows it, -1 for none."""
        shown = np.flatnonzero(self.seen)
        where = np.full(int(self.channel_of.max(initial=-1)) + 1, -1, np.int64)
        where[self.channel_of[shown]] = shown
        return where

    def reached(self, bounds: Bounds, target: Cut) -> Reached | None:
        """Which channels of a piece are reached; None for none."""
        first = max(bounds.channels[0], self.span[0])
        last = min(bounds.channels[1], self.span[1])
        if first >= last:
            return None
        lead = first - bounds.channels[0]
        if self._groups > 1:
            return Reached(first, last, bounds.channels[0], 0, 0)
        if target.channels_last:
            return Reached(first, last, first, lead, 0)
        return Reached(first, last, first, 0, lead * target.strides(bounds.shape)[2])

    def members(self, chunk: tuple[int, int]) -> IntArray:
        """View channels of a population, in the order of its atoms."""
        shown = self._view_channel[chunk[0] : chunk[1]]
        return shown[shown >= 0]

    def chunks(self, source: Cut, reached: Reached) -> list[tuple[int, int]]:
        """(chunk, longest row a place) of the populations that reach some channels."""
        first, last = reached.first, reached.last
        if first >= last:
            return []
        if self._groups == 1:
            # All inputs reach all outputs.
            chunks = self._chunks_seen(source)
            return [(k, last - first) for k in chunks]
        key = (source.grid[2], source.box[2], source.atoms, first, last)
        if key not in self._known:
            found = []
            for k, chunk in enumerate(source.chunks):
                spans = [self.outputs(int(m), first, last) for m in self.members(chunk)]
                longest = max((b - a for a, b in spans), default=0)
                if longest > 0:
                    found.append((k, longest))
            self._known[key] = found
        return self._known[key]

    def _chunks_seen(self, source: Cut) -> list[int]:
        """Populations of which a channel is seen."""
        key = ("seen", source.grid[2], source.box[2], source.atoms)
        if key not in self._known:
            self._known[key] = [
                (k, 0) for k, chunk in enumerate(source.chunks) if len(self.members(chunk))
            ]
        return [k for k, _ in self._known[key]]

    def outputs(self, member: int, first: int, last: int) -> tuple[int, int]:
        """Output channels that a view channel of a grouped convolution reaches in a span."""
        per_group = self._weights.shape[2]
        width = self._weights.shape[3] // self._groups
        group = member // per_group
        return max(group * width, first), min((group + 1) * width, last)
