"""Search for cuts: first layer by layer beside its neighbours, then all layers as they pack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil

import numpy as np

from nmcompile.hardware import HardwareModel
from nmcompile.mapper.cut import Cut, Grid
from nmcompile.mapper.entry import Split
from nmcompile.mapper.objective import Objective
from nmcompile.mapper.pack import Packing, pack
from nmcompile.mapper.pieces import Pieces, measure, measure_some
from nmcompile.mapper.problem import Choice, Problem

#: Rounds over all layers; a round that changes nothing is the last.
SWEEPS = 3
#: Cuts of a layer that are tried beside its neighbours, and in whole packings.
TRIED, PACKED = 12, 8
#: Along an axis, cuts into so many parts are all tried, and into more parts more sparsely.
PARTS = 24
STEP = 1.25
#: What a layer's cut costs where a piece does not fit, a share of a core too much.
MISFIT = 1e6
#: Networks of more pieces than this are not packed for every change.
MOST_PACKED = 900


@dataclass(frozen=True, eq=False)
class Option:
    """A way to cut a layer, with the splits of the links into it."""

    cut: Cut
    splits: dict[int, Split]

    def on(self, choice: Choice) -> Choice:
        """The choice with this layer cut so."""
        return choice.with_layer(self.cut, self.splits)


class Search:
    """Looks for the cuts of all layers of a problem."""

    def __init__(self, problem: Problem, objective: Objective) -> None:
        self.problem = problem
        self.objective = objective
        self._measured: dict[tuple[object, ...], Pieces] = {}

    def run(self) -> tuple[Choice, Packing]:
        """The best choice found, and its packing."""
        choice = self._alone(self._start())
        for _ in range(SWEEPS):
            after = self._sweep(choice)
            if after is choice:
                break
            choice = after
        return self._packed(choice)

    # Layer by layer.

    def _start(self) -> Choice:
        """Every layer in pieces as large as a core has compartments."""
        problem = self.problem
        cuts = {problem.encoder: problem.encoder_cut()}
        most = problem.hardware.core.compartments.value
        for name in problem.layers:
            rows, cols, channels = problem.grids[name]
            channels = min(channels, most)
            cols = min(cols, most // channels)
            box = (min(rows, most // (channels * cols)), cols, channels)
            cuts[name] = Cut(
                name, problem.grids[name], box, problem.hardware.axon.pop32_atoms.value
            )
        return Choice(cuts, (Split.NONE,) * len(problem.links))

    def _alone(self, choice: Choice) -> Choice:
        """Each layer cut well behind those before it, whatever comes after."""
        for name in self.problem.layers:
            ranked = self._ranked(choice, name)
            if ranked:
                choice = ranked[0].on(choice)
        return choice

    def _sweep(self, choice: Choice) -> Choice:
        """Each layer cut anew, beside its neighbours."""
        before = choice
        for name in self.problem.layers:
            near = self._neighbours(name)
            best, cost = choice, self._cost(choice, near)
            for option in self._ranked(choice, name)[:TRIED]:
                tried = option.on(choice)
                value = self._cost(tried, near)
                if value < cost - 1e-9:
                    best, cost = tried, value
            choice = best
        return choice if choice is not before else before

    def _neighbours(self, layer: str) -> list[str]:
        """The layer, those before it and those behind, the encoder left out."""
        problem = self.problem
        around = {layer}
        around |= {problem.ends(k)[0] for k in problem.into[layer]}
        around |= {problem.ends(k)[1] for k in problem.out_of[layer]}
        return [name for name in problem.layers if name in around]

    def _cost(self, choice: Choice, layers: list[str]) -> float:
        return sum(self._layer_cost(choice, name) for name in layers)

    def _layer_cost(self, choice: Choice, layer: str) -> float:
        """What a layer takes, in cores or what is optimised; misfits cost very much."""
        pieces = measure_some(self.problem, choice, layer)
        shares = pieces.shares(self.problem)
        worst = shares.max(axis=0)
        if worst.max() > 1 and shares[3].max() == worst.max():
            # The quick bound on output axons may be too high.
            pieces = self._measure(choice, layer)
            shares = pieces.shares(self.problem)
            worst = shares.max(axis=0)
        return self.objective.of_pieces(self.problem, pieces, shares) + MISFIT * float(
            (pieces.times * np.maximum(worst - 1, 0)).sum()
        )

    def _ranked(self, choice: Choice, layer: str) -> list[Option]:
        """Options for a layer, most promising first, by what their largest piece takes."""
        problem = self.problem
        found: list[tuple[float, int, Option]] = []
        for box in boxes(problem.grids[layer], problem.hardware):
            best: tuple[float, int, Option] | None = None
            for option in self._variants(choice, layer, box):
                pieces = measure_some(problem, option.on(choice), layer, edges=False)
                worst = float(pieces.shares(problem).max())
                cost = self.objective.of_pieces(problem, pieces, pieces.shares(problem))
                cost += MISFIT * max(0.0, worst - 1) * float(pieces.times.sum())
                if best is None or cost < best[0] - 1e-9:
                    best = (cost, len(found), option)
            if best is not None:
                found.append(best)
        found.sort(key=lambda each: each[:2])
        return [option for cost, _, option in found]

    def _variants(self, choice: Choice, layer: str, box: Grid) -> Iterator[Option]:
        """Numberings, population sizes and splits for one size of pieces."""
        problem = self.problem
        axon = problem.hardware.axon
        atoms = {min(axon.pop32_atoms.value, box[2])}
        if box[2] > axon.pop16_atoms.value:
            atoms.add(axon.pop16_atoms.value)
        single = box[:2] == (1, 1)
        links = problem.into[layer]
        for most, last in product(
            sorted(atoms, reverse=True), (True,) if single else (True, False)
        ):
            cut = Cut(layer, problem.grids[layer], box, most, last)
            splits = [problem.links[k].splits for k in links]
            shared = {split for each in splits for split in each}
            for split in sorted(shared, key=lambda each: list(Split).index(each)):
                yield Option(
                    cut,
                    {k: split if split in problem.links[k].splits else Split.NONE for k in links},
                )

    # All layers, packed.

    def _measure(self, choice: Choice, layer: str) -> Pieces:
        """All pieces of a layer, kept while neither it nor its neighbours change."""
        problem = self.problem
        around = [*problem.into[layer], *problem.out_of[layer]]
        key = (
            layer,
            choice.cuts[layer],
            *(
                (k, *(choice.cuts[name] for name in problem.ends(k)), choice.splits[k])
                for k in around
            ),
        )
        if key not in self._measured:
            self._measured[key] = measure(problem, choice, layer)
        return self._measured[key]

    def _all(self, choice: Choice) -> list[Pieces]:
        return [self._measure(choice, name) for name in self.problem.layers]

    def _fits(self, parts: list[Pieces]) -> bool:
        return all(part.shares(self.problem).max(initial=0) <= 1 for part in parts)

    def _packed(self, choice: Choice) -> tuple[Choice, Packing]:
        """The choice, improved as long as whole packings become better."""
        problem, objective = self.problem, self.objective
        parts = self._all(choice)
        packing = pack(problem, parts, apart=objective.apart)
        value = objective.of_packing(problem, parts, packing)
        if sum(len(part.number) for part in parts) > MOST_PACKED:
            return choice, packing
        for _ in range(SWEEPS):
            improved = False
            for name in problem.layers:
                if objective.reached(problem, packing):
                    return choice, packing
                for option in self._ranked(choice, name)[:PACKED]:
                    tried = option.on(choice)
                    parts = self._all(tried)
                    if not self._fits(parts):
                        continue
                    other = pack(problem, parts, apart=objective.apart)
                    score = objective.of_packing(problem, parts, other)
                    if score < value:
                        choice, packing, value, improved = tried, other, score, True
            if not improved:
                break
        return choice, packing


def boxes(grid: Grid, hardware: HardwareModel) -> list[Grid]:
    """Sizes of pieces worth trying: as large as compartments allow, and smaller ones."""
    most = hardware.core.compartments.value
    found: dict[Grid, None] = {}
    for channels in sizes(grid[2]):
        for rows in sizes(grid[0]):
            if rows * channels > most:
                continue
            widest = min(grid[1], most // (rows * channels))
            even = ceil(grid[1] / ceil(grid[1] / widest))
            for cols in {widest, even}:
                found[rows, cols, channels] = None
    return list(found)


def sizes(n: int) -> list[int]:
    """Sizes of intervals that `n` can be cut into, largest first."""
    parts, k = [], 1.0
    while ceil(k) <= n:
        parts.append(ceil(k))
        k = k + 1 if k < PARTS else k * STEP
    return sorted({ceil(n / k) for k in parts} | {1}, reverse=True)
