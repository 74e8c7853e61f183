"""Search for cuts: layer by layer beside its neighbours, in pairs, then all layers as they pack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import ceil, prod

from nmcompile.hardware import HardwareModel
from nmcompile.mapper.cut import Cut, Grid
from nmcompile.mapper.entry import Split
from nmcompile.mapper.matrix_link import MatrixLink
from nmcompile.mapper.objective import LayerCost, Objective, misfit
from nmcompile.mapper.pack import Packing, pack
from nmcompile.mapper.pieces import Pieces, measure, measure_some
from nmcompile.mapper.problem import Choice, Problem

#: Factors on rough numbers of output axons, until what was found does fit.
CAUTION = (1.0, 1.15, 1.5)
#: Rounds over all layers; a round that changes nothing is the last.
SWEEPS = 3
#: Cuts of a layer that are tried beside its neighbours, in pairs with the next, and packed.
TRIED, PAIRED, PACKED = 12, 6, 16
#: Cuts that are tried, at most, of a layer that does not fit, and of those before it.
MENDED, MENDED_SOURCES = 400, 60
#: Along an axis, cuts into so many parts are all tried, and into more parts more sparsely.
PARTS = 24
STEP = 1.25
#: Population sizes that are tried where rows are sparse.
FEW_ATOMS = (1, 2, 3, 4, 6, 8, 16)
#: Cuts that cost at least so many times the best are not looked at.
HOPELESS = 1.6
#: Networks of more pieces than this are not packed for every change.
MOST_PACKED = 2500
#: Pairs of layers are cut together where so many more cores than the bound are in sight.
WORTH_PAIRS = 1.03


@dataclass(frozen=True, eq=False)
class Option:
    """A way to cut a layer, with the splits of the links into it."""

    cut: Cut
    splits: dict[int, Split]

    def on(self, choice: Choice) -> Choice:
        """The choice with this layer cut so."""
        return choice.with_layer(self.cut, self.splits)


@dataclass(frozen=True, eq=False)
class _State:
    """A choice, what each layer costs under it, and all of them together."""

    choice: Choice
    costs: Mapping[str, LayerCost]
    total: float


class Search:
    """Looks for the cuts of all layers of a problem."""

    def __init__(self, problem: Problem, objective: Objective) -> None:
        self.problem = problem
        self.objective = objective
        self._measured: dict[tuple[object, ...], Pieces] = {}
        self._rankings: dict[tuple[object, ...], list[Option]] = {}

    def run(self) -> tuple[Choice, Packing]:
        """The best choice found, and its packing."""
        for self.problem.caution in CAUTION:
            self._rankings.clear()
            found = self._search()
            if self._fits(self._all(found[0])):
                break
        return found

    def _search(self) -> tuple[Choice, Packing]:
        state = self._state(self._alone(self._start()))
        for _ in range(SWEEPS):
            before = state.total
            state = self._sweep(state)
            if self.objective.promises(self.problem, state.costs.values()) > WORTH_PAIRS:
                state = self._pairs(state)
            if state.total >= before:
                break
        return self._packed(state.choice)

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
            choice = next(iter(self._ranked(choice, name, 1))).on(choice)
        return choice

    def _state(self, choice: Choice) -> _State:
        costs = {name: self._cost(choice, name) for name in self.problem.layers}
        return _State(choice, costs, self.objective.total(costs.values()))

    def _moved(self, state: _State, choice: Choice, layers: Iterable[str]) -> _State:
        """The state of another choice, in which only some layers cost something else."""
        costs = {**state.costs, **{name: self._cost(choice, name) for name in layers}}
        return _State(choice, costs, self.objective.total(costs.values()))

    def _sweep(self, state: _State) -> _State:
        """Each layer cut anew, beside its neighbours."""
        for name in self.problem.layers:
            near = self._neighbours({name})
            base = state.choice
            for option in self._ranked(base, name, TRIED):
                tried = self._moved(state, option.on(base), near)
                if tried.total < state.total - 1e-9:
                    state = tried
        return state

    def _pairs(self, state: _State) -> _State:
        """Each two layers behind each other cut anew together."""
        problem = self.problem
        for first, second in dict.fromkeys(map(problem.ends, range(len(problem.links)))):
            if first == problem.encoder or first == second:
                continue
            near = self._neighbours({first, second})
            base = state.choice
            for option in self._ranked(base, first, PAIRED):
                half = option.on(base)
                for other in self._ranked(half, second, PAIRED):
                    tried = self._moved(state, other.on(half), near)
                    if tried.total < state.total - 1e-9:
                        state = tried
        return state

    def _neighbours(self, layers: set[str]) -> list[str]:
        """Some layers, those before them and those behind, the encoder left out."""
        problem = self.problem
        around = set(layers)
        for layer in layers:
            around |= {problem.ends(k)[0] for k in problem.into[layer]}
            around |= {problem.ends(k)[1] for k in problem.out_of[layer]}
        return [name for name in problem.layers if name in around]

    def _cost(self, choice: Choice, layer: str) -> LayerCost:
        if self._is_irregular(layer):
            # No piece is like another.
            return self.objective.of_layer(self.problem, self._measure(choice, layer))
        pieces = measure_some(self.problem, choice, layer)
        shares = pieces.shares(self.problem)
        if shares.max() > 1 and shares[3].max() == shares.max():
            # The quick bound on output axons may be too high.
            pieces = self._measure(choice, layer)
        return self.objective.of_layer(self.problem, pieces)

    def _is_irregular(self, layer: str) -> bool:
        problem = self.problem
        around = [*problem.into[layer], *problem.out_of[layer]]
        return any(isinstance(problem.links[k], MatrixLink) for k in around)

    def _ranked(
        self, choice: Choice, layer: str, count: int, *, diverse: bool = False
    ) -> list[Option]:
        """Options for a layer, most promising first, by what their middle piece takes.

        If `diverse`, only the best of those with equally many pieces.
        """
        key = (layer, count, diverse, *self._surroundings(choice, layer))
        if key not in self._rankings:
            self._rankings[key] = self._rank(choice, layer, count, diverse)
        return self._rankings[key]

    def _rank(self, choice: Choice, layer: str, count: int, diverse: bool) -> list[Option]:
        problem = self.problem
        found: list[tuple[float, int, Option]] = []
        best: list[float] = []
        todo = self._shapes(layer)
        seen = set(todo)
        while todo:
            box, halo = todo.pop(0)
            cut = Cut(layer, problem.grids[layer], box, 1, halo=halo)
            least = self.objective.least(problem, cut)
            if (
                best
                and least > (HOPELESS * best[0] if diverse else best[-1])
                and (diverse or len(best) >= count)
            ):
                continue
            rows = [
                (*self._middle_cost(option.on(choice), layer), number, option)
                for number, option in enumerate(self._variants(layer, box, halo))
            ]
            cost, share, _, option = min(rows, key=lambda row: (row[0], row[2]))
            found.append((cost, len(found), option))
            best = sorted([*best, cost])[:count]
            if share > 1:
                smaller = [shape for shape in _smaller(box, halo, share) if shape not in seen]
                seen.update(smaller)
                todo = smaller + todo
        found.sort(key=lambda each: each[:2])
        options = [option for _, _, option in found]
        if diverse:
            first = {option.cut.pieces: option for option in reversed(options)}
            options = [option for option in options if first[option.cut.pieces] is option]
        return options[:count]

    def _surroundings(self, choice: Choice, layer: str) -> tuple[object, ...]:
        """What of a choice the options of a layer depend on."""
        problem = self.problem
        return tuple(
            (k, choice.cuts[name], choice.splits[k])
            for k in [*problem.into[layer], *problem.out_of[layer]]
            for name in problem.ends(k)
            if name != layer
        )

    def _middle_cost(self, choice: Choice, layer: str) -> tuple[float, float]:
        """Cost of a layer as if all pieces were like the middle one, and that one's share."""
        pieces = measure_some(self.problem, choice, layer, edges=False)
        cost = self.objective.of_layer(self.problem, pieces)
        return self.objective.total([cost]), float(pieces.shares(self.problem).max())

    def _shapes(self, layer: str) -> list[tuple[Grid, int]]:
        """Sizes of pieces, without a halo and with one, large ones first."""
        problem = self.problem
        grid = problem.grids[layer]
        found = [(box, 0) for box in boxes(grid, problem.hardware)]
        links = [problem.links[k] for k in problem.into[layer]]
        halo = max((link.halo for link in links), default=0)
        if halo and grid[0] * grid[1] > 1:
            wider = (grid[0], grid[1] + 2 * halo, grid[2])
            found += [
                ((rows, grid[1], channels), halo)
                for rows, cols, channels in boxes(wider, problem.hardware)
                if cols == wider[1]
            ]
        return sorted(found, key=lambda shape: -prod(shape[0]))

    def _variants(self, layer: str, box: Grid, halo: int = 0) -> Iterator[Option]:
        """Numberings, population sizes and splits for one size of pieces."""
        problem = self.problem
        axon = problem.hardware.axon
        largest = min(axon.pop32_atoms.value, box[2])
        atoms = {largest}
        if largest > axon.pop16_atoms.value:
            atoms.add(axon.pop16_atoms.value)
        if any(isinstance(problem.links[k], MatrixLink) for k in problem.out_of[layer]):
            # Rows of a population are as long as its longest, so few neurons waste less.
            atoms |= {k for k in FEW_ATOMS if k <= largest}
        single = box[:2] == (1, 1)
        links = problem.into[layer]
        shared = {split for k in links for split in problem.links[k].splits} or {Split.NONE}
        for most, last, split in product(
            sorted(atoms, reverse=True),
            (True,) if single else (True, False),
            [each for each in Split if each in shared],
        ):
            if halo and split is Split.TAPS:
                continue
            cut = Cut(layer, problem.grids[layer], box, most, last, halo)
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

    def _mended(self, choice: Choice) -> Choice:
        """The choice with other cuts of layers of which pieces do not fit, each piece measured."""
        problem = self.problem
        least = misfit(problem, self._all(choice))
        for name in problem.layers:
            if not misfit(problem, [self._measure(choice, name)]):
                continue
            base = choice
            for option in self._rank(base, name, MENDED, diverse=True):
                tried = option.on(base)
                now = misfit(problem, self._all(tried))
                if now < least:
                    choice, least = tried, now
                if misfit(problem, [self._measure(choice, name)]) == 0:
                    break
            if misfit(problem, [self._measure(choice, name)]):
                choice, least = self._with_other_sources(choice, name, least)
        return choice

    def _with_other_sources(self, choice: Choice, layer: str, least: float) -> tuple[Choice, float]:
        """The choice with layers before this one cut so that it fits, if that helps."""
        problem = self.problem
        sources = {problem.ends(k)[0] for k in problem.into[layer]} - {layer, problem.encoder}
        for source in sorted(sources):
            base = choice
            for option in self._rank(base, source, MENDED_SOURCES, diverse=True):
                half = option.on(base)
                for other in self._rank(half, layer, 1, diverse=False):
                    tried = other.on(half)
                    now = misfit(problem, self._all(tried))
                    if now < least:
                        choice, least = tried, now
                if not least:
                    return choice, least
        return choice, least

    def _packed(self, choice: Choice) -> tuple[Choice, Packing]:
        """The choice, improved as long as whole packings become better."""
        problem, objective = self.problem, self.objective
        parts = self._all(choice)
        packing = pack(problem, parts, apart=objective.apart)
        value = objective.of_packing(problem, parts, packing)
        if misfit(problem, parts):
            choice = self._mended(choice)
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
                base = choice
                for option in self._ranked(base, name, PACKED, diverse=True):
                    tried = option.on(base)
                    parts = self._all(tried)
                    other = pack(problem, parts, apart=objective.apart)
                    score = objective.of_packing(problem, parts, other)
                    if score < value:
                        choice, packing, value, improved = tried, other, score, True
            if not improved:
                break
        return choice, packing


def _smaller(box: Grid, halo: int, share: float) -> list[tuple[Grid, int]]:
    """Of pieces that take a `share` of a core that is above 1, those that just might fit.

    Fewer channels spare synapses. Where axons are too many, a place sends as many whatever its
    channels are, so there are fewer places too; but never with a halo, which spans all columns.
    """
    rows, cols, channels = box
    found = [(rows, cols, int(channels / share)), (int(rows / share), cols, channels)]
    if rows == 1 and not halo:
        found.append((rows, int(cols / share), channels))
    return [(each, halo) for each in found if min(each)]


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
            for cols in sorted({widest, even}, reverse=True):
                found[rows, cols, channels] = None
    # Large pieces first, so that the many small ones can be passed over.
    return sorted(found, key=lambda box: -prod(box))


def sizes(n: int) -> list[int]:
    """Sizes of intervals that `n` can be cut into, largest first."""
    parts, k = [], 1.0
    while ceil(k) <= n:
        parts.append(ceil(k))
        k = k + 1 if k < PARTS else k * STEP
    return sorted({ceil(n / k) for k in parts} | {1}, reverse=True)
