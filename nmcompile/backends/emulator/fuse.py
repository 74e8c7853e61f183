"""Join neighbouring runs, and keep equal weights once; compiled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nmcompile.backends.emulator.rows import BRIDGED

#: Runs of weights are filled up with zeros to a multiple of this, so that they are added in whole
#: vectors; nothing is added to what lies behind a run's targets.
RUN_LANES = 32
#: Runs of fewer weights are not filled up, which would waste memory, but added one by one.
SHORT_RUN = 6
#: Larger than any run: where weights change, none is filled up.
WHOLE_RUN = 1 << 31


class Pieces(NamedTuple):
    """Runs of one neuron each, ascending by neuron, delay and target.

    `hop` is the hop that a piece belongs to, or -1 for all but a hop's first.
    """

    neuron: NDArray[np.int64]
    target: NDArray[np.int64]
    length: NDArray[np.int64]
    first: NDArray[np.int64]
    delay: NDArray[np.int64]
    hop: NDArray[np.int64]


@njit(cache=True)
def fuse(
    neurons: int,
    found: Pieces,
    weights: np.ndarray,
    pool: np.ndarray,
    used: int,
    table: np.ndarray,
    entries: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, np.ndarray, int]:
    """Join pieces, and look up each run's weights in the pool of those already there.

    `table` is a hash table of (first + 1, length) of what is in the pool.
    """
    total = len(found.neuron)
    start = np.zeros(neurons + 1, np.int64)
    runs = np.empty((total, 4), np.int32)
    scratch = np.zeros(1 << 12, np.int16)
    made = i = 0
    for n in range(neurons):
        start[n] = made
        while i < total and found.neuron[i] == n:
            j = i
            stop = found.target[i] + found.length[i]
            while (
                j + 1 < total
                and found.neuron[j + 1] == n
                and found.delay[j + 1] == found.delay[i]
                and 0 <= found.target[j + 1] - stop <= BRIDGED
            ):
                j += 1
                stop = found.target[j] + found.length[j]
            span = stop - found.target[i]
            if span > len(scratch):
                scratch = np.zeros(2 * span, np.int16)
            scratch[:span] = 0
            for k in range(i, j + 1):
                at, first = found.target[k] - found.target[i], found.first[k]
                scratch[at : at + found.length[k]] = weights[first : first + found.length[k]]
            if 2 * entries >= len(table):
                table = _rehash(table, pool)
            slot = _find(table, pool, scratch, span)
            if table[slot, 0] == 0:
                room = span if span < SHORT_RUN else (span + RUN_LANES - 1) // RUN_LANES * RUN_LANES
                if used + room > len(pool):
                    larger = np.zeros(2 * (used + room), np.int16)
                    larger[:used] = pool[:used]
                    pool = larger
                pool[used : used + span] = scratch[:span]
                table[slot, 0], table[slot, 1] = used + 1, span
                used += room
                entries += 1
            runs[made, 0], runs[made, 1] = found.target[i], span
            runs[made, 2], runs[made, 3] = table[slot, 0] - 1, found.delay[i]
            made += 1
            i = j + 1
    start[neurons] = made
    return start, runs[:made].copy(), pool, used, table, entries


@njit(cache=True)
def _hash(values: np.ndarray) -> np.uint64:
    """A hash of some weights, four lanes side by side for speed."""
    prime = np.uint64(0x100000001B3)
    a = np.uint64(0xCBF29CE484222325)
    b, c, d = a + np.uint64(1), a + np.uint64(2), a + np.uint64(3)
    whole = len(values) // 4 * 4
    for k in range(0, whole, 4):
        a = (a ^ np.uint64(np.uint16(values[k]))) * prime
        b = (b ^ np.uint64(np.uint16(values[k + 1]))) * prime
        c = (c ^ np.uint64(np.uint16(values[k + 2]))) * prime
        d = (d ^ np.uint64(np.uint16(values[k + 3]))) * prime
    for k in range(whole, len(values)):
        a = (a ^ np.uint64(np.uint16(values[k]))) * prime
    a = ((a ^ (b >> np.uint64(7))) * prime ^ (c >> np.uint64(13))) * prime ^ d
    return a ^ (a >> np.uint64(29))


@njit(cache=True)
def _find(table: np.ndarray, pool: np.ndarray, values: np.ndarray, span: int) -> int:
    """The slot that holds these weights, or the empty one that is to."""
    mask = len(table) - 1
    slot = np.int64(_hash(values[:span]) & np.uint64(mask))
    while table[slot, 0]:
        if table[slot, 1] == span:
            first = table[slot, 0] - 1
            same = True
            for k in range(span):
                if pool[first + k] != values[k]:
                    same = False
                    break
            if same:
                return slot
        slot = (slot + 1) & mask
    return slot


@njit(cache=True)
def _rehash(table: np.ndarray, pool: np.ndarray) -> np.ndarray:
    """The same entries in a table of twice the size."""
    larger = np.zeros((2 * len(table), 2), np.int64)
    mask = len(larger) - 1
    for k in range(len(table)):
        if table[k, 0]:
            first, span = table[k, 0] - 1, table[k, 1]
            slot = np.int64(_hash(pool[first : first + span]) & np.uint64(mask))
            while larger[slot, 0]:
                slot = (slot + 1) & mask
            larger[slot, 0], larger[slot, 1] = table[k, 0], span
    return larger
