"""One axis of a convolution: which rows (or columns) of the source reach which of the target."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nmcompile.mapper.cut import IntArray

#: Taps of a kernel along one axis that reach a piece: (target less the first target, tap).
Pattern = tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Units:
    """Along one axis, what of the source reaches an interval of the target.

    Attributes
    ----------
    source : (units,) row or column of the source
    first : (units,) first target row or column reached, counted within the interval
    pattern : (units,) index into the axis' patterns
    key : equal for intervals whose `first` and `pattern` are equal
    """

    source: IntArray
    first: IntArray
    pattern: IntArray
    key: int


class Axis:
    """One axis of a convolution: which source rows (or columns) reach which target rows."""

    def __init__(
        self,
        source: IntArray,
        taps: list[int],
        stride: int,
        padding: int,
        dilation: int,
        length: int,
    ) -> None:
        """`source` is (places,), -1 for none; `taps` name equal ones alike, -1 for dead ones."""
        self._source = source
        self._taps = taps
        self._stride, self._padding, self._dilation = stride, padding, dilation
        self.length = length
        self.patterns: list[Pattern] = []
        self._numbers: dict[Pattern, int] = {}
        self._keys: dict[bytes, int] = {}
        self._units: dict[tuple[int, int, bool, int], Units] = {}
        self._busiest: dict[tuple[int, int, bool, int], int] = {}

    @cached_property
    def halo(self) -> int:
        """Places on either side of the target with which no source place is at an edge."""
        reached = [
            (at + self._padding - k * self._dilation) // self._stride
            for at in range(len(self._source))
            if self._source[at] >= 0 and self._reached(at, 0, self.length)
            for k in range(len(self._taps))
            if self._taps[k] >= 0 and not (at + self._padding - k * self._dilation) % self._stride
        ]
        return max(0, -min(reached, default=0), max(reached, default=0) - self.length + 1)

    def busiest(self, source_box: int, target_box: int, split: bool, halo: int = 0) -> int:
        """Units that begin in one piece of the source, over all of the target, at most."""
        key = (source_box, target_box, split, halo)
        if key not in self._busiest:
            total = np.zeros(int(self._source.max(initial=0)) // source_box + 1, np.int64)
            for first in range(0, self.length, target_box):
                units = self.units(first, min(first + target_box, self.length), split, halo)
                total += np.bincount(units.source // source_box, minlength=len(total))
            self._busiest[key] = int(total.max())
        return self._busiest[key]

    def units(self, first: int, last: int, split: bool, halo: int = 0) -> Units:
        """Units of the target interval from `first` to before `last`; one a tap if `split`.

        Targets in a halo around the interval are reached too, and `first` counts from its start.
        """
        key = (first, last, split, halo)
        if key not in self._units:
            self._units[key] = self._find(first, last, split, halo)
        return self._units[key]

    def _find(self, first: int, last: int, split: bool, halo: int) -> Units:
        rows: list[tuple[int, int, int]] = []
        lowest = first * self._stride - self._padding
        highest = (last - 1) * self._stride - self._padding
        highest += (len(self._taps) - 1) * self._dilation
        for at in range(max(lowest, 0), min(highest + 1, len(self._source))):
            if self._source[at] < 0:
                continue
            taps = self._reached(at, first - halo, last + halo)
            for part in [taps[k : k + 1] for k in range(len(taps))] if split else [taps]:
                if any(first <= target < last for target, _ in part):
                    start = part[0][0]
                    pattern = tuple((target - start, tap) for target, tap in part)
                    seat = start - (first - halo)
                    rows.append((int(self._source[at]), seat, self._number(pattern)))
        source, begin, number = np.array(rows, np.int64).reshape(-1, 3).T
        seen = np.stack([begin, number]).tobytes()
        return Units(source, begin, number, self._keys.setdefault(seen, len(self._keys)))

    def _reached(self, at: int, first: int, last: int) -> list[tuple[int, int]]:
        """(target, tap) pairs of a place of the view, targets ascending."""
        found = []
        for k in reversed(range(len(self._taps))):
            target, rest = divmod(at + self._padding - k * self._dilation, self._stride)
            if not rest and first <= target < last and self._taps[k] >= 0:
                found.append((target, self._taps[k]))
        return found

    def _number(self, pattern: Pattern) -> int:
        if pattern not in self._numbers:
            self._numbers[pattern] = len(self.patterns)
            self.patterns.append(pattern)
        return self._numbers[pattern]
