"""Samples whose input changes over time: frames, each shown for some steps."""

import numpy as np
import pytest

from nmcompile.api import evaluate
from nmcompile.backends.base import Probe
from nmcompile.backends.emulator import Emulator
from nmcompile.backends.emulator.reference import ReferenceChip
from nmcompile.errors import DataError, UsageError
from nmcompile.hardware import parse_target
from nmcompile.host.data import Data
from nmcompile.ir import evaluate as evaluate_floats
from nmcompile.passes.pipeline import compile_network
from tests.networks import small_cnn
from tests.passes.stages import Stages

STEPS = 20


@pytest.fixture(scope="module")
def program():
    stages = Stages.of(small_cnn(), steps=STEPS)
    return compile_network(stages.network, parse_target(None), stages.options, stages.x)


@pytest.fixture(scope="module")
def frames(program):
    rng = np.random.default_rng(3)
    return rng.random((3, 4, *program.encoder.input_shape), dtype=np.float32)


def test_equal_frames_are_a_sample_that_does_not_change(program, frames) -> None:
    still = frames[:, 0]
    held = np.repeat(still[:, None], 4, axis=1)
    session = Emulator().load(program)
    assert np.array_equal(session.run(held).scores, session.run(still).scores)


def test_the_kernels_show_frames_as_the_twin_does(program, frames) -> None:
    layer = program.layers[-1].name
    probes = [Probe(program.encoder.name, "spikes"), Probe(layer, "spikes")]
    found = Emulator().load(program).run(frames, STEPS + 3, probes).probes
    assert found[probes[0]][:, -3:].sum() == 0, "behind the last frame there is no input"
    for k, sample in enumerate(frames):
        twin = ReferenceChip(program, sample, hold=(STEPS + 3) // 4)
        for step in range(STEPS + 3):
            twin.step()
            assert np.array_equal(twin.trace(layer, "spikes"), found[probes[1]][k, step])


def test_the_order_of_frames_matters(program, frames) -> None:
    session = Emulator().load(program)
    assert (session.run(frames).scores != session.run(frames[:, ::-1].copy()).scores).any()


def test_more_frames_than_steps_are_refused(program, frames) -> None:
    with pytest.raises(UsageError, match="4 frames"):
        Emulator().load(program).run(frames, 3)


def test_frames_of_another_shape_are_refused(program, frames) -> None:
    with pytest.raises(DataError, match="frames over time"):
        Emulator().load(program).run(frames[..., :-1, :])


def test_the_float_network_answers_by_the_mean_over_frames(program, frames) -> None:
    network = Stages.of(small_cnn()).network
    flat = frames.reshape(-1, *frames.shape[2:])
    scores = evaluate_floats(network, flat)["output"].reshape(3, 4, -1).mean(axis=1)
    found = evaluate(program, Data(frames, scores.argmax(axis=1), "frames"))
    assert found.float_accuracy == 1
    assert found.samples == 3


def test_a_build_can_be_calibrated_on_frames(frames) -> None:
    many = np.random.default_rng(4).random((16, *frames.shape[1:]), dtype=np.float32)
    stages = Stages.of(small_cnn())
    changing = compile_network(stages.network, parse_target(None), stages.options, many)
    scores = Emulator().load(changing).run(many).scores
    flat = evaluate_floats(stages.network, many.reshape(-1, *many.shape[2:]))["output"]
    wanted = flat.reshape(16, 4, -1).mean(axis=1)
    assert np.sqrt(((scores - wanted) ** 2).mean()) < 0.5 * wanted.std()
