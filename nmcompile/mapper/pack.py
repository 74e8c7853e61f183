"""Pack pieces into cores: as few as possible, pieces of several layers together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nmcompile.mapper.cut import IntArray
from nmcompile.mapper.pieces import Pieces
from nmcompile.mapper.problem import Problem

#: Cores that are looked at for each piece; the fullest make room for new ones.
OPEN_CORES = 512
#: A core whose fullest resource leaves less than this is done.
FULL = 0.995


@dataclass(frozen=True, eq=False)
class Packing:
    """Which core each piece is on, and where it begins there.

    Attributes
    ----------
    core, start : layer name -> (pieces,) core, and compartment of the piece's first neuron
    cores : number of cores
    """

    core: dict[str, IntArray]
    start: dict[str, IntArray]
    cores: int

    def on_cores(self) -> list[list[tuple[str, int]]]:
        """For each core the (layer, piece) pairs on it, by where they begin."""
        found: list[list[tuple[int, str, int]]] = [[] for _ in range(self.cores)]
        for layer, cores in self.core.items():
            for piece, (core, start) in enumerate(
                zip(cores.tolist(), self.start[layer].tolist(), strict=True)
            ):
                found[core].append((start, layer, piece))
        return [[(layer, piece) for _, layer, piece in sorted(each)] for each in found]


class _Items:
    """The pieces of all layers, one after the other."""

    def __init__(self, problem: Problem, parts: Sequence[Pieces]) -> None:
        def joined(name: str) -> NDArray[np.int64]:
            return np.concatenate([getattr(part, name) for part in parts])

        #: Pieces that may share a core: the voltage limits are registers of a whole core.
        limits = [
            (problem.layers[part.layer].vmin_exponent, problem.layers[part.layer].vmax_exponent)
            for part in parts
        ]
        known = {each: k for k, each in enumerate(dict.fromkeys(limits))}
        self.group = np.repeat([known[each] for each in limits], [len(p.number) for p in parts])
        self.layer = np.repeat(np.arange(len(parts)), [len(part.number) for part in parts])
        self.number = joined("number")
        self.words, self.later = joined("words"), joined("later_words")
        self.highest, self.compartments = joined("highest"), joined("compartments")
        core = problem.hardware.core
        self.limits = np.array(
            [
                core.compartments.value,
                core.memory_words.value,
                core.input_axons.value,
                core.output_axon_slots.value,
                1 << problem.hardware.axon.pop16_target_bits.value,
                core.synapse_formats.value,
                min(core.profiles.value, core.threshold_profiles.value),
            ]
        )
        #: (pieces, resources) of a piece that is not alone, however far from compartment 0.
        self.needs = np.stack(
            [
                self.compartments,
                self.later,
                joined("axons"),
                joined("slots"),
                joined("narrow"),
                joined("formats"),
                np.ones(len(self.layer), np.int64),
            ],
            axis=1,
        )
        alone = self.needs.copy()
        alone[:, 1] = self.words
        self.share = (alone[:, :4] / self.limits[:4]).max(axis=1)


def pack(problem: Problem, parts: Sequence[Pieces], *, apart: bool = False) -> Packing:
    """Put pieces on cores.

    Best fit in descending order of size, tried with several ideas of size; a piece goes where it
    leaves least room. Pieces that store fewer words near compartment 0 come first on a core.

    Parameters
    ----------
    parts : of all layers, each with all its pieces
    apart : every piece on a core of its own
    """
    items = _Items(problem, parts)
    count = len(items.layer)
    if apart or count < 2:
        tried = [(np.arange(count), np.zeros(count, np.int64))]
    else:
        need = items.needs[:, :4] / items.limits[:4]
        orders = [
            np.lexsort((-need.sum(axis=1), -items.share)),
            np.argsort(-need.sum(axis=1), kind="stable"),
            np.argsort(-need[:, 1], kind="stable"),
        ]
        tried = [
            _best_fit(problem, items, order) for order in (orders if count <= 4000 else orders[:1])
        ]
    core, start = min(tried, key=lambda each: int(each[0].max(initial=-1)))
    # Cores are numbered by the first layer and piece on them.
    _, first, number = np.unique(core, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    core = rank[number.reshape(-1)]
    ends = np.cumsum([len(part.number) for part in parts])[:-1]
    names = [part.layer for part in parts]
    return Packing(
        core=dict(zip(names, np.split(core, ends), strict=True)),
        start=dict(zip(names, np.split(start, ends), strict=True)),
        cores=len(first),
    )


def _best_fit(problem: Problem, items: _Items, order: IntArray) -> tuple[IntArray, IntArray]:
    """(pieces,) core and start of each, pieces taken in an order."""
    axon = problem.hardware.axon
    multiple, base_max = axon.pop16_base_multiple.value, axon.base_max.value
    count, limits = len(order), items.limits
    core = np.full(count, -1)
    near = np.zeros(count, bool)
    low_first = items.words < items.later
    smallest = int(items.compartments.min(initial=0))
    # One row an open core: what is used, and how many compartments are taken by near pieces.
    used = np.zeros((min(count, OPEN_CORES), len(limits)), np.int64)
    taken = np.zeros(len(used), np.int64)
    name = np.full(len(used), -1)
    group = np.full(len(used), -1)
    members: list[list[int]] = []
    n_open = 0
    for piece in order.tolist():
        need = items.needs[piece]
        begin = taken[:n_open]
        lies_near = (
            low_first[piece] & (begin % multiple == 0) & (begin + items.highest[piece] <= base_max)
        )
        words = np.where(lies_near, items.words[piece], items.later[piece])
        after = used[:n_open] + need
        after[:, 1] += words - need[1]
        same = group[:n_open] == items.group[piece]
        fits = np.flatnonzero((after <= limits).all(axis=1) & same)
        if len(fits):
            left = (limits[:4] - after[fits, :4]) / limits[:4]
            at = int(fits[np.argmin(left.min(axis=1) + 0.1 * left.sum(axis=1))])
            used[at] = after[at]
            if lies_near[at]:
                near[piece] = True
                taken[at] += items.compartments[piece]
            core[piece] = name[at]
            members[name[at]].append(piece)
        else:
            core[piece] = len(members)
            members.append([piece])
            near[piece] = bool(low_first[piece])
            fresh = need.copy()
            if near[piece]:
                fresh[1] = items.words[piece]
            if (fresh > limits).any() or fresh[0] + smallest > limits[0]:
                continue
            if n_open == len(used):
                at = int(np.argmax((used[:, :4] / limits[:4]).max(axis=1)))
            else:
                at, n_open = n_open, n_open + 1
            used[at], name[at], group[at] = fresh, core[piece], items.group[piece]
            taken[at] = items.compartments[piece] if near[piece] else 0
        full = (used[at, :4] / limits[:4]).max() >= FULL
        if full:
            n_open -= 1
            for table in (used, taken, name, group):
                table[at] = table[n_open]
    start = np.zeros(count, np.int64)
    for pieces in members:
        offset = 0
        for piece in sorted(pieces, key=lambda each: not near[each]):
            start[piece] = offset
            offset += int(items.compartments[piece])
    return core, start
