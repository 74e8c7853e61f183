"""Mappings drawn at random from all that the search could return."""

from __future__ import annotations

import numpy as np

from nmcompile.mapper.objective import Objective
from nmcompile.mapper.pack import Packing, pack
from nmcompile.mapper.pieces import measure
from nmcompile.mapper.problem import Choice, Problem
from nmcompile.mapper.search import Search


def random_mapping(problem: Problem, rng: np.random.Generator) -> tuple[Choice, Packing]:
    """Any cuts, numberings, population sizes and splits whose pieces fit, packed or not."""
    search = Search(problem, Objective())
    while True:
        choice = search._start()
        for name in problem.layers:
            shapes = search._shapes(name)
            options = list(search._variants(name, *shapes[rng.integers(len(shapes))]))
            choice = options[rng.integers(len(options))].on(choice)
        parts = [measure(problem, choice, name) for name in problem.layers]
        if all(part.shares(problem).max(initial=0) <= 1 for part in parts):
            return choice, pack(problem, parts, apart=bool(rng.random() < 0.3))
