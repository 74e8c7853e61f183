"""Random integers that are the same with every NumPy: raw output of PCG64, never to change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")


class Dice:
    """Draws in a row from one seed."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def many(self, low: int, high: int, size: int) -> NDArray[np.int64]:
        """Integers in low..high, both included."""
        raw = np.asarray(self._bits.random_raw(size), np.uint64).reshape(size)
        return (raw % np.uint64(high - low + 1)).astype(np.int64) + low

    def one(self, low: int, high: int) -> int:
        return int(self._bits.random_raw()) % (high - low + 1) + low

    def often(self, times: int, of: int) -> bool:
        """True that many times of so many."""
        return self.one(1, of) <= times

    def pick(self, items: Sequence[Item]) -> Item:
        return items[self.one(0, len(items) - 1)]

    def order(self, size: int) -> NDArray[np.int64]:
        """A permutation."""
        return np.argsort(self.many(0, (1 << 62) - 1, size), kind="stable")
