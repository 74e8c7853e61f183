"""The compiled emulator equals its plain-Python twin."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from nmcompile.backends.base import Probe
from nmcompile.backends.emulator import Emulator
from nmcompile.backends.emulator.reference import ReferenceChip
from nmcompile.chip import arithmetic
from nmcompile.chip.program import Program
from nmcompile.hardware import parse_target
from nmcompile.passes.base import NmcompileWarning
from nmcompile.passes.options import checked_options
from nmcompile.passes.pipeline import compile_network
from tests.networks import random_network, small_cnn

STEPS = 12


def program_of(seed: int, **options: object) -> tuple[Program, np.ndarray]:
    network = random_network(seed)
    rng = np.random.default_rng(seed)
    x = rng.random((20, *network.inputs[0].size), dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NmcompileWarning)
        return compile_network(network, parse_target(None), checked_options(**options), x), x


def assert_equal_traces(program: Program, x: np.ndarray, seed: int = 0) -> None:
    probes = [Probe(layer.name, q) for layer in program.layers for q in ("spikes", "u", "v")]
    emulator = Emulator(jobs=1, seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = emulator.load(program).run(x[:1], STEPS, probes)
    chip = ReferenceChip(program, x[0], seed)
    for step in range(STEPS):
        chip.step()
        for probe in probes:
            ours = result.probes[probe][0, step].astype(np.int64)
            wanted = chip.trace(probe.layer, probe.quantity)
            assert np.array_equal(ours, wanted), f"{probe} differs in step {step}"
    assert sum(result.overflows.values()) == chip.overflows
    assert int(result.synaptic_events[0]) == chip.events


OPTIONS = [
    {},
    {"neuron": {"tau_rc": 0.01, "refractory": 0.002, "max_rate": 250.0}},
    {"neuron": {"synapse": 0.004}, "readout": "chip"},
    {"neuron": {"rate_scale": 3.0}, "encoder": "on-off"},
    {"weight_bits": 4, "encoder": "on"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_compiled_networks_run_as_the_twin_says(seed: int, options: dict[str, object]) -> None:
    program, x = program_of(seed, **options)
    assert_equal_traces(program, x)


@pytest.mark.parametrize("at_voltage", [0, 1])
def test_noise_is_drawn_as_the_twin_says(at_voltage: int) -> None:
    from dataclasses import replace

    program, x = program_of(1)
    noisy = tuple(
        replace(
            core,
            profiles=replace(core.profiles, noise=np.ones_like(core.profiles.noise)),
            noise_exponent=12,
            noise_offset=1,
            noise_at_voltage=at_voltage,
        )
        for core in program.cores
    )
    assert_equal_traces(replace(program, cores=noisy), x, seed=7)


def test_results_do_not_depend_on_threads_or_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    program, x = program_of(2)
    first = Emulator(jobs=1).load(program).run(x)
    second = Emulator(jobs=2).load(program).run(x)
    session = Emulator(jobs=2).load(program)
    parts = np.concatenate([session.run(x[k : k + 3]).scores for k in range(0, len(x), 3)])
    assert np.array_equal(first.scores, second.scores)
    assert np.array_equal(first.scores, parts)


def test_no_samples_give_an_empty_result() -> None:
    program, x = program_of(2)
    probe = Probe(program.layers[0].name, "spikes")
    result = Emulator().load(program).run(x[:0], 5, [probe])
    assert result.scores.shape == (0, program.read_out.weights.shape[1])
    assert result.probes[probe].shape == (0, 5, program.layers[0].neurons)


def test_noise_is_uniform_over_its_range() -> None:
    draws = [arithmetic.noise_draw(3, neuron, step) for neuron in range(60) for step in range(100)]
    assert min(draws) == -127
    assert max(draws) == 127
    assert abs(np.mean(draws)) < 4 * 73.6 / np.sqrt(len(draws))


def test_pipeline_delay_is_one_step_a_layer() -> None:
    network = small_cnn()
    x = np.ones((20, 10, 10, 1), np.float32)
    program = compile_network(network, parse_target(None), checked_options(), x)
    assert [layer.depth for layer in program.layers] == [1, 2]
