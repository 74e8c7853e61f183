"""What the mapper is asked to make small, it makes small."""

from __future__ import annotations

import pytest

from nmcompile.hardware import Board
from nmcompile.mapper.objective import Goal, energy_pj, step_ns
from nmcompile.mapper.pieces import measure
from nmcompile.passes.partition import Partition, PartitionLayers
from tests.networks import random_network
from tests.passes.stages import Stages, small_core

CHIP = small_core(compartments=150)
GOALS: tuple[Goal, ...] = ("cores", "traffic", "energy", "latency")


def figures(partition: Partition) -> dict[Goal, float]:
    problem = partition.problem
    parts = [measure(problem, partition.choice, name) for name in problem.layers]
    return {
        "cores": partition.n_cores,
        "traffic": float(sum(part.spikes.sum() for part in parts)),
        "energy": float(sum(energy_pj(CHIP, part).sum() for part in parts)),
        "latency": step_ns(problem, parts, partition.packing),
    }


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), 2])
def test_nothing_is_smaller_than_what_was_asked_to_be_small(seed: int) -> None:
    graph = Stages.of(random_network(seed)).discrete
    found = {goal: figures(PartitionLayers(CHIP, goal).run(graph)) for goal in GOALS}
    for goal in GOALS:
        assert found[goal][goal] <= min(each[goal] for each in found.values()) * 1.02


@pytest.mark.parametrize("seed", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_latency_takes_the_cores_that_the_board_has(seed: int) -> None:
    graph = Stages.of(random_network(seed)).discrete
    fewest = PartitionLayers(CHIP).run(graph)
    fast = PartitionLayers(CHIP, "latency").run(graph)
    assert fast.n_cores > fewest.n_cores
    small = Board(name="small", chips=1, cores_per_chip=fast.n_cores - 1, source="a test")
    held = PartitionLayers(CHIP, "latency", small).run(graph)
    assert held.n_cores < fast.n_cores
    assert figures(fast)["latency"] <= figures(held)["latency"] <= figures(fewest)["latency"]
