"""Odd layers on odd chips: tables hold the layers, bills are the tables', bounds are below."""

from __future__ import annotations

import numpy as np
import pytest

from nmcompile.chip.discrete import DiscreteGraph
from nmcompile.errors import FitError
from nmcompile.hardware import HardwareModel, Target
from nmcompile.mapper.bounds import layer_bound, network_bound
from nmcompile.mapper.pieces import measure
from nmcompile.mapper.problem import Problem
from nmcompile.passes.allocate import Allocate
from nmcompile.passes.emit import Emit, Verify
from nmcompile.passes.options import checked_options
from nmcompile.passes.partition import Partition, PartitionLayers
from nmcompile.passes.place import Place
from tests.mapper.random_graphs import random_chip, random_graph
from tests.mapper.random_mapping import random_mapping
from tests.mapper.tables import assert_partition_holds

SEEDS = 12
#: Resource of a bill -> column of `Pieces`.
COLUMNS = {
    "compartments": "compartments",
    "memory_words": "words",
    "input_axons": "axons",
    "output_axon_slots": "slots",
}


def assert_sound(partition: Partition) -> None:
    hardware = partition.problem.hardware
    assert_partition_holds(partition)
    target = Target(hardware=hardware, board=hardware.largest_board)
    placed = Place(target).run(Allocate(hardware).run(partition))
    Verify(hardware).run(
        Emit(options=checked_options(steps=8), manifest={}, attachments={}).run(placed)
    )
    problem = partition.problem
    for resource, least in network_bound(problem).least.items():
        assert sum(getattr(bill, resource) for bill in partition.bills) >= least - 1e-6
    for name in problem.layers:
        pieces, bound = measure(problem, partition.choice, name), layer_bound(problem, name)
        for resource, column in COLUMNS.items():
            assert getattr(pieces, column).sum() >= bound.least[resource] - 1e-6


def cases(first: int) -> list[tuple[DiscreteGraph, HardwareModel, np.random.Generator]]:
    found = []
    for seed in range(first, first + 8):
        graph = random_graph(seed)
        if graph is not None:
            found.append((graph, random_chip(seed), np.random.default_rng(seed)))
    return found


@pytest.mark.parametrize("seed", range(0, 8 * SEEDS, 8))
def test_any_mapping_of_any_layers_is_sound(seed: int) -> None:
    for graph, hardware, rng in cases(seed):
        problem = Problem(graph, hardware)
        assert_sound(Partition(problem, *random_mapping(problem, rng)))


@pytest.mark.parametrize("seed", range(8000, 8000 + 8 * SEEDS, 8))
def test_what_the_search_finds_for_any_layers_is_sound(seed: int) -> None:
    for graph, hardware, _ in cases(seed):
        try:
            partition = PartitionLayers(hardware).run(graph)
        except FitError:
            continue  # Chips this odd may hold no single neuron.
        assert_sound(partition)


def test_few_random_layers_are_refused() -> None:
    refused = total = 0
    for graph, hardware, _ in cases(500) + cases(600) + cases(700):
        total += 1
        try:
            PartitionLayers(hardware).run(graph)
        except FitError:
            refused += 1
    assert total > 8
    assert refused <= total // 4
