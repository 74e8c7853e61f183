"""The emulator says what it cannot tell apart, and refuses runs that are too short."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from nmcompile.backends.emulator import Emulator
from nmcompile.backends.emulator.session import InputWarning
from nmcompile.chip.program import Program
from nmcompile.errors import CompileError
from nmcompile.hardware import parse_target
from nmcompile.ir import Network, nodes
from nmcompile.passes.base import NmcompileWarning
from nmcompile.passes.options import checked_options
from nmcompile.passes.pipeline import compile_network
from tests.networks import small_cnn

X = np.random.default_rng(0).random((20, 10, 10, 1), dtype=np.float32)


def program(**options: object) -> Program:
    return compile_network(small_cnn(), parse_target(None), checked_options(**options), X)


def test_inputs_far_beyond_the_calibrated_are_warned_about_once() -> None:
    session = Emulator().load(program())
    with pytest.warns(InputWarning, match="input values beyond ±[1-9].* are clipped"):
        session.run(255 * X)
    with warnings.catch_warnings():
        warnings.simplefilter("error", InputWarning)
        session.run(255 * X)


def test_negative_inputs_of_an_on_encoder_are_warned_about() -> None:
    session = Emulator().load(program(encoder="on"))
    with pytest.warns(InputWarning, match="2000 input values are negative.*--encoder on-off"):
        session.run(-X)
    silent = Emulator().load(program(encoder="on-off"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", InputWarning)
        silent.run(-X)


def test_fewer_steps_than_the_pipeline_needs_are_refused() -> None:
    with pytest.raises(CompileError, match="--steps 2: the first input takes 2 steps.*use 3 or"):
        program(steps=2)
    assert program(steps=3).steps == 3


def test_rates_beyond_one_spike_a_step_are_warned_about() -> None:
    with pytest.warns(NmcompileWarning, match="is 2000 Hz, but a neuron fires once a step"):
        program(neuron={"max_rate": 2000.0})


def test_a_membrane_that_forgets_within_a_step_is_warned_about() -> None:
    with pytest.warns(NmcompileWarning, match="forgets everything within a step"):
        program(neuron={"tau_rc": 0.0001})


def test_a_network_that_ends_in_a_relu_is_read_by_its_spikes() -> None:
    network = small_cnn()
    scores = replace(network["scores"], name="scores/linear")
    ended = network.edit(
        {
            "scores": (scores, nodes.ReLU(name="scores", inputs=("scores/linear",))),
        }
    )
    built = compile_network(Network.build(ended.nodes), parse_target(None), checked_options(), X)
    assert [layer.name for layer in built.layers] == ["conv", "fc", "scores"]
    assert built.read_out.kind == "counts"
    assert Emulator().load(built).run(X).scores.shape == (20, 5)
