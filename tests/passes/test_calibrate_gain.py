"""Amplitudes are corrected by what neurons with a hard reset really do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nmcompile.backends.base import Probe
from nmcompile.backends.emulator import Emulator
from nmcompile.chip.program import Program
from nmcompile.hardware import parse_target
from nmcompile.ir import Network, evaluate, nodes
from nmcompile.ir.nodes import Spiking
from nmcompile.passes.calibrate_gain import CalibrateGain, encoder_spikes, hard_reset_spikes
from nmcompile.passes.pipeline import compile_network
from tests.golden import assert_golden
from tests.networks import conv, dense, relu, small_cnn
from tests.passes.stages import Stages

GOLDEN = Path(__file__).parent / "golden"


def deep(seed: int = 0) -> Network:
    """Four layers on chip, so that lost overshoot adds up."""
    rng = np.random.default_rng(seed)
    layers: list[nodes.Node] = [
        nodes.Input(name="image", size=(10, 10, 1)),
        conv(rng, "enc/linear", "image", (1, 1), (1, 3)),
        relu("enc", "enc/linear"),
    ]
    last, channels = "enc", 3
    for k in range(3):
        layers.append(conv(rng, f"c{k}/linear", last, (3, 3), (channels, 8)))
        layers.append(relu(f"c{k}", f"c{k}/linear"))
        last, channels = f"c{k}", 8
    layers.append(nodes.Flatten(name="flat", inputs=(last,)))
    layers.append(dense(rng, "scores", "flat", (128, 5)))
    layers.append(nodes.Output(name="output", inputs=("scores",)))
    return Network.build(layers, name="deep")


def score_error(samples: int) -> float:
    stages = Stages.of(deep(), gain_samples=samples)
    program = compile_network(stages.network, parse_target(None), stages.options, stages.x)
    wanted = evaluate(stages.network, stages.x)["output"]
    found = Emulator().load(program).run(stages.x, 32).scores
    return float(np.sqrt(((found - wanted) ** 2).mean()) / wanted.std())


def test_corrected_amplitudes_bring_scores_closer_to_the_float_network() -> None:
    assert score_error(24) < 0.8 * score_error(0)


def test_without_samples_nothing_changes() -> None:
    stages = Stages.of(small_cnn())
    before, after = stages.layers, CalibrateGain(stages.x, 32, 0).run(stages.layers)
    assert [x.neuron for x in before.layers if x.name == "fc"][0].describe() == (  # noqa: RUF015
        [x.neuron for x in after.layers if x.name == "fc"][0].describe()  # noqa: RUF015
    )


@pytest.mark.parametrize(
    "neuron",
    [{}, {"tau_rc": 0.01, "refractory": 0.002, "max_rate": 250.0}, {"synapse": 0.003}],
    ids=str,
)
def test_the_simulation_fires_as_the_chip_does_but_for_rounding(neuron: dict[str, float]) -> None:
    stages = Stages.of(small_cnn(), neuron=neuron)
    graph = stages.layers
    corrected = CalibrateGain(stages.x, 32, 24).run(graph)
    program: Program = compile_network(stages.network, parse_target(None), stages.options, stages.x)
    probe = Probe("conv", "spikes")
    chip = Emulator().load(program).run(stages.x, 32, [probe]).probes[probe]
    layer = corrected.layer("conv")
    assert isinstance(layer.neuron, Spiking)
    floats = evaluate(stages.spiking, stages.x, keep=["conv"])["conv"].reshape(24, -1)
    rate = chip.sum(axis=1) / 31
    best = (rate * floats).sum() / (rate**2).sum()
    assert layer.neuron.amplitude == pytest.approx(best, rel=0.02)


def test_an_encoder_loses_nothing() -> None:
    neuron = Spiking(name="n", amplitude=2.0)
    activation = np.array([[0.0, 0.5, 1.0, 2.0, 9.0]], np.float32)
    counts = encoder_spikes(activation, neuron, 40).sum(axis=1)
    assert counts.tolist() == [[0, 10, 20, 40, 40]]


def test_a_constant_input_fires_once_in_as_many_steps_as_reach_the_threshold() -> None:
    neuron = Spiking(name="n", threshold=1.0)
    drive = np.full((1, 60, 1), 0.3, np.float32)
    assert hard_reset_spikes(drive, np.zeros(1, np.float32), neuron, 1e-3).sum() == 15
    slow = Spiking(name="n", threshold=1.0, refractory_s=0.002)
    assert hard_reset_spikes(drive, np.zeros(1, np.float32), slow, 1e-3).sum() == 10


def test_calibrate_gain() -> None:
    stages = Stages.of(small_cnn())
    step = CalibrateGain(stages.x, 32, 24)
    after = step.run(stages.layers)
    assert_golden(GOLDEN / "calibrate-gain.txt", f"{step.changes(stages.layers, after)}\n{after}")


def test_the_mapper_is_told_the_rates_that_the_emulator_fires_at() -> None:
    stages = Stages.of(deep())
    program = compile_network(stages.network, parse_target(None), stages.options, stages.x)
    graph = CalibrateGain(stages.x, stages.options.steps, 24).run(stages.layers)
    result = Emulator().load(program).run(stages.x, stages.options.steps)
    for layer in graph.on_chip():
        measured = result.spikes[layer.name].mean() / layer.size / stages.options.steps
        assert layer.rate == pytest.approx(float(measured), rel=0.1)
