"""Thresholds, amplitudes and biases are corrected by what neurons with a hard reset really do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nmcompile.backends.base import Probe
from nmcompile.backends.emulator import Emulator
from nmcompile.hardware import parse_target
from nmcompile.host.encoder import encoder_currents, encoder_spikes
from nmcompile.ir import Network, evaluate, nodes
from nmcompile.ir.links import through
from nmcompile.passes import calibrate
from nmcompile.passes.base import NmcompileWarning
from nmcompile.passes.calibrate import Calibrate
from nmcompile.passes.channels import scale_outputs, shared_weights
from nmcompile.passes.pipeline import compile_network
from nmcompile.passes.simulate import layer_spikes
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


def score_error(**options: Any) -> float:
    stages = Stages.of(deep(), **options)
    program = compile_network(stages.network, parse_target(None), stages.options, stages.x)
    wanted = evaluate(stages.network, stages.x)["output"]
    found = Emulator().load(program).run(stages.x, stages.options.steps).scores
    return float(np.sqrt(((found - wanted) ** 2).mean()) / wanted.std())


NOTHING: dict[str, Any] = {"gain": "none", "correct_bias": False, "initial_voltage": "zero"}


@pytest.mark.parametrize(
    ("options", "share"),
    [
        ({"gain": "layer"}, 0.9),
        ({"gain": "channel"}, 0.8),
        ({"gain": "channel", "correct_bias": True}, 0.7),
        ({"gain": "channel", "threshold_factors": (0.8, 0.9, 1.0, 1.2)}, 0.8),
    ],
    ids=str,
)
def test_corrections_bring_scores_closer_to_the_float_network(
    options: dict[str, Any], share: float
) -> None:
    assert score_error(**{**NOTHING, **options}) < share * score_error(**NOTHING)


def test_aligned_voltages_take_back_what_biases_add_before_the_first_input() -> None:
    stages = Stages.of(small_cnn())
    layer = stages.calibrated.layer("fc")
    assert layer.initial is not None
    assert np.allclose(layer.initial, -layer.depth * layer.bias)
    assert score_error() < score_error(initial_voltage="zero")


def test_without_samples_nothing_changes() -> None:
    stages = Stages.of(small_cnn(), gain_samples=0)
    assert stages.calibrated is stages.layers or str(stages.calibrated) == str(stages.layers)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"neuron": {"tau_rc": 0.01, "refractory": 0.002, "max_rate": 250.0}},
        {"neuron": {"synapse": 0.003}, "weight_bits": 4},
        {"encoder": "on", "threshold_factors": (0.7, 1.3)},
    ],
    ids=str,
)
@pytest.mark.parametrize("network", [small_cnn, deep])
def test_layers_are_run_spike_for_spike_as_the_emulator_runs_them(
    network: Callable[[], Network], options: dict[str, Any]
) -> None:
    stages = Stages.of(network(), **options)
    graph = stages.calibrated
    program = compile_network(stages.network, parse_target(None), stages.options, stages.x)
    encoder = program.encoder
    names = [layer.name for layer in graph.on_chip()]
    probes = [Probe(name, "spikes") for name in (encoder.name, *names)]
    steps = stages.options.steps
    chip = Emulator().load(program).run(stages.x, steps, probes).probes
    sent = {encoder.name: encoder_spikes(encoder, encoder_currents(encoder, stages.x), steps)}
    discretise = stages.discretise
    for name in names:
        sent[name] = layer_spikes(*discretise.layer(graph, graph.layer(name)), sent)
        assert np.array_equal(sent[name], chip[Probe(name, "spikes")])
        assert sent[name].any()
        rate = float(chip[Probe(name, "spikes")].mean())
        assert graph.layer(name).rate == pytest.approx(rate)


def test_a_factor_of_a_channel_goes_into_whatever_reads_it() -> None:
    stages = Stages.of(small_cnn())
    graph = stages.layers
    name = next(iter(graph.on_chip())).name
    group = shared_weights(graph, name)
    factor = np.random.default_rng(1).uniform(0.5, 2, group.max() + 1).astype(np.float32)[group]
    scaled = scale_outputs(graph, name, factor)
    values = np.random.default_rng(2).random((3, len(group)), dtype=np.float32)
    for before, after in zip(graph.connections, scaled.connections, strict=True):
        if before.source == name:
            assert np.allclose(through(after, values), through(before, values * factor), atol=1e-5)
        else:
            assert after is before


def test_calibrate() -> None:
    stages = Stages.of(small_cnn())
    after = stages.calibrated
    step = Calibrate(stages.x, stages.options, stages.discretise)
    assert_golden(GOLDEN / "calibrate.txt", f"{step.changes(stages.layers, after)}\n{after}")


def test_a_network_too_large_to_be_run_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "MOST_SPIKES", 1000)
    stages = Stages.of(small_cnn())
    with pytest.warns(NmcompileWarning, match="too many to be run"):
        assert stages.calibrated is not None
