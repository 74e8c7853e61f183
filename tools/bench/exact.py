"""The fewest cores that a small network can take, by exhaustive search and integer programming.

The mappings are those of the mapper: each layer cut in one of the ways that its search knows, and
pieces packed under the same limits. A choice of cuts is passed over only where simple sums show
that it needs more cores; for all others HiGHS decides whether the pieces can be packed.

    python -m tools.bench.exact --networks 100
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil, prod

import numpy as np

from nmcompile.chip.discrete import DiscreteGraph
from nmcompile.errors import FitError
from nmcompile.hardware import HardwareModel, load_hardware
from nmcompile.mapper.bounds import network_bound
from nmcompile.mapper.cut import Cut, Grid, IntArray
from nmcompile.mapper.flat_link import FlatLink
from nmcompile.mapper.image_link import ImageLink
from nmcompile.mapper.objective import Objective
from nmcompile.mapper.pack import pack
from nmcompile.mapper.pieces import Pieces, measure
from nmcompile.mapper.problem import Choice, Problem
from nmcompile.mapper.search import Option, Search, boxes
from tools.bench.networks import Chain, discrete

#: Columns of a piece's needs: what adds up on a core. Words are those of a piece that is near.
COMPARTMENTS, WORDS, AXONS, SLOTS, NARROW, FORMATS, PROFILES = range(7)
#: Those whose limits are drawn at random.
LIMITED = ("compartments", "memory_words", "input_axons", "output_axon_slots")
#: Pieces of a layer, at most, under the cuts that the limits are drawn for.
MOST_PIECES = 5
#: A single question to HiGHS may take so long.
SECONDS = 120.0


@dataclass(frozen=True)
class Outcome:
    """Cores that a network needs at least, at best, and with our mapping.

    `ours` is None where the mapper found nothing that fits, `exact` where there is nothing.
    """

    seed: int
    bound: int
    exact: int | None
    ours: int | None

    @property
    def in_order(self) -> bool:
        """Whether the bound is one, and nothing is better than the best."""
        if self.exact is None:
            return self.ours is None
        return self.bound <= self.exact and (self.ours is None or self.exact <= self.ours)


class Inputs(Problem):
    """A problem whose pieces are measured without their output axons."""

    def slots(self, choice: Choice, layer: str) -> IntArray:
        """None."""
        return np.zeros(choice.cuts[layer].pieces, np.int64)


class Exhaustive:
    """All ways to cut the layers of a problem, and what they take."""

    def __init__(self, graph: DiscreteGraph, hardware: HardwareModel) -> None:
        axon, core = hardware.axon, hardware.core
        # Otherwise a piece could start too late to be near.
        assert core.compartments.value <= axon.base_max.value + 1
        self.problem = problem = Inputs(graph, hardware)
        self.names = list(problem.layers)
        self.limits = np.array(
            [
                core.compartments.value,
                core.memory_words.value,
                core.input_axons.value,
                core.output_axon_slots.value,
                1 << axon.pop16_target_bits.value,
                core.synapse_formats.value,
                min(core.profiles.value, core.threshold_profiles.value),
            ]
        )
        search = Search(problem, Objective())
        self.options: dict[str, list[Option]] = {
            name: [
                option
                for box, halo in all_shapes(search._shapes(name))
                for option in search._variants(name, box, halo)
            ]
            for name in self.names
        }
        self._measured: dict[tuple[object, ...], Pieces] = {}
        self.asked = 0

    def fewest(self, most: int) -> int | None:
        """Cores at least, known that `most` are enough; None if more are needed."""
        found = None
        while most > 0 and self.possible(most):
            found, most = most, most - 1
        return found

    def possible(self, cores: int) -> bool:
        """Whether so many cores are enough."""
        return any(self.packs(parts, cores) for parts in self.choices(cores))

    # Choices.

    def choices(self, cores: int) -> Iterator[list[Pieces]]:
        """All cuts of all layers that so many cores might hold."""
        least = self._least(cores)
        behind = np.cumsum([least[name] for name in reversed(self.names)], axis=0)[::-1]
        room = cores * self.limits

        def deeper(chosen: dict[str, Option], total: IntArray) -> Iterator[dict[str, Option]]:
            depth = len(chosen)
            if depth == len(self.names):
                yield chosen
                return
            name = self.names[depth]
            rest = behind[depth + 1] if depth + 1 < len(self.names) else 0
            for option in self.options[name]:
                more = {**chosen, name: option}
                known = total + self._needs(more, name)
                if (known + rest <= room).all():
                    yield from deeper(more, known)

        for chosen in deeper({}, np.zeros(len(self.limits), np.int64)):
            parts = self._parts(chosen)
            if parts is not None and self._might(parts, cores):
                yield parts

    def _least(self, cores: int) -> dict[str, IntArray]:
        """Layer -> the least of each resource, over all of its cuts; drops those that never fit."""
        least = {}
        for name in self.names:
            kept, needs = [], []
            for option in self.options[name]:
                if option.cut.pieces > cores * self.limits[PROFILES]:
                    continue
                rows = [self._inputs(name, option, around) for around in self._sources(name)]
                rows = [each for each in rows if self._fits(each)]
                if rows:
                    kept.append(option)
                    needs.append(np.min([_table(each).sum(axis=0) for each in rows], axis=0))
            self.options[name] = kept
            none = np.full(len(self.limits), np.iinfo(np.int64).max // 1024)
            least[name] = np.min(needs, axis=0) if needs else none
        return least

    def _sources(self, name: str) -> list[dict[str, Cut]]:
        """Cuts of the layers before one, once each where they make a difference to it."""
        problem = self.problem
        found: list[dict[str, Cut]] = [{problem.encoder: problem.encoder_cut()}]
        for k in problem.into[name]:
            source = problem.ends(k)[0]
            if source not in (problem.encoder, name):
                cuts = {self._seen(k, option.cut): option.cut for option in self.options[source]}
                found = [{**each, source: cut} for each in found for cut in cuts.values()]
        return found

    def _seen(self, link: int, cut: Cut) -> tuple[object, ...]:
        """What a link's blocks depend on in the cut of its source."""
        kind = self.problem.links[link]
        if isinstance(kind, ImageLink):
            return cut.box[2], cut.atoms
        if isinstance(kind, FlatLink):
            return cut.box, cut.atoms
        return (cut,)

    def _inputs(self, name: str, option: Option, cuts: dict[str, Cut]) -> Pieces:
        """The pieces of a layer, without output axons."""
        problem = self.problem
        cuts = {**cuts, name: option.cut}
        key = (
            name,
            option.cut,
            *option.splits.items(),
            *(self._seen(k, cuts[problem.ends(k)[0]]) for k in problem.into[name]),
        )
        if key not in self._measured:
            splits = tuple(
                option.splits.get(k, problem.links[k].splits[0]) for k in range(len(problem.links))
            )
            self._measured[key] = measure(problem, Choice(cuts, splits), name)
        return self._measured[key]

    def _needs(self, chosen: dict[str, Option], name: str) -> IntArray:
        """What a layer takes as far as it is known; far too much if a piece does not fit."""
        cuts = {layer: option.cut for layer, option in chosen.items()}
        cuts[self.problem.encoder] = self.problem.encoder_cut()
        if any(self.problem.ends(k)[0] not in cuts for k in self.problem.into[name]):
            return np.zeros(len(self.limits), np.int64)
        pieces = self._inputs(name, chosen[name], cuts)
        return _table(pieces).sum(axis=0) + (0 if self._fits(pieces) else 1 << 40)

    def _parts(self, chosen: dict[str, Option]) -> list[Pieces] | None:
        """The pieces of all layers; None if one does not fit a core."""
        problem = self.problem
        cuts = {layer: option.cut for layer, option in chosen.items()}
        cuts[problem.encoder] = problem.encoder_cut()
        splits = {k: split for option in chosen.values() for k, split in option.splits.items()}
        choice = Choice(cuts, tuple(splits[k] for k in range(len(problem.links))))
        parts = []
        for name, option in chosen.items():
            pieces = self._inputs(name, option, cuts)
            slots = np.zeros(option.cut.pieces, np.int64)
            for k in problem.out_of[name]:
                slots = slots + problem.link_slots(choice, k)
            pieces = replace(pieces, slots=slots)
            if not self._fits(pieces):
                return None
            parts.append(pieces)
        return parts

    # Packings.

    def _fits(self, pieces: Pieces) -> bool:
        return bool((_table(pieces) <= self.limits).all())

    def _might(self, parts: list[Pieces], cores: int) -> bool:
        """Whether sums, and pieces too large to share a core, leave it open."""
        table = np.concatenate([_table(each) for each in parts])
        if (table.sum(axis=0) > cores * self.limits).any():
            return False
        return all(
            _at_least(table[:, k], int(self.limits[k])) <= cores for k in range(len(self.limits))
        )

    def packs(self, parts: list[Pieces], cores: int) -> bool:
        """Whether pieces can share so many cores."""
        if pack(self.problem, parts).cores <= cores:
            return True
        self.asked += 1
        return _solved(*self._kinds(parts), self.limits, cores)

    def _kinds(
        self, parts: list[Pieces]
    ) -> tuple[IntArray, IntArray, IntArray, IntArray, IntArray]:
        """Needs, words where not near, groups and numbers of pieces that are alike; odd ones."""
        layers = [self.problem.layers[each.layer] for each in parts]
        known: dict[tuple[int, int], int] = {}
        groups = [
            known.setdefault((layer.vmin_exponent, layer.vmax_exponent), len(known))
            for layer in layers
        ]
        rows = np.concatenate(
            [
                np.column_stack([_table(each), each.later_words, np.full(len(each.number), group)])
                for each, group in zip(parts, groups, strict=True)
            ]
        )
        kinds, counts = np.unique(rows, axis=0, return_counts=True)
        multiple = self.problem.hardware.axon.pop16_base_multiple.value
        needs, later, group = kinds[:, :-2], kinds[:, -2], kinds[:, -1]
        return needs, later, group, counts, needs[:, COMPARTMENTS] % multiple != 0


