"""What a spike of each neuron adds, and where: its fan-out, as few long runs of weights.

A neuron reaches rows on one core or several. Their runs are put in the order in which the
emulator numbers compartments, layer by layer, so that parts of a layer on several cores become
one run again; and weights that are equal, as those of a convolution at all places, are kept once.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nmcompile.backends.emulator.compiled import kernel
from nmcompile.backends.emulator.prefetch import LINE
from nmcompile.backends.emulator.rows import BRIDGED, Rows, ranges

#: Runs of weights are filled up with zeros to a multiple of this, so that they are added in whole
#: vectors; nothing is added to what lies behind a run's targets.
RUN_LANES = 32
#: Runs of fewer weights are not filled up, which would waste memory, but added one by one.
SHORT_RUN = 6
#: Larger than any run: where weights change, none is filled up.
WHOLE_RUN = 1 << 31


class Fanout(NamedTuple):
    """What a spike of each neuron sets off.

    `spans` has a row (first run, end of runs, synapses behind them) for each neuron. A run is
    (target, length, first, delay): weights[first:first + length] are added to the compartments
    from `target` on, `delay` steps later than otherwise.
    """

    spans: NDArray[np.int32]
    runs: NDArray[np.int32]


class Hops(NamedTuple):
    """Ways of spikes into rows: (hops,) neuron, row, and base, the axon's first compartment."""

    neuron: NDArray[np.int64]
    row: NDArray[np.int64]
    base: NDArray[np.int64]


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


def pieces(hops: Hops, rows: Rows, place: NDArray[np.int64]) -> Pieces:
    """All runs of all neurons, cut where neighbours on a core are none in the emulator's order.

    Parameters
    ----------
    place : (compartments,) number in the emulator of each compartment, counted through the cores
    """
    held = rows.run_start[hops.row + 1] - rows.run_start[hops.row]
    run = ranges(rows.run_start[hops.row], held)
    hop = np.repeat(np.arange(len(held)), held)
    start = hops.base[hop] + rows.target[run]
    # The last compartment of each stretch that is consecutive in both orders.
    ends = np.flatnonzero(np.append(np.diff(place) != 1, True))
    stretch = np.searchsorted(ends, start)
    cuts = np.searchsorted(ends, start + rows.length[run] - 1) - stretch + 1
    which = np.repeat(np.arange(len(run)), cuts)
    number = ranges(np.zeros(len(run), np.int64), cuts)
    begin = np.where(number == 0, start[which], ends[stretch[which] + number - 1] + 1)
    stop = np.minimum(start[which] + rows.length[run][which] - 1, ends[stretch[which] + number])
    hop = hop[which]
    fresh = np.ones(len(hop), bool)
    fresh[1:] = hop[1:] != hop[:-1]
    found = Pieces(
        neuron=hops.neuron[hop],
        target=place[begin],
        length=stop - begin + 1,
        first=rows.first[run][which] + begin - start[which],
        delay=rows.delay[run][which],
        hop=np.where(fresh, hop, -1),
    )
    order = np.lexsort((found.target, found.delay, found.neuron))
    return Pieces(*(column[order] for column in found))


def plain_fanout(found: Pieces, hops: Hops, rows: Rows, neurons: int) -> Fanout:
    """The pieces as they are, over the rows' own weights."""
    table = np.stack([found.target, found.length, found.first, found.delay], axis=1)
    start = np.searchsorted(found.neuron, np.arange(neurons + 1)).astype(np.int64)
    return Fanout(_spans(start, hops, rows), table.astype(np.int32))


def fused_fanouts(
    found: list[Pieces], hops: list[Hops], rows: Rows, neurons: list[int]
) -> tuple[list[Fanout], NDArray[np.int16]]:
    """Fan-outs with neighbouring pieces joined, and the weights that all of them share."""
    pool: Any = np.zeros(max(1 << 10, len(rows.weights)), np.int16)
    used = 0
    table: Any = np.zeros((1 << 10, 2), np.int64)
    entries = 0
    fuse = kernel(sys.modules[__name__], "_fuse")
    fanouts = []
    for part, ways, size in zip(found, hops, neurons, strict=True):
        start, runs, pool, used, table, entries = fuse(
            size, part, rows.weights, pool, used, table, entries
        )
        fanouts.append(Fanout(_spans(start, ways, rows), runs))
    weights = np.zeros(used + LINE // 2, np.int16)
    first = -weights.ctypes.data % LINE // 2
    weights[first : first + used] = pool[:used]
    return fanouts, weights[first : first + used]


def _spans(start: NDArray[np.int64], hops: Hops, rows: Rows) -> NDArray[np.int32]:
    """The table of neurons, whose runs are from start[n] to start[n + 1]."""
    neurons = len(start) - 1
    synapses = np.bincount(hops.neuron, weights=rows.synapses[hops.row], minlength=neurons)
    return np.stack([start[:-1], start[1:], synapses], axis=1).astype(np.int32)


@njit(cache=True)
def _fuse(
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
