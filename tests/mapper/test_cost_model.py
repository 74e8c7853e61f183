"""The one cost model: what the mapper reckons with is what the tables of a Program cost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nmcompile.chip.core import DISCRETE, POP16, POP32
from nmcompile.hardware import HardwareModel, load_hardware, parse_target
from nmcompile.mapper.bounds import layer_bound, network_bound
from nmcompile.mapper.core_traffic import core_traffic
from nmcompile.mapper.entry import Split
from nmcompile.mapper.pieces import measure
from nmcompile.mapper.problem import Problem
from nmcompile.passes.allocate import Allocate
from nmcompile.passes.emit import Emit
from nmcompile.passes.options import checked_options
from nmcompile.passes.partition import Partition
from nmcompile.passes.place import Place
from tests.mapper.random_mapping import random_mapping
from tests.mapper.tables import assert_partition_holds
from tests.networks import random_network
from tests.passes.stages import LOIHI1, Stages, small_core

CHIPS = [
    LOIHI1,
    small_core(compartments=60),
    small_core(compartments=600, memory_words=900),
    small_core(input_axons=200, output_axon_slots=120),
    load_hardware("loihi2"),
]
BOARDS = {"loihi1": "loihi1:pohoiki-springs", "loihi2": "loihi2:hala-point"}


def random_partition(seed: int, hardware: HardwareModel, cut: int) -> Partition:
    graph = Stages.of(random_network(seed)).discrete
    problem = Problem(graph, hardware)
    return Partition(problem, *random_mapping(problem, np.random.default_rng(cut)))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 40), chip=st.sampled_from(range(len(CHIPS))), cut=st.integers(0, 2**31))
def test_bills_are_those_of_the_tables_however_a_network_is_mapped(
    seed: int, chip: int, cut: int
) -> None:
    assert_partition_holds(random_partition(seed, CHIPS[chip], cut))


def test_random_mappings_take_every_way() -> None:
    splits: set[Split] = set()
    halos, orders, kinds, shared = set(), set(), set(), set()
    for seed in range(12):
        partition = random_partition(seed, CHIPS[2], seed)
        splits |= set(partition.choice.splits)
        halos |= {cut.halo > 0 for cut in partition.choice.cuts.values()}
        orders |= {cut.channels_last for cut in partition.choice.cuts.values()}
        shared |= {len(pieces) > 1 for pieces in partition.cores}
        for core in Allocate(CHIPS[2]).run(partition).cores:
            kinds |= set(core.input_axons.kind.tolist())
    assert splits == set(Split)
    assert halos == orders == shared == {True, False}
    assert kinds == {DISCRETE, POP16, POP32}


@pytest.mark.parametrize("seed", range(12))
def test_no_mapping_falls_below_the_bounds(seed: int) -> None:
    for chip, hardware in enumerate(CHIPS):
        partition = random_partition(seed, hardware, chip)
        problem = partition.problem
        bound = network_bound(problem)
        for resource, least in bound.least.items():
            used = sum(getattr(bill, resource) for bill in partition.bills)
            assert used >= least - 1e-6, resource
        assert partition.n_cores >= bound.cores
        for name in problem.layers:
            alone = measure(problem, partition.choice, name)
            bound = layer_bound(problem, name)
            assert alone.compartments.sum() >= bound.least["compartments"]
            assert alone.words.sum() >= bound.least["memory_words"] - 1e-6
            assert alone.axons.sum() >= bound.least["input_axons"]
            assert alone.slots.sum() >= bound.least["output_axon_slots"]


@pytest.mark.parametrize("seed", range(8))
def test_expected_messages_are_those_of_the_axons(seed: int) -> None:
    """Every output axon carries its population's rate times its neurons."""
    hardware = CHIPS[1]
    partition = random_partition(seed, hardware, seed)
    allocation = Allocate(hardware).run(partition)
    found = core_traffic(partition.problem, partition.choice, partition.packing)
    program = Emit(options=checked_options(steps=32), manifest={}, attachments={}).run(
        Place(parse_target(BOARDS["loihi1"])).run(allocation)
    )
    rate = {layer.name: layer.rate for layer in partition.graph.layers}
    wanted = np.zeros((found.cores, found.cores))
    for number, core in enumerate(program.cores):
        layer_of = {}
        for layer in program.layers:
            for comp in layer.compartment[layer.core == number].tolist():
                layer_of[comp] = layer.name
        population = core.compartments.population
        for kind, source, target in zip(
            core.output_axons.kind.tolist(),
            core.output_axons.source.tolist(),
            core.output_axons.core.tolist(),
            strict=True,
        ):
            members = [source] if kind == DISCRETE else np.flatnonzero(population == source)
            wanted[number, target] += sum(rate[layer_of[int(m)]] for m in members)
    got = np.zeros_like(wanted)
    got[found.source, found.target] = found.messages
    assert np.allclose(got, wanted)