def all_shapes(shapes: list[tuple[Grid, int]]) -> list[tuple[Grid, int]]:
    """The mapper's sizes of pieces and halos, and all smaller ones, some of which it tries."""
    found = {
        ((fewer_rows, fewer_cols, fewer), halo): None
        for (rows, cols, channels), halo in shapes
        for fewer_rows in range(rows, 0, -1)
        for fewer_cols in (range(cols, 0, -1) if fewer_rows == 1 and not halo else (cols,))
        for fewer in range(channels, 0, -1)
    }
    return sorted(found, key=lambda shape: -prod(shape[0]))


def _table(pieces: Pieces) -> IntArray:
    """(pieces, resources) needs."""
    return np.column_stack(
        [
            pieces.compartments,
            pieces.words,
            pieces.axons,
            pieces.slots,
            pieces.narrow,
            pieces.formats,
            # Few layers have few profiles and thresholds, however many pieces share a core.
            np.zeros(len(pieces.number), np.int64),
        ]
    )


def _at_least(sizes: IntArray, limit: int) -> int:
    """Bins at least for items in one dimension (Martello and Toth's second bound)."""
    best = 0
    for small in {0, *sizes[sizes <= limit // 2].tolist()}:
        large = sizes > limit - small
        middle = (sizes > limit / 2) & ~large
        rest = sizes[(sizes >= small) & (sizes <= limit / 2)].sum()
        free = middle.sum() * limit - sizes[middle].sum()
        best = max(best, int(large.sum() + middle.sum() + ceil(max(0, rest - free) / limit)))
    return best


def _solved(
    needs: IntArray,
    later: IntArray,
    group: IntArray,
    counts: IntArray,
    odd: IntArray,
    limits: IntArray,
    cores: int,
) -> bool:
    """Whether HiGHS packs pieces of some kinds into cores.

    For each core and kind there are two whole numbers: pieces that store what they do near
    compartment 0, and others. All near ones but the last end at a compartment that bases reach.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array

    kinds, groups = len(counts), int(group.max()) + 1
    block = 2 * kinds + (groups if groups > 1 else 0)
    rows: list[tuple[dict[int, float], float, float]] = []
    for k in range(kinds):
        both = {core * block + side + k: 1.0 for core in range(cores) for side in (0, kinds)}
        rows.append((both, float(counts[k]), float(counts[k])))
    beyond = needs.copy()
    beyond[:, WORDS] = later
    for core in range(cores):
        at = core * block
        for r, limit in enumerate(limits.tolist()):
            use = {at + k: float(needs[k, r]) for k in range(kinds)}
            use |= {at + kinds + k: float(beyond[k, r]) for k in range(kinds)}
            rows.append((use, 0.0, float(limit)))
        rows.append(({at + k: 1.0 for k in np.flatnonzero(odd).tolist()}, 0.0, 1.0))
        if groups > 1:
            for k in range(kinds):
                flag = at + 2 * kinds + int(group[k])
                most = float(counts[k])
                rows.append(({at + k: 1.0, at + kinds + k: 1.0, flag: -most}, -np.inf, 0.0))
            rows.append(({at + 2 * kinds + g: 1.0 for g in range(groups)}, 0.0, 1.0))
        if core:
            # Cores are alike; let them stand by their compartments.
            size = needs[:, COMPARTMENTS]
            order = {at + s + k: float(size[k]) for k in range(kinds) for s in (0, kinds)}
            order |= {key - block: -value for key, value in list(order.items())}
            rows.append((order, -np.inf, 0.0))
    entries = [(r, c, v) for r, (each, _, _) in enumerate(rows) for c, v in each.items()]
    number, column, value = zip(*entries, strict=True)
    matrix = coo_array((value, (number, column)), shape=(len(rows), cores * block))
    top = np.concatenate([counts, counts, np.ones(block - 2 * kinds, np.int64)])
    result = milp(
        np.zeros(cores * block),
        integrality=np.ones(cores * block),
        bounds=Bounds(0, np.tile(top, cores)),
        constraints=LinearConstraint(
            matrix.tocsr(), [low for _, low, _ in rows], [high for _, _, high in rows]
        ),
        options={"time_limit": SECONDS},
    )
    if result.status not in (0, 2):
        raise RuntimeError(f"HiGHS did not decide: {result.message}")
    return result.status == 0


# Random networks.


def random_case(seed: int) -> tuple[DiscreteGraph, HardwareModel]:
    """A network of two or three layers on chip, and cores of which it needs a few."""
    rng = np.random.default_rng(seed)
    chain = Chain(f"random{seed}", (int(rng.integers(4, 7)), int(rng.integers(4, 7)), 2), seed)
    chain.conv("encoder", 1, int(rng.integers(2, 4)))
    convolutions = int(rng.integers(0, 3))
    for number in range(convolutions):
        channels = int(rng.integers(2, 5))
        kind = rng.integers(4)
        if kind == 0:
            chain.depthwise(f"conv{number}")
        else:
            chain.conv(f"conv{number}", int(rng.integers(1, 4)), channels, int(rng.integers(1, 3)))
    for number in range(int(rng.integers(max(0, 2 - convolutions), 4 - convolutions))):
        chain.dense(f"dense{number}", int(rng.integers(6, 25)))
    chain.dense("scores", 3, relu=False)
    loihi = load_hardware("loihi1")
    graph = discrete(chain.network(), loihi)
    problem = Problem(graph, loihi)
    search = Search(problem, Objective())
    while True:
        # Cores on which some random cuts fit, so that there is a mapping.
        choice = search._start()
        for name in problem.layers:
            grid = problem.grids[name]
            large = [b for b in boxes(grid, loihi) if Cut(name, grid, b, 1).pieces <= MOST_PIECES]
            options = list(search._variants(name, large[rng.integers(len(large))]))
            choice = options[rng.integers(len(options))].on(choice)
        table = np.concatenate([_table(measure(problem, choice, name)) for name in problem.layers])
        most = table.max(axis=0) * rng.uniform(1.0, 1.8, table.shape[1])
        limits = dict(zip(LIMITED, np.ceil(most).astype(int).tolist(), strict=False))
        if limits["compartments"] <= loihi.axon.base_max.value + 1:
            hardware = limited(loihi, **limits)
            if 3 <= network_bound(Problem(graph, hardware)).cores <= 8:
                return graph, hardware


def limited(hardware: HardwareModel, **limits: int) -> HardwareModel:
    """The chip with other limits of a core."""
    changed = {
        name: getattr(hardware.core, name).model_copy(update={"value": value})
        for name, value in limits.items()
    }
    return hardware.model_copy(update={"core": hardware.core.model_copy(update=changed)})


def compared(seed: int) -> Outcome:
    """Bound, best and ours for a random network."""
    from nmcompile.passes.partition import PartitionLayers

    graph, hardware = random_case(seed)
    bound = network_bound(Problem(graph, hardware)).cores
    try:
        ours = PartitionLayers(hardware).run(graph).n_cores
    except FitError:
        ours = None
    most = ours if ours is not None else 2 * bound
    exact = Exhaustive(graph, hardware).fewest(most)
    return Outcome(seed, bound, exact, ours)


def main() -> None:
    """Compare some random networks."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.exact")
    parser.add_argument("--networks", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    for seed in range(options.first, options.first + options.networks):
        begin = time.perf_counter()
        found = compared(seed)
        taken = time.perf_counter() - begin
        state = "" if found.in_order else "  OUT OF ORDER"
        print(
            f"{seed}: bound {found.bound}, exact {found.exact}, ours {found.ours}, "
            f"{taken:.1f} s{state}",
            flush=True,
        )


if __name__ == "__main__":
    main()
