"""What learns, learns as the twin in plain Python says, whatever the partition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nmcompile.backends.emulator.draws import KeyedDraws, uniform_draws
from nmcompile.backends.emulator.lower import layer_compartments
from nmcompile.backends.emulator.reference import ReferenceChip
from nmcompile.backends.emulator.stepper import Stepper
from nmcompile.chip import arithmetic
from nmcompile.chip.core import (
    DISCRETE,
    Blocks,
    Compartments,
    Core,
    Formats,
    InputAxons,
    Learning,
    OutputAxons,
    Profiles,
    Synapses,
    Thresholds,
)
from nmcompile.chip.program import Encoder, Injection, Layer, Program, ReadOut
from nmcompile.chip.verify import faults
from nmcompile.errors import DataError
from nmcompile.hardware import load_hardware

SOURCES, TARGETS, STEPS = 7, 6, 40


def core(size: int, rng: np.random.Generator, first_neuron: int) -> Core:
    """Compartments that fire by their bias, and nothing else."""
    return Core(
        profiles=Profiles.of(decay_u=[1000], decay_v=[50], refractory=[2], noise=[0]),
        thresholds=Thresholds.of(mantissa=[120]),
        formats=Formats.empty(),
        compartments=Compartments.of(
            profile=[0] * size,
            threshold=[0] * size,
            bias_mantissa=rng.integers(500, 4000, size),
            bias_exponent=[0] * size,
            population=[-1] * size,
            atom=[0] * size,
            neuron=first_neuron + np.arange(size),
        ),
        blocks=Blocks.empty(),
        synapses=Synapses.empty(),
        input_axons=InputAxons.empty(),
        output_axons=OutputAxons.empty(),
    )


def learning_core(targets: np.ndarray, weights: np.ndarray, rng: np.random.Generator) -> Core:
    """Compartments `targets`, into which every axon's weights learn."""
    size = len(targets)
    sources = len(weights)
    plain = core(TARGETS, np.random.default_rng(1), SOURCES)
    part = plain.compartments
    return replace(
        plain,
        compartments=Compartments(**{k: column[targets] for k, column in part.columns().items()}),
        formats=Formats.of(
            exponent=[3], weight_bits=[8], sign_mode=[1], index_bits=[0], delay_bits=[0], dense=[1]
        ),
        blocks=Blocks.of(
            start=np.arange(sources) * size,
            atoms=[1] * sources,
            length=[size] * sources,
            format=[0] * sources,
        ),
        synapses=Synapses.of(
            target=np.tile(np.arange(size), sources),
            mantissa=weights[:, targets].reshape(-1),
            delay=[0] * (size * sources),
        ),
        input_axons=InputAxons.of(
            kind=[DISCRETE] * sources, block=np.arange(sources), base=[0] * sources
        ),
        learning=Learning.of(
            block=np.arange(sources),
            trace_impulse=rng.integers(100, 127 * 128, sources),
            trace_tau=rng.integers(1, 200, sources),
            trace_epoch=rng.integers(1, 4, sources),
            learn_epoch=rng.integers(1, 6, sources),
            rate_mantissa=rng.integers(1, 8, sources),
            rate_exponent=rng.integers(-7, -2, sources),
        ),
    )


def learning_program(seed: int, parts: list[np.ndarray] | None = None) -> Program:
    """One core that fires, and behind it cores that learn, each with a part of the targets."""
    rng = np.random.default_rng(seed)
    weights = 2 * rng.integers(-100, 100, (SOURCES + 1, TARGETS))
    parts = [np.arange(TARGETS)] if parts is None else parts
    learning = [learning_core(part, weights, np.random.default_rng(seed)) for part in parts]
    to = np.repeat(np.arange(1, len(parts) + 1), SOURCES)
    first = replace(
        core(SOURCES, rng, 0),
        output_axons=OutputAxons.of(
            kind=[DISCRETE] * len(to),
            source=np.tile(np.arange(SOURCES), len(parts)),
            core=to,
            axon=np.tile(np.arange(SOURCES), len(parts)),
        ),
    )
    where = np.zeros((2, TARGETS), np.int32)
    for number, part in enumerate(parts):
        where[0, part], where[1, part] = number + 1, np.arange(len(part))
    return Program(
        target="loihi1:kapoho-bay",
        cores=tuple(replace(each, position=k) for k, each in enumerate([first, *learning])),
        encoder=encoder(),
        injection=Injection.of(
            neuron=[0] * len(parts),
            core=np.arange(1, len(parts) + 1),
            axon=[SOURCES] * len(parts),
            atom=[0] * len(parts),
        ),
        layers=(
            layer("pre", np.zeros(SOURCES, np.int32), np.arange(SOURCES, dtype=np.int32)),
            layer("post", where[0], where[1]),
        ),
        read_out=ReadOut(
            "counts", ("post",), np.ones((TARGETS, 1), np.float32), np.zeros(1, np.float32)
        ),
        steps=STEPS,
        dt_s=0.001,
    )


