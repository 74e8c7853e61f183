"""What a spike of each neuron adds, and where: its fan-out, as few long runs of weights.

A neuron reaches rows on one core or several. Their runs are put in the order in which the
emulator numbers compartments, layer by layer, so that parts of a layer on several cores become
one run again; and weights that are equal, as those of a convolution at all places, are kept once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmcompile.backends.emulator import fuse
from nmcompile.backends.emulator.compiled import kernel
from nmcompile.backends.emulator.fuse import Pieces
from nmcompile.backends.emulator.prefetch import LINE
from nmcompile.backends.emulator.rows import Rows, ranges
from nmcompile.errors import CompileError


class Fanout(NamedTuple):
    """What a spike of each neuron sets off.

    `spans` has a row for each neuron: first run, end of runs, and how many of their weights are
    other than 0. A run is (target, length, first, delay): weights[first:first + length] are
    added to the compartments from `target` on, `delay` steps later than otherwise.
    """

    spans: NDArray[np.int32]
    runs: NDArray[np.int32]


class Hops(NamedTuple):
    """Ways of spikes into rows: (hops,) neuron, row, and base, the axon's first compartment."""

    neuron: NDArray[np.int64]
    row: NDArray[np.int64]
    base: NDArray[np.int64]


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
    parts = [
        _cut(np.flatnonzero(rows.step[run] == step), int(step), start, rows.length[run], place)
        for step in np.unique(rows.step[run])
    ]
    if not parts:
        return Pieces(*(np.zeros(0, np.int64),) * len(Pieces._fields))
    which, ahead, begin, length = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.lexsort((ahead, which))
    which, ahead, begin, length = (each[order] for each in (which, ahead, begin, length))
    hop = hop[which]
    fresh = np.ones(len(hop), bool)
    fresh[1:] = hop[1:] != hop[:-1]
    found = Pieces(
        neuron=hops.neuron[hop],
        target=begin,
        length=length,
        first=rows.first[run][which] + ahead,
        delay=rows.delay[run][which],
        hop=np.where(fresh, hop, -1),
    )
    order = np.lexsort((found.target, found.delay, found.neuron))
    return Pieces(*(column[order] for column in found))


def _cut(
    which: NDArray[np.int64],
    step: int,
    start: NDArray[np.int64],
    length: NDArray[np.int64],
    place: NDArray[np.int64],
) -> tuple[NDArray[np.int64], ...]:
    """Some runs of one step, cut where their targets are not consecutive in the emulator's order.

    Returns
    -------
    which, ahead, begin, length : (pieces,) run of each, its weights before the piece, first
        target, and targets
    """
    # Compartments in an order in which those a step apart are neighbours.
    count = len(place)
    order = np.concatenate([np.arange(k, count, step) for k in range(min(step, count))])
    rank = np.empty(count, np.int64)
    rank[order] = np.arange(count)
    seat = place[order]
    # The last compartment of each stretch that is consecutive in both orders.
    ends = np.flatnonzero(np.append((np.diff(seat) != 1) | (np.diff(order) != step), True))
    first = rank[start[which]]
    last = first + length[which] - 1
    stretch = np.searchsorted(ends, first)
    cuts = np.searchsorted(ends, last) - stretch + 1
    run = np.repeat(np.arange(len(which)), cuts)
    number = ranges(np.zeros(len(which), np.int64), cuts)
    begin = np.where(number == 0, first[run], ends[stretch[run] + number - 1] + 1)
    stop = np.minimum(last[run], ends[stretch[run] + number])
    return which[run], begin - first[run], seat[begin], stop - begin + 1


def plain_fanout(found: Pieces, hops: Hops, rows: Rows, neurons: int) -> Fanout:
    """The pieces as they are, over the rows' own weights."""
    _check_size(len(rows.weights))
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
    join = kernel(fuse, "fuse")
    fanouts = []
    for part, ways, size in zip(found, hops, neurons, strict=True):
        start, runs, pool, used, table, entries = join(
            size, part, rows.weights, pool, used, table, entries
        )
        fanouts.append(Fanout(_spans(start, ways, rows), runs))
    _check_size(used)
    weights = np.zeros(used + LINE // 2, np.int16)
    first = -weights.ctypes.data % LINE // 2
    weights[first : first + used] = pool[:used]
    return fanouts, weights[first : first + used]


def _check_size(weights: int) -> None:
    if weights > np.iinfo(np.int32).max:
        raise CompileError(
            f"the Program has {weights} weights in rows, the emulator holds "
            f"{np.iinfo(np.int32).max}; run it on fewer chips, in parts"
        )


def _spans(start: NDArray[np.int64], hops: Hops, rows: Rows) -> NDArray[np.int32]:
    """The table of neurons, whose runs are from start[n] to start[n + 1]."""
    neurons = len(start) - 1
    synapses = np.bincount(hops.neuron, weights=rows.synapses[hops.row], minlength=neurons)
    return np.stack([start[:-1], start[1:], synapses], axis=1).astype(np.int32)
