"""Mapped networks fire as their layers do where nothing was mapped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nmcompile.api import Emulator
from nmcompile.backends.base import Probe
from nmcompile.chip.discrete import DiscreteGraph
from nmcompile.hardware import HardwareModel
from tests.networks import random_network
from tests.passes.stages import LOIHI1, Stages, small_core
from tests.passes.test_chip_passes import program_of
from tools.bench.networks import reservoir
from tools.bench.unpartitioned import unpartitioned

STEPS = 25
CORES = [
    LOIHI1,
    small_core(compartments=30),
    small_core(compartments=200, memory_words=700),
    small_core(input_axons=60, output_axon_slots=30),
]


def assert_fires_alike(
    graph: DiscreteGraph, hardware: HardwareModel, x: np.ndarray, *, cores: int = 1
) -> None:
    program = program_of(graph, hardware)
    assert len(program.cores) >= cores
    wanted = unpartitioned(graph, x, STEPS)
    probes = [Probe(layer.name, "spikes") for layer in graph.layers]
    result = Emulator(jobs=1).load(program).run(x, STEPS, probes)
    for probe in probes:
        assert np.array_equal(result.probes[probe], wanted[probe.layer])
    assert any(result.probes[probe].any() for probe in probes)


@pytest.mark.parametrize("hardware", CORES, ids=["whole", "30 cx", "700 words", "60 axons"])
@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(k, marks=pytest.mark.slow) for k in range(4, 8))]
)
def test_random_networks(seed: int, hardware: HardwareModel) -> None:
    stages = Stages.of(random_network(seed))
    assert_fires_alike(stages.discrete, hardware, stages.x[:2])


@pytest.mark.parametrize("hardware", [LOIHI1, small_core(compartments=40, memory_words=300)])
def test_a_recurrent_network(hardware: HardwareModel) -> None:
    graph = reservoir(300, 0.05)
    x = np.random.default_rng(0).random((2, 100), dtype=np.float32)
    assert_fires_alike(graph, hardware, x, cores=1 if hardware is LOIHI1 else 8)


def test_delays() -> None:
    stages = Stages.of(random_network(0))
    graph = stages.discrete
    late = tuple(
        replace(c, link=replace(c.link, delay=k + 1)) for k, c in enumerate(graph.connections)
    )
    assert_fires_alike(replace(graph, connections=late), small_core(compartments=30), stages.x[:1])