def layer(name: str, cores: np.ndarray, compartments: np.ndarray) -> Layer:
    return Layer(name, (len(cores),), cores, compartments, 1.0, 1.0, 1)


def encoder() -> Encoder:
    return Encoder.passing("host", 1, input_scale=1.0, threshold=10)


def host_spikes(seed: int) -> list[np.ndarray]:
    """Which encoder neurons send a spike in each step; it arrives one later."""
    fires = np.random.default_rng(seed).random(STEPS) < 0.4
    return [np.flatnonzero([each]) for each in fires]


def arriving(sent: list[np.ndarray]) -> list[np.ndarray]:
    return [np.zeros(0, np.int64), *sent[:-1]]


def errors_of(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-127, 128, (STEPS, TARGETS))


@pytest.mark.parametrize("seed", range(6))
def test_learning_goes_as_the_twin_says(seed: int) -> None:
    program = learning_program(seed)
    assert list(faults(program, load_hardware("loihi1"))) == []
    chip = ReferenceChip(program, np.zeros(1, np.float32), seed)
    stepper = Stepper(program, KeyedDraws(seed))
    errors, sent = errors_of(seed), host_spikes(seed)
    arrives = arriving(sent)
    for step in range(STEPS):
        given = np.concatenate([np.zeros(SOURCES, np.int64), errors[step]])
        record = stepper.run([arrives[step]], given)
        chip.step(sent[step].tolist(), {(1, k): int(e) for k, e in enumerate(errors[step])})
        for quantity in ("u", "v", "spikes"):
            wanted = np.concatenate([chip.trace(name, quantity) for name in ("pre", "post")])
            assert getattr(record, quantity)[0].tolist() == wanted.tolist(), (step, quantity)
        assert stepper.learner is not None
        assert stepper.learner.mantissas.tolist() == chip.cores[1].mantissas, step
        assert stepper.learner.traces.tolist() == [t.x for t in chip.cores[1].traces.values()]
    assert chip.cores[1].mantissas != program.cores[1].synapses.mantissa.tolist()
    assert record.spikes.shape == (1, SOURCES + TARGETS)


def test_learning_does_not_depend_on_the_partition() -> None:
    order = np.array([4, 0, 3, 5, 1, 2])
    whole, cut = learning_program(3), learning_program(3, [order[:4], order[4:]])
    errors, sent = errors_of(3), arriving(host_spikes(3))
    found = []
    for program in (whole, cut):
        assert list(faults(program, load_hardware("loihi1"))) == []
        stepper = Stepper(program, KeyedDraws(5))
        where = layer_compartments(program, "post")
        spikes = []
        for step in range(STEPS):
            given = np.zeros(stepper.compartments, np.int64)
            given[where] = errors[step]
            spikes.append(stepper.run([sent[step]], given, where).u[0])
        found.append(np.array(spikes))
    assert found[0].any()
    assert np.array_equal(found[0], found[1])


def test_weights_stay_without_errors() -> None:
    program = learning_program(0)
    stepper = Stepper(program)
    stepper.run(host_spikes(0))
    assert stepper.learner is not None
    assert stepper.learner.traces.any()
    assert np.array_equal(stepper.learner.mantissas, program.cores[1].synapses.mantissa)


