"""Cores to chips: as few messages between chips as can be found, never more than a chip holds.

The graph of traffic is halved again and again: its heaviest edges are contracted until little is
left, that is cut in two, and the cut is mended at each step back to the whole. Then pairs of chips
exchange cores, in the manner of Kernighan, Lin, Fiduccia and Mattheyses, for as long as it pays.
Mt-KaHyPar, where installed, gives another start, the order of cores a third; the best end counts,
and is mended once more by groups of cores. All weights are whole numbers, and no result depends
on the number of threads.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmcompile.errors import FitError
from nmcompile.mapper.chips_kernels import contract, extract, grow, mend, merge, relieve
from nmcompile.mapper.compiled import compiled
from nmcompile.mapper.traffic import Graph, Traffic

#: Below so many nodes a graph is cut as it is.
_SMALL = 80
#: Starts from which the smallest graph is cut; the first is the order of its nodes.
_TRIES = 6
#: Times that a graph is cut anew, of which the best counts, and the nodes that may go into them.
_REPEATS = 8
_REPEATED_NODES = 1 << 17
#: Times that a cut is mended at each level, at most, while that helps.
_PASSES = 4
#: Rounds in which pairs of chips exchange cores, at most.
_ROUNDS = 12
#: Part of the messages between chips that a round has to save for another one to follow.
_WORTHWHILE = 0.001
#: Cores that a pair of chips exchanges without saving anything before it gives up.
_PATIENCE = 60
#: Pairs of chips that exchange cores in a round, for each chip.
_PAIRS_A_CHIP = 12
#: Times that groups of cores are exchanged, at most, while that helps.
_CYCLES = 4
#: Edges above which Mt-KaHyPar is not asked, for it then takes longer than all the rest.
_OUTSIDE_EDGES = 1 << 20
#: Fill above the average that Mt-KaHyPar may leave on a chip; mended after.
_IMBALANCE = 0.02

Ints = NDArray[np.int64]
Indices = NDArray[np.int32]
Sides = NDArray[np.int8]


class _Level(NamedTuple):
    """A graph whose nodes stand for one core or several."""

    graph: Graph
    size: Ints


def in_order(cores: int, per_chip: int) -> Indices:
    """Chip of each core where chips fill in the order of cores."""
    return (np.arange(cores) // per_chip).astype(np.int32)


def assign_chips(
    traffic: Traffic, chips: int, per_chip: int, seed: int = 0, threads: int | None = None
) -> Indices:
    """Chip of each core, with as few messages between chips as are found.

    Takes as few chips as hold the cores, and numbers them in the order of the cores on them.

    Parameters
    ----------
    traffic : messages per time step from core to core
    chips : how many there are
    per_chip : cores that one chip holds
    seed : of the order in which edges are looked at; equal seeds give equal chips
    threads : that Mt-KaHyPar uses, None for all of the machine; makes no difference to the result

    Returns
    -------
    (cores,) int32; never with more messages between chips than `in_order`

    Raises
    ------
    FitError
        Where the chips do not hold the cores.
    """
    if traffic.cores > chips * per_chip:
        raise FitError(
            f"the network needs {traffic.cores} cores, {chips} chips have {chips * per_chip}; "
            f"take a larger board or make the network smaller",
            layer="",
            resource="cores",
            used=traffic.cores,
            limit=chips * per_chip,
        )
    plain = in_order(traffic.cores, per_chip)
    chips = -(-traffic.cores // per_chip)
    graph = traffic.symmetric()
    if chips < 2 or not len(graph.weight):
        return plain
    random = np.random.default_rng(seed)
    level = _Level(graph, np.ones(traffic.cores, np.int64))
    best = _exchanged(level, _halved(level, chips, per_chip, random), chips, per_chip)
    for start in (_mt_kahypar(graph, chips, per_chip, seed, threads), plain):
        # From a start so far behind, exchanges take long and do not catch up.
        if start is not None and _crossing(graph, start) <= 2 * _crossing(graph, best):
            end = _exchanged(level, start, chips, per_chip)
            best = min(best, end, key=lambda each: _crossing(graph, each))
    best = _numbered(_regrouped(level, best, chips, per_chip, random))
    return min(plain, best, key=traffic.between_chips)


def _crossing(graph: Graph, chip: Indices | Sides) -> int:
    """Weight between nodes of different chips, twice, for each edge stands in two rows."""
    return int(graph.weight[chip[graph.rows()] != chip[graph.neighbour]].sum())


def _numbered(chip: Indices) -> Indices:
    """Chips renamed in ascending order of the mean number of their cores."""
    members = np.bincount(chip)
    mean = np.bincount(chip, weights=np.arange(len(chip))) / np.maximum(members, 1)
    rank = np.empty(len(members), np.int32)
    rank[np.argsort(mean, kind="stable")] = np.arange(len(members), dtype=np.int32)
    return rank[chip]


def _coarsened(
    level: _Level, chip: Indices, fewest: int, largest: int, random: np.random.Generator
) -> tuple[list[tuple[_Level, Indices]], _Level, Indices]:
    """Contract edges within chips until few nodes are left, or all are as large as they may be.

    Returns the finer levels, each with the node of the next that takes each of its own, the
    last level, and the chips of its nodes.
    """
    finer = []
    while len(chip) > fewest:
        order = random.permutation(len(chip)).astype(np.int32)
        merged, count = compiled(merge)(*level.graph, level.size, chip, order, largest)
        if count > 0.95 * len(chip):
            break
        finer.append((level, merged))
        *graph, size = compiled(contract)(*level.graph, level.size, merged, count)
        level = _Level(Graph(*graph), size)
        fewer = np.empty(count, np.int32)
        fewer[merged] = chip
        chip = fewer
    return finer, level, chip


# From one start to a better end.


def _exchanged(level: _Level, start: Indices, chips: int, per_chip: int) -> Indices:
    """Chips after exchanges between the pairs of them with most messages, until none pays."""
    graph = level.graph
    chip = start.copy()
    slot = np.full(len(chip), -1, np.int32)
    ends = np.cumsum(np.bincount(chip, minlength=chips))
    members = np.split(np.argsort(chip, kind="stable"), ends[:-1])
    rows = graph.rows()
    active = np.ones(chips, bool)
    for _ in range(_ROUNDS):
        changed = np.zeros(chips, bool)
        saved = 0
        for one, other in _pairs(graph, rows, chip, active):
            both = np.concatenate([members[one], members[other]])
            part = compiled(extract)(*graph, both, slot)
            side = np.zeros(len(both), np.int8)
            side[len(members[one]) :] = 1
            gain = compiled(mend)(
                *part, level.size[both], side, per_chip, per_chip, _PASSES, _PATIENCE
            )
            if gain:
                members[one], members[other] = both[side == 0], both[side == 1]
                chip[members[one]], chip[members[other]] = one, other
                changed[[one, other]] = True
                saved += gain
        active = changed
        if saved <= _WORTHWHILE * _crossing(graph, chip) / 2:
            break
    return chip


def _pairs(graph: Graph, rows: Ints, chip: Indices, active: NDArray[np.bool_]) -> list[list[int]]:
    """Pairs of chips with messages between them, most first, at least one of the two active."""
    chips = len(active)
    one, other = chip[rows].astype(np.int64), chip[graph.neighbour].astype(np.int64)
    kept = (one < other) & (active[one] | active[other])
    keys, place = np.unique(one[kept] * chips + other[kept], return_inverse=True)
    weight = np.zeros(len(keys), np.int64)
    np.add.at(weight, place, graph.weight[kept])
    best = np.argsort(-weight, kind="stable")[: _PAIRS_A_CHIP * chips]
    pairs: list[list[int]] = np.stack(np.divmod(keys[best], chips), axis=1).tolist()
    return pairs


def _regrouped(
    level: _Level, start: Indices, chips: int, per_chip: int, random: np.random.Generator
) -> Indices:
    """Chips after exchanges of groups of cores, then of smaller and smaller ones."""
    best, cost = start, _crossing(level.graph, start)
    for _ in range(_CYCLES):
        finer, coarse, chip = _coarsened(level, best, 2 * chips, max(2, per_chip // 4), random)
        chip = _exchanged(coarse, chip, chips, per_chip)
        for fine, merged in reversed(finer):
            chip = _exchanged(fine, chip[merged], chips, per_chip)
        now = _crossing(level.graph, chip)
        before = cost
        if now < cost:
            best, cost = chip, now
        if before - now <= _WORTHWHILE * before:
            break
    return best


# A start of our own: halves of halves.


def _halved(level: _Level, chips: int, per_chip: int, random: np.random.Generator) -> Indices:
    """Chips by cutting the cores in two, and each half again, until each part is one chip."""
    chip = np.zeros(len(level.size), np.int32)
    slot = np.full(len(chip), -1, np.int32)
    whole = [(np.arange(len(chip)), 0, chips)]
    while whole:
        members, first, count = whole.pop()
        if count == 1 or not len(members):
            chip[members] = first
            continue
        part = Graph(*compiled(extract)(*level.graph, members, slot))
        left = count // 2
        room = left * per_chip, (count - left) * per_chip
        repeats = max(2, min(_REPEATS, _REPEATED_NODES // len(members)))
        cuts = [_cut(_Level(part, level.size[members]), *room, random) for _ in range(repeats)]
        _, side = min(cuts, key=lambda each: each[0])
        whole.append((members[side == 0], first, left))
        whole.append((members[side == 1], first + left, count - left))
    return chip


def _cut(
    level: _Level, left: int, right: int, random: np.random.Generator
) -> tuple[tuple[int, int], Sides]:
    """Side, 0 or 1, of each node, so that the sides hold no more than said; and what it costs."""
    cores = int(level.size.sum())
    together = np.zeros(len(level.size), np.int32)
    finer, level, _ = _coarsened(level, together, _SMALL, max(2, cores // 30), random)
    # As full as the other side, but no fuller than may be, and no emptier.
    goal = max(min(left, round(cores * left / (left + right))), cores - right)
    sides = [(np.cumsum(level.size) > goal).astype(np.int8)]
    for first in random.integers(len(level.size), size=_TRIES - 1).tolist():
        sides.append(compiled(grow)(*level.graph, level.size, first, goal))
    costs = [_mended(level, side, left, right) for side in sides]
    cost, best = min(zip(costs, sides, strict=True), key=lambda each: each[0])
    for fine, merged in reversed(finer):
        best = best[merged]
        cost = _mended(fine, best, left, right)
    return cost, best


def _mended(level: _Level, side: Sides, left: int, right: int) -> tuple[int, int]:
    """Mend the sides in place; cores too many, and the cut."""
    patience = _PATIENCE + len(side) // 20
    compiled(mend)(*level.graph, level.size, side, left, right, _PASSES, patience)
    held = np.bincount(side, weights=level.size, minlength=2)
    too_many = max(0, int(held[0]) - left) + max(0, int(held[1]) - right)
    return too_many, _crossing(level.graph, side)


# A start from Mt-KaHyPar.


def _mt_kahypar(
    graph: Graph, chips: int, per_chip: int, seed: int, threads: int | None
) -> Indices | None:
    """Chips from Mt-KaHyPar's deterministic preset; None without it, or for a large graph."""
    if len(graph.weight) // 2 > _OUTSIDE_EDGES:
        return None
    try:
        mtkahypar = import_module("mtkahypar")
    except ImportError:
        return None
    cores = len(graph.start) - 1
    rows = graph.rows()
    once = rows < graph.neighbour
    weight = graph.weight[once]
    # It counts in 32 bits.
    shift = max(0, int(weight.sum()).bit_length() - 29)
    few = np.maximum(weight >> shift, 1)
    edges = list(zip(rows[once].tolist(), graph.neighbour[once].tolist(), strict=True))
    library = mtkahypar.initialize(threads or os.cpu_count() or 1, False)
    mtkahypar.set_seed(seed % (1 << 31))
    context = library.context_from_preset(mtkahypar.PresetType.DETERMINISTIC)
    room = per_chip / -(-cores // chips) - 1
    context.set_partitioning_parameters(chips, max(room, _IMBALANCE), mtkahypar.Objective.CUT)
    context.logging = False
    given = library.create_graph(context, cores, len(edges), edges, [1] * cores, few.tolist())
    parts = np.array(given.partition(context).get_partition(), np.int32)
    relieved: Indices = compiled(relieve)(*graph, parts, chips, per_chip)
    return relieved
