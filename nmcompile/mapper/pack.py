"""Pack pieces into cores: as few as possible, pieces of several layers together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nmcompile.mapper.compiled import compiled
from nmcompile.mapper.cut import IntArray
from nmcompile.mapper.pack_kernel import best_fit
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
        #: Layers with equal registers share their rows of the tables of profiles and thresholds.
        rows = [register_rows(problem, part.layer) for part in parts]
        numbers = {each: k for k, each in enumerate(dict.fromkeys(rows))}
        self.registers = np.array([numbers[each] for each in rows])[self.layer]
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
                joined("later_formats"),
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
            *(np.lexsort((-items.share, -need[:, k])) for k in range(need.shape[1])),
        ]
        tried = [_best_fit(problem, items, order) for order in orders]
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


def register_rows(problem: Problem, layer: str) -> tuple[tuple[int, int, int, int], int]:
    """A layer's rows of the tables of compartment profiles and of thresholds."""
    made = problem.layers[layer]
    return (made.decay_u, made.decay_v, made.refractory, 0), made.threshold_mantissa


def _best_fit(problem: Problem, items: _Items, order: IntArray) -> tuple[IntArray, IntArray]:
    """(pieces,) core and start of each, pieces taken in an order."""
    axon = problem.hardware.axon
    core, near = compiled(best_fit)(
        order.astype(np.int64),
        items.needs,
        items.words,
        items.highest,
        items.group,
        items.registers,
        items.limits,
        axon.pop16_base_multiple.value,
        axon.base_max.value,
        OPEN_CORES,
        FULL,
    )
    # On each core near pieces come first, in the order in which they were put there.
    turn = np.empty(len(order), np.int64)
    turn[order] = np.arange(len(order))
    seats = np.lexsort((turn, ~near, core))
    before = np.cumsum(items.compartments[seats]) - items.compartments[seats]
    first = np.append(True, np.diff(core[seats]) != 0)
    start = np.empty(len(order), np.int64)
    start[seats] = before - np.repeat(
        before[first], np.diff(np.append(np.flatnonzero(first), len(seats)))
    )
    return core, start