def test_draws_of_arrays_are_those_of_the_arithmetic() -> None:
    source, target = np.array([0, 5, -3, 1 << 20]), np.array([-1, 7, 0, 3])
    wanted = [
        arithmetic.uniform_draw(9, s, t, 4)
        for s, t in zip(source.tolist(), target.tolist(), strict=True)
    ]
    assert uniform_draws(9, source, target, 4).tolist() == wanted


def test_stochastic_rounding_keeps_the_mean() -> None:
    draws = uniform_draws(1, np.arange(20000), np.full(20000, -1), 0)
    rounded = np.array([arithmetic.round_stochastically(-2.3, draw) for draw in draws.tolist()])
    assert set(rounded.tolist()) == {-2, -3}
    assert abs(rounded.mean() + 2.3) < 0.02


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"trace_tau": [0] * 8}, "trace time constant 0 (row 0) is outside 1..65535"),
        ({"rate_exponent": [-8] * 8}, "learning rate exponent -8"),
        ({"block": [0, 0, 2, 3, 4, 5, 6, 7]}, "a block learns by two rules"),
    ],
)
def test_impossible_rules_are_found(change: dict[str, list[int]], words: str) -> None:
    program = learning_program(0)
    table = program.cores[1].learning
    broken = replace(program.cores[1], learning=Learning.of(**{**table.columns(), **change}))
    found = list(
        faults(replace(program, cores=(program.cores[0], broken)), load_hardware("loihi1"))
    )
    assert any(words in text for text in found), found


@pytest.mark.parametrize(
    ("table", "column", "value", "words"),
    [
        ("formats", "sign_mode", 3, "has sign mode 3 and 8 weight bits; what learns needs mode 1"),
        ("formats", "weight_bits", 1, "has sign mode 1 and 1 weight bits"),
        ("synapses", "mantissa", -256, "has mantissas beyond ±254, where learning ends"),
        ("synapses", "target", 0, "has two synapses onto one compartment"),
        ("input_axons", "kind", 16, "axons of kind 16 and 1 atoms; one discrete axon"),
        ("input_axons", "block", 0, "has 0 axons of kind 0"),
        ("blocks", "start", 0, "one discrete axon, one atom and synapses of its own"),
    ],
)
def test_blocks_that_cannot_learn_are_found(
    table: str, column: str, value: int, words: str
) -> None:
    program = learning_program(0)
    old = getattr(program.cores[1], table)
    changed = replace(old, **{column: np.full_like(getattr(old, column), value)})
    cores = (program.cores[0], replace(program.cores[1], **{table: changed}))
    found = list(faults(replace(program, cores=cores), load_hardware("loihi1")))
    assert any(words in text for text in found), found


def test_what_is_not_there_is_refused() -> None:
    stepper = Stepper(learning_program(0))
    none = np.zeros(0, np.int64)
    with pytest.raises(DataError, match="host neuron 1 is not there; they count from 0 to 0"):
        stepper.run([none, np.array([0, 1])])
    with pytest.raises(DataError, match="host neuron -1 is not there"):
        stepper.run([np.array([-1])])
    with pytest.raises(DataError, match="probed compartment 13 is not there"):
        stepper.run([none], probed=np.array([13]))
    with pytest.raises(DataError, match="errors up to 128: one a compartment, 13, is needed"):
        stepper.run([none], np.full(13, 128))
    assert stepper.step_number == 0
    assert stepper.run([]).spikes.shape == (0, 13)


def test_a_neuron_of_the_host_may_send_many_spikes_a_step() -> None:
    program = learning_program(0)
    weight = int(program.cores[1].synapses.mantissa[SOURCES * TARGETS]) << 3
    once, often = Stepper(program), Stepper(program)
    one, many = once.run([np.array([0])]), often.run([np.zeros(3, np.int64)])
    assert many.u[0, SOURCES] - one.u[0, SOURCES] == 2 * weight * 64 != 0


def test_a_core_learns_whole_or_not_at_all() -> None:
    program = learning_program(0)
    table = program.cores[1].learning
    broken = replace(program.cores[1], learning=table.rows(0, 7))
    found = list(
        faults(replace(program, cores=(program.cores[0], broken)), load_hardware("loihi1"))
    )
    assert found == ["core 1: 7 of 8 blocks learn; on a core all do or none"]
