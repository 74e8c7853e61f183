"""The same network gives the same spikes, however it is cut, numbered and placed, and run."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nmcompile.backends.base import Probe, Result
from nmcompile.backends.emulator import Emulator
from nmcompile.chip.program import Injection, Program
from nmcompile.chip.verify import verify_program
from nmcompile.hardware import load_hardware, parse_target
from nmcompile.mapper.search import Search
from nmcompile.passes.options import checked_options
from nmcompile.passes.pipeline import compile_network
from tests.mapper.random_mapping import random_mapping
from tests.networks import random_network

STEPS = 14
OPTIONS = [
    {},
    {"neuron": {"synapse": 0.004, "tau_rc": 0.02, "refractory": 0.001, "max_rate": 300.0}},
    {"neuron": {"synapse": 0.005}, "readout": "chip"},
]


def program(seed: int, options: dict[str, object], cut: np.random.Generator | None) -> Program:
    """A compiled random network; mapped at random where `cut` is given."""
    network = random_network(seed)
    x = samples(seed)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if cut is not None:
            patch.setattr(Search, "run", lambda search: random_mapping(search.problem, cut))
        return compile_network(
            network, parse_target("loihi1:nahuku-32"), checked_options(**options), x
        )


def samples(seed: int) -> np.ndarray:
    size = random_network(seed).inputs[0].size
    return np.random.default_rng(seed).random((20, *size), dtype=np.float32)


def noisy(program: Program) -> Program:
    """Noise on the current of every compartment."""
    return replace(
        program,
        cores=tuple(
            replace(
                core,
                profiles=replace(core.profiles, noise=np.ones_like(core.profiles.noise)),
                noise_exponent=11,
                noise_offset=1,
            )
            for core in program.cores
        ),
    )


def scattered(program: Program, rng: np.random.Generator) -> Program:
    """The same cores in another order and at other places."""
    count = len(program.cores)
    order = rng.permutation(count)
    number = np.argsort(order)
    places = rng.choice(32 * 128, count, replace=False)
    cores = []
    for k, old in enumerate(order.tolist()):
        core = program.cores[old]
        out = core.output_axons
        moved = replace(out, core=number[out.core].astype(np.int32))
        cores.append(
            replace(
                core,
                output_axons=moved,
                chip=int(places[k]) // 128,
                position=int(places[k]) % 128,
            )
        )
    table = program.injection
    return replace(
        program,
        cores=tuple(cores),
        injection=Injection.of(**{**table.columns(), "core": number[table.core]}),
        layers=tuple(
            replace(layer, core=number[layer.core].astype(np.int32)) for layer in program.layers
        ),
    )


def run(program: Program, x: np.ndarray, jobs: int = 1) -> Result:
    probes = [Probe(layer.name, q) for layer in program.layers for q in ("spikes", "u", "v")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Emulator(jobs=jobs, seed=3).load(program).run(x, STEPS, probes)


def assert_equal(first: Result, second: Result) -> None:
    assert np.array_equal(first.scores, second.scores)
    for probe, values in first.probes.items():
        assert np.array_equal(values, second.probes[probe]), probe


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    network=st.integers(0, 40),
    options=st.sampled_from(OPTIONS),
    cut=st.integers(0, 2**31),
    with_noise=st.booleans(),
)
def test_results_do_not_depend_on_partition_and_placement(
    network: int, options: dict[str, object], cut: int, with_noise: bool
) -> None:
    rng = np.random.default_rng(cut)
    whole, parts = program(network, options, None), program(network, options, rng)
    parts = scattered(parts, rng)
    verify_program(parts, load_hardware("loihi1"))
    if with_noise:
        whole, parts = noisy(whole), noisy(parts)
    x = samples(network)[:3]
    assert_equal(run(whole, x), run(parts, x))


def test_random_partitions_have_many_cores() -> None:
    counts = {len(program(1, {}, np.random.default_rng(k)).cores) for k in range(6)}
    assert len(counts) > 2
    assert max(counts) > 4


@pytest.mark.parametrize("size", [1, 3, 20])
def test_results_do_not_depend_on_threads_and_batches(size: int) -> None:
    made = program(2, OPTIONS[1], None)
    x = samples(2)
    session = Emulator(jobs=2, seed=3).load(made)
    parts = [session.run(x[k : k + size], STEPS).scores for k in range(0, len(x), size)]
    assert np.array_equal(np.concatenate(parts), run(made, x).scores)


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_noise_does_not_depend_on_threads(jobs: int) -> None:
    made = noisy(program(2, {}, None))
    assert_equal(run(made, samples(2)), run(made, samples(2), jobs))
