"""What a mapping is chosen for: cores, traffic, energy or latency."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, inf, prod
from typing import Literal

import numpy as np

from nmcompile.hardware import HardwareModel
from nmcompile.mapper.bounds import network_bound
from nmcompile.mapper.cut import Cut
from nmcompile.mapper.pack import Packing
from nmcompile.mapper.pieces import FloatArray, Pieces
from nmcompile.mapper.problem import Problem

#: Resources of a piece that add up on a core, the first of `Pieces.shares`.
RESOURCES = 4
Goal = Literal["cores", "traffic", "energy", "latency"]

#: Each piece counts as this share of a core at least, whatever it takes.
PIECE_SHARE = 0.2
#: How much it counts that pieces of different needs can share cores.
MIXING = 0.5
#: Weight of everything that is not optimised, so that ties have an order.
TIE = 1e-3
#: What a piece costs that does not fit a core, for each share of a core too much.
MISFIT = 1e12
#: So close to the bound in cores, a mapping is as good as the best.
ENOUGH = 1.005
#: Hops of a message where nothing is placed yet.
USUAL_HOPS = 3


@dataclass(frozen=True)
class LayerCost:
    """What a layer's pieces cost.

    Attributes
    ----------
    alone : in cores if none shares a core; or in what is optimised
    cores : how many they take, roughly
    loads : cores' worth of each resource
    misfit : by how many cores' worth pieces exceed a core
    """

    alone: float
    cores: float
    loads: tuple[float, ...]
    misfit: float


@dataclass(frozen=True)
class Objective:
    """Puts numbers on cuts and packings; smaller is better.

    Attributes
    ----------
    goal : what is made small first
    most_cores : how many cores there are
    core_price : what a core costs, in the unit of what is made small
    """

    goal: Goal = "cores"
    most_cores: float = inf
    core_price: float = 0.0

    @property
    def apart(self) -> bool:
        """Whether pieces are better on cores of their own."""
        return self.goal == "latency"

    def of_layer(self, problem: Problem, pieces: Pieces) -> LayerCost:
        """A layer's cut, seen alone."""
        times = pieces.times
        shares = pieces.shares(problem)
        full = shares.max(axis=0)
        cores = float((times * (full * (1 - PIECE_SHARE) + PIECE_SHARE)).sum())
        loads = (shares[:RESOURCES] * times).sum(axis=1)
        misfit = float((times * np.maximum(full - 1, 0)).sum())
        if self.goal == "cores":
            alone = cores
        elif self.goal == "traffic":
            alone = float((times * pieces.spikes).sum()) + TIE * cores
        elif self.goal == "energy":
            alone = float((times * energy_pj(problem.hardware, pieces)).sum()) + TIE * cores
        else:
            alone = float(time_ns(problem, pieces).max(initial=0)) + TIE * cores
        taken = float(times.sum()) if self.apart else float((times * full).sum())
        return LayerCost(alone, taken, tuple(loads.tolist()), misfit)

    def total(self, costs: Iterable[LayerCost]) -> float:
        """All layers together."""
        rows = list(costs)
        alone = sum(row.alone for row in rows)
        misfit = sum(row.misfit for row in rows)
        loads = [sum(column) for column in zip(*(row.loads for row in rows), strict=True)]
        value = alone + TIE * sum(loads)
        if self.goal == "latency":
            # The slowest core makes the others wait; what these take hardly matters.
            value = max(row.alone for row in rows) + TIE * value
        if self.goal == "cores":
            value = (1 - MIXING) * alone + MIXING * max(loads) + TIE * sum(loads)
        cores = sum(row.cores for row in rows)
        excess = max(0.0, cores / self.most_cores - 1)
        return value + self.core_price * cores + MISFIT * (misfit + excess)

    def least(self, problem: Problem, cut: Cut) -> float:
        """What a cut costs at least, seen alone; known before its synapses are looked at."""
        if self.goal != "cores":
            return 0.0
        size = prod(cut.grid) / problem.hardware.core.compartments.value
        alone = size * (1 - PIECE_SHARE) + cut.pieces * PIECE_SHARE
        return (1 - MIXING) * alone + MIXING * size

    def promises(self, problem: Problem, costs: Iterable[LayerCost]) -> float:
        """Cores in sight over the bound."""
        rows = [cost.alone if self.goal == "cores" else cost.cores for cost in costs]
        return sum(rows) / network_bound(problem).cores

    def of_packing(
        self, problem: Problem, parts: Sequence[Pieces], packing: Packing
    ) -> tuple[float, float, float]:
        """All layers on their cores: what is too much, what is optimised, what comes next."""
        excess = max(0.0, packing.cores - self.most_cores) + misfit(problem, parts)
        return (excess, *self._of_cores(problem, parts, packing))

    def _of_cores(
        self, problem: Problem, parts: Sequence[Pieces], packing: Packing
    ) -> tuple[float, float]:
        messages = float(sum(part.spikes.sum() for part in parts))
        if self.goal == "cores":
            return packing.cores, messages
        if self.goal == "traffic":
            return messages, packing.cores
        if self.goal == "energy":
            energy = float(sum(energy_pj(problem.hardware, part).sum() for part in parts))
            return energy, packing.cores
        return step_ns(problem, parts, packing), packing.cores

    def reached(self, problem: Problem, packing: Packing) -> bool:
        """Whether nothing much better is possible."""
        return self.goal == "cores" and packing.cores <= ENOUGH * network_bound(problem).cores


def misfit(problem: Problem, parts: Sequence[Pieces]) -> float:
    """By how many cores' worth pieces exceed a core."""
    return sum(float(np.maximum(part.shares(problem) - 1, 0).sum()) for part in parts)


def energy_pj(hardware: HardwareModel, pieces: Pieces) -> FloatArray:
    """(pieces,) energy of a step: updates, events, and messages with some hops each."""
    energy = hardware.energy_pj
    hop = (energy.hop_east_west.value + energy.hop_north_south.value) / 2
    update = energy.neuron_access.value + energy.neuron_update.value
    message = energy.message_out.value + USUAL_HOPS * hop
    return (
        pieces.compartments * update
        + pieces.events * energy.synapse_dense.value
        + pieces.spikes * message
    )


def time_ns(problem: Problem, pieces: Pieces) -> FloatArray:
    """(pieces,) time of a step without synchronisation: updates, events and messages."""
    time = problem.hardware.time_ns
    sent = problem.rates[pieces.layer] * pieces.compartments
    return (
        pieces.compartments * (time.neuron_access.value + time.neuron_update.value)
        + pieces.events * time.synapse_dense.value
        + pieces.spikes * time.message_in.value
        + sent * time.spike_out.value
        + sent * time.message_out.value * pieces.slots / np.maximum(pieces.compartments, 1)
    )


def step_ns(problem: Problem, parts: Sequence[Pieces], packing: Packing) -> float:
    """Time of a step in ns: that of the slowest core, and the barrier for the tiles in use."""
    busy = np.zeros(packing.cores)
    for part in parts:
        np.add.at(busy, packing.core[part.layer], time_ns(problem, part))
    time = problem.hardware.time_ns
    tiles = ceil(packing.cores / problem.hardware.chip.cores_per_tile.value)
    steps = zip(time.barrier_tiles.values, time.barrier.values, strict=True)
    barrier = next((ns for most, ns in steps if tiles <= most), time.barrier.values[-1])
    return float(busy.max(initial=0)) + barrier
