"""A diagnosis says where accuracy is lost, and names what was broken on purpose."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nmcompile import diagnose
from nmcompile.analysis.diagnosis import Diagnosis, Finding
from nmcompile.analysis.evaluation import float_network
from nmcompile.analysis.findings import is_fast
from nmcompile.analysis.likeness import LikenessSums
from nmcompile.analysis.stages import CHIP, CURVE, FLOAT, FOLDED, STAGES, WEIGHTS
from nmcompile.backends.emulator import Emulator
from nmcompile.chip.core import Core
from nmcompile.chip.discrete_tensors import discrete_graph
from nmcompile.chip.program import Program
from nmcompile.errors import DataError
from nmcompile.hardware import parse_target
from nmcompile.host.data import Data
from nmcompile.ir import Network, evaluate, nodes
from nmcompile.passes.options import checked_options
from nmcompile.passes.pipeline import compile_network
from tests.networks import conv, dense, random_network, relu, small_cnn

STEPS = 32


def images(count: int = 300, seed: int = 1) -> np.ndarray:
    """Patchy noise, so that a random network tells images apart."""
    rng = np.random.default_rng(seed)
    patches = (rng.random((count, 5, 5, 1)) > 0.6).repeat(2, 1).repeat(2, 2)
    return rng.random((count, 10, 10, 1), dtype=np.float32) * patches.astype(np.float32)


def clear(network: Network, x: np.ndarray, count: int = 60) -> np.ndarray:
    """The images of which the network is surest."""
    best = np.sort(evaluate(network, x)["output"], axis=1)
    return x[np.sort(np.argsort(best[:, -2] - best[:, -1])[:count])]


def balanced(network: Network, x: np.ndarray) -> Network:
    """The network with another bias in the read-out, so that it gives all answers."""
    last = network["scores"]
    assert isinstance(last, nodes.Dense)
    scores = evaluate(network, x)["output"]
    assert last.bias is not None
    bias = last.bias - scores.mean(axis=0)
    return network.edit({"scores": (replace(last, bias=bias.astype(np.float32)),)})


def labelled(network: Network, x: np.ndarray) -> Data:
    """Samples whose labels are the float network's answers."""
    return Data(x, evaluate(network, x)["output"].argmax(axis=1), "data.npz")


def built(
    change: Callable[[Network], Network] = lambda network: network, **options: Any
) -> tuple[Program, Data]:
    """The small CNN, changed, compiled with options, and samples for it."""
    x = images()
    network = balanced(change(small_cnn()), x)
    chosen = checked_options(**{"steps": STEPS, "gain_samples": 16, **options})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = compile_network(network, parse_target(None), chosen, x)
    return program, labelled(network, clear(network, x))


@functools.cache
def healthy() -> tuple[Program, Data, Diagnosis]:
    program, data = built()
    return program, data, diagnose(program, data)


def found_in(found: Diagnosis, kind: str) -> Finding:
    listed = [each for each in found.findings if each.kind == kind]
    assert listed, [str(each) for each in found.findings]
    return listed[0]


def test_a_healthy_network_passes_every_stage() -> None:
    _, _, found = healthy()
    assert [stage.name for stage in found.stages] == list(STAGES)
    assert [stage.accuracy for stage in found.stages[:2]] == [1, 1]
    assert found.stages[-1].accuracy > 0.95
    assert not found.findings, [str(each) for each in found.findings]


def test_the_chip_stage_is_the_emulator() -> None:
    program, data, found = healthy()
    result = Emulator().load(program).run(data.x)
    assert found.stage(CHIP).accuracy == np.mean(result.answers == data.y)
    layers = {layer.layer: layer for layer in found.layers}
    for name, spikes in result.spikes.items():
        depth = 0 if name == program.encoder.name else program.layer(name).depth
        size = np.prod(layers[name].shape)
        expected = spikes.mean() / size / (STEPS - depth) / program.dt_s
        assert layers[name].rates.mean_hz == pytest.approx(expected)
    assert {name: layers[name].overflows for name in result.overflows} == result.overflows


@pytest.mark.parametrize("seed", range(8))
def test_folding_changes_no_network(seed: int) -> None:
    network = random_network(seed)
    x = np.random.default_rng(seed).random((20, *network.inputs[0].size), dtype=np.float32)
    options = {"steps": 12, "gain_samples": 0, "readout": ("host", "chip")[seed % 2]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = compile_network(network, parse_target(None), checked_options(**options), x)
        found = diagnose(program, labelled(network, x))
    assert found.stage(FOLDED).accuracy == 1
    assert found.stage(FOLDED).scores.relative_error < 1e-4
    for layer in found.layers:
        assert layer.stages[FOLDED].relative_error in (None, pytest.approx(0, abs=1e-4))
        if layer.layer not in (program.encoder.name, *program.read_out.layers):
            assert layer.compared == layer.layer
        assert layer.stages[WEIGHTS].relative_error in (None, pytest.approx(0, abs=0.2))


def test_stages_move_away_from_the_float_network_step_by_step() -> None:
    _, _, found = healthy()
    for layer in found.layers[1:]:
        errors = {stage: layer.stages[stage].relative_error for stage in STAGES}
        assert errors[FLOAT] == 0
        assert errors[FOLDED] < 1e-5
        assert 1e-4 < errors[WEIGHTS] < 0.05
        assert errors[WEIGHTS] < errors[CURVE] < 0.6
        assert layer.stages[CURVE].correlation > 0.9
        assert layer.stages[CHIP].correlation > 0.9


@pytest.mark.parametrize(
    "options",
    [{}, {"gain": "layer"}, {"neuron": {"max_rate": 60.0}}, {"equalise": 1.0}],
    ids=str,
)
def test_what_makes_up_for_spikes_does_not_count_among_the_weights(options: dict[str, Any]) -> None:
    program, data = built(**options)
    graph = discrete_graph(program)
    assert any(layer.correction is not None for layer in graph.layers)
    assert graph.read_correction is not None
    found = diagnose(program, data)
    assert found.stage(WEIGHTS).accuracy == 1
    for layer in found.layers[1:]:
        assert layer.stages[WEIGHTS].relative_error < 0.03
        assert layer.stages[CHIP].correlation > 0.9 or "neuron" in options


def test_many_slow_steps_bring_the_chip_to_its_curve() -> None:
    program, data = built(steps=4000, neuron={"max_rate": 20.0}, gain_samples=0)
    found = diagnose(program, data, limit=4)
    for layer in found.layers[1:]:
        errors = [layer.stages[stage].relative_error for stage in (CURVE, CHIP)]
        assert errors[1] == pytest.approx(errors[0], abs=0.05)
        assert layer.stages[CHIP].correlation > 0.99


def test_frames_over_time_count_by_their_means() -> None:
    program, data = built()
    still = diagnose(program, data, limit=20)
    x = np.repeat(data.x[:20, None], 4, axis=1)
    held = diagnose(program, Data(x, data.y[:20], data.path))
    moving = diagnose(
        program,
        Data(
            x * np.float32([[1], [0.5], [1.5], [1]]).reshape(1, 4, 1, 1, 1), data.y[:20], data.path
        ),
    )
    for found in (held, moving):
        assert [stage.name for stage in found.stages] == list(STAGES)
        assert found.answers.late == 0
    for one, other in zip(still.layers[1:], held.layers[1:], strict=True):
        for stage in (FOLDED, WEIGHTS, CHIP):
            assert one.stages[stage].correlation == pytest.approx(
                other.stages[stage].correlation, abs=1e-4
            )
    assert moving.stage(FOLDED).scores.relative_error < 1e-4
    assert 0.9 < moving.layers[1].stages[CHIP].correlation < 0.9999


def test_a_rate_too_low_for_the_steps_is_named_in_a_sentence() -> None:
    program, data = built(neuron={"max_rate": 20.0})
    found = diagnose(program, data)
    few = found_in(found, "few-spikes")
    conv_layer = found.layers[1]
    assert conv_layer.rates.most_spikes == 1
    assert str(few) == (
        "conv: highest rate 32 Hz, so one spike in 32 steps: raise --max-rate or --steps"
    )
    lossy = found_in(found, "lossy-stage")
    assert lossy.where == "chip"
    assert "mend conv first" in lossy.remedy


def numbed(core: Core) -> Core:
    """A core whose neurons forget everything and have the highest thresholds."""
    thresholds = np.full_like(core.thresholds.mantissa, 131071)
    leak = np.full_like(core.profiles.decay_v, 4095)
    return replace(
        core,
        thresholds=replace(core.thresholds, mantissa=thresholds),
        profiles=replace(core.profiles, decay_v=leak),
    )


def test_a_network_that_gives_only_its_bias_is_recognised() -> None:
    program, data, before = healthy()
    found = diagnose(replace(program, cores=tuple(map(numbed, program.cores))), data)
    stuck = found_in(found, "only-bias")
    biggest = int(program.read_out.bias.argmax())
    assert f"everything is a {biggest}" in stuck.problem
    assert "gives only its bias" in stuck.problem
    assert "conv" in stuck.remedy
    dead = found_in(found, "dead-layer")
    assert dead.where == "conv"
    assert "no neuron fires" in dead.problem
    assert found.answers.share == 1
    assert found.answers.spread == 0
    assert before.answers.spread > 0.5


def test_a_network_that_always_answers_the_same_by_right_is_not_stuck() -> None:
    program, data, _ = healthy()
    same = data.x[data.y == data.y[0]]
    found = diagnose(program, Data(same, np.full(len(same), data.y[0]), "data.npz"))
    assert found.answers.share > 0.9
    assert not {"only-bias", "one-answer"} & {each.kind for each in found.findings}


def test_the_loss_of_few_weight_bits_is_put_down_to_the_weights() -> None:
    program, data = built(weight_bits=2)
    found = diagnose(program, data)
    lossy = found_in(found, "lossy-stage")
    assert lossy.where == "2-bit weights"
    assert lossy.remedy == "raise --weight-bits"
    assert found.stage(WEIGHTS).lost > 0.2
    assert found.layers[1].weights[0].available == 2


def test_saturated_layers_are_told_to_slow_down() -> None:
    program, data = built(neuron={"max_rate": 6000.0})
    found = diagnose(program, data)
    sated = found_in(found, "saturated")
    assert "whenever they can" in sated.problem
    assert sated.remedy == "lower --max-rate or --rate-scale"
    rates = found.layers[1].rates
    assert rates.saturated > 0.05
    assert rates.beyond > 0.05
    assert rates.highest_hz <= rates.possible_hz


def test_data_larger_than_the_calibration_is_recognised() -> None:
    program, data, _ = healthy()
    found = diagnose(program, Data(1.8 * data.x, data.y, "data.npz"))
    wide = {each.where for each in found.findings if each.kind == "saturated"}
    assert "enc" in wide
    assert all("calibrate" in each.remedy for each in found.findings if each.kind == "saturated")


def outlier(network: Network) -> Network:
    layer = network["conv/linear"]
    assert isinstance(layer, nodes.Conv2d)
    weights = layer.weights.copy()
    weights[0, 0, 0, 0] = 40 * np.abs(weights).max()
    return network.edit({"conv/linear": (replace(layer, weights=weights),)})


def test_a_weight_far_larger_than_the_others_wastes_bits() -> None:
    program, data = built(outlier)
    found = diagnose(program, data)
    odd = found_in(found, "outlier-weight")
    assert odd.where == "enc -> conv"
    assert "of 8 bits" in odd.problem
    bits = found.layers[1].weights[0]
    assert bits.outlier > 8
    assert bits.usual < 4 < 7 < bits.largest
    assert not [each for each in healthy()[2].findings if each.kind == "outlier-weight"]


def wide(network: Network) -> Network:
    layer = network["conv/linear"]
    assert isinstance(layer, nodes.Conv2d)
    weights = np.ones((11, 11, 3, 8), np.float32)
    weights[0, 0] = -1
    return network.edit(
        {"conv/linear": (replace(layer, weights=weights, padding=((5, 5), (5, 5))),)}
    )


def test_overflows_are_counted_and_named() -> None:
    program, data = built(wide)
    bright = Data(np.ones_like(data.x[:4]), data.y[:4], "data.npz")
    formats = [
        replace(core, formats=replace(core.formats, exponent=core.formats.exponent + 5))
        for core in program.cores
    ]
    found = diagnose(replace(program, cores=tuple(formats)), bright)
    over = found_in(found, "overflow")
    assert over.where == "conv"
    assert found.layers[1].overflows > 0
    assert f"{found.layers[1].overflows:,}" in over.problem


def test_a_threshold_of_few_steps_is_named() -> None:
    program, data, _ = healthy()
    structure = dict(program.manifest["discrete"])
    first, *rest = structure["layers"]
    structure["layers"] = [{**first, "threshold_mantissa": 12}, *rest]
    coarse = replace(program, manifest={**program.manifest, "discrete": structure})
    small = found_in(diagnose(coarse, data), "small-threshold")
    assert (small.where, "is 12, so it is off by up to 4.2%" in small.problem) == ("conv", True)


def test_a_pipeline_as_deep_as_the_steps_is_named() -> None:
    program, data, _ = healthy()
    found = diagnose(program, data, steps=3)
    deep = found_in(found, "deep-pipeline")
    assert "takes 2 of 3 steps" in deep.problem
    assert "which leaves 1 to count" in deep.problem
    assert found.steps == 3


def test_answers_that_still_change_at_the_end_are_named() -> None:
    program, data, known = healthy()
    found = diagnose(program, data, steps=6)
    moving = found_in(found, "still-moving")
    assert "in the last 1 of 6 steps" in moving.problem
    session = Emulator().load(program)
    answers = [session.run(data.x, steps).answers for steps in (5, 6)]
    assert found.answers.moved == np.mean(answers[0] != answers[1])
    assert known.answers.moved < found.answers.moved


def test_synthetic_calibration_is_named() -> None:
    program, data, _ = healthy()
    blind = replace(program, manifest={**program.manifest, "calibration": "synthetic"})
    assert "--calibrate" in found_in(diagnose(blind, data), "synthetic-calibration").remedy


def test_without_labels_the_float_networks_answers_take_their_place() -> None:
    program, data, known = healthy()
    found = diagnose(program, Data(data.x, None, "data.npz"))
    assert not found.labels
    assert [stage.accuracy for stage in found.stages] == [None] * 5
    assert [stage.agreement for stage in found.stages] == [each.accuracy for each in known.stages]
    assert found.stages[-1].lost == known.stages[-1].lost


def test_a_program_without_a_float_network_shows_the_chip_alone() -> None:
    program, data, known = healthy()
    bare = replace(program, manifest={"source": {"kind": "nengo"}}, attachments={})
    found = diagnose(bare, data)
    assert [stage.name for stage in found.stages] == [CHIP]
    assert found.stages[0].accuracy == known.stages[-1].accuracy
    assert [layer.rates.mean_hz for layer in found.layers] == [
        layer.rates.mean_hz for layer in known.layers
    ]
    assert all(not layer.stages and layer.threshold is None for layer in found.layers)
    short = diagnose(bare, data, steps=5)
    assert "in the network" in found_in(short, "few-spikes").remedy


def test_a_program_of_an_older_version_is_refused_in_a_sentence() -> None:
    program, data, _ = healthy()
    manifest = {name: each for name, each in program.manifest.items() if name != "discrete"}
    with pytest.raises(DataError, match="no discretised layers; build it again"):
        diagnose(replace(program, manifest=manifest), data)


@pytest.mark.parametrize("options", [{"readout": "chip"}, {"encoder": "on-off"}], ids=str)
def test_every_kind_of_program_has_all_stages(options: dict[str, Any]) -> None:
    program, data = built(**options)
    found = diagnose(program, data)
    assert [stage.name for stage in found.stages] == list(STAGES)
    assert found.stage(WEIGHTS).scores.correlation > 0.99
    assert found.stage(CHIP).scores.correlation > 0.8
    for layer in found.layers:
        read_by_voltage = program.read_out.kind == "voltage" and layer is found.layers[-1]
        assert (layer.rates is None) == read_by_voltage


def test_neither_batches_nor_repetition_change_a_diagnosis(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from nmcompile.analysis import diagnose as module

    program, data, found = healthy()
    assert diagnose(program, data) == found
    monkeypatch.setattr(module, "BATCH", 7)
    again = diagnose(program, data)
    assert again.findings == found.findings
    assert again.answers == found.answers
    for one, two in zip(again.layers, found.layers, strict=True):
        assert one.rates == two.rates
        assert one.stages[CHIP].correlation == pytest.approx(two.stages[CHIP].correlation)


def test_limit_and_progress() -> None:
    program, data, _ = healthy()
    seen: list[tuple[int, int]] = []
    found = diagnose(program, data, limit=10, progress=lambda done, all_: seen.append((done, all_)))
    assert (found.samples, found.available) == (10, len(data))
    assert seen[-1] == (10, 10)


def test_batch_norm_and_softmax_are_followed() -> None:
    rng = np.random.default_rng(4)
    layers: list[nodes.Node] = [
        nodes.Input(name="image", size=(10, 10, 1)),
        conv(rng, "one/linear", "image", (3, 3), (1, 6)),
        nodes.Affine(
            name="one/norm",
            inputs=("one/linear",),
            origin=("norm",),
            scale=rng.uniform(0.5, 2, 6).astype(np.float32),
            shift=(rng.normal(size=6) * 0.1).astype(np.float32),
        ),
        relu("one", "one/norm"),
        nodes.Flatten(name="flat", inputs=("one",)),
        dense(rng, "scores", "flat", (384, 5)),
        nodes.Softmax(name="softmax", inputs=("scores",)),
        nodes.Output(name="output", inputs=("softmax",)),
    ]
    x = images(30)
    network = Network.build(layers)
    chosen = checked_options(steps=STEPS, gain_samples=16)
    program = compile_network(network, parse_target(None), chosen, x)
    found = diagnose(program, labelled(network, x))
    assert found.stage(FOLDED).scores.relative_error < 1e-5
    assert found.stage(WEIGHTS).scores.correlation > 0.999
    assert evaluate(float_network(program), x)["output"].max() <= 1


@pytest.mark.parametrize("tau_rc", [None, 0.02])
def test_neurons_that_the_network_was_trained_with_keep_their_curve(tau_rc: float | None) -> None:
    def spiking(network: Network) -> Network:
        made = {
            name: nodes.Spiking(
                name=name,
                inputs=network[name].inputs,
                origin=(name,),
                own=True,
                threshold=2.0,
                amplitude=2.0,
                tau_rc_s=tau_rc,
                refractory_s=0.001,
            )
            for name in ("conv", "fc")
        }
        return network.edit({name: (node,) for name, node in made.items()})

    program, data = built(spiking)
    found = diagnose(program, data)
    assert found.stage(FOLDED).accuracy == 1
    for layer in found.layers[1:]:
        assert layer.stages[WEIGHTS].relative_error < 0.1
        assert layer.stages[CURVE].relative_error < 0.2
        assert layer.stages[CURVE].correlation > 0.99


def test_likeness_is_that_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 50, 7))
    b += 0.5 * a
    sums = LikenessSums()
    for part in (slice(0, 20), slice(20, 50)):
        sums.add(a[part], b[part])
    found = sums.likeness()
    assert found.correlation == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1])
    assert found.relative_error == pytest.approx(np.linalg.norm(b - a) / np.linalg.norm(a))


def test_likeness_of_what_does_not_vary_has_no_correlation() -> None:
    sums = LikenessSums()
    sums.add(np.ones(5), np.zeros(5))
    assert sums.likeness().correlation is None
    assert sums.likeness().relative_error == 1
    nothing = LikenessSums()
    nothing.add(np.zeros(5), np.ones(5))
    assert nothing.likeness().relative_error is None


@pytest.mark.parametrize(
    ("options", "fast"),
    [
        ({"neuron": {"max_rate": 800.0, "rate_scale": 1.0}}, False),
        ({"neuron": {"max_rate": 800.0, "rate_scale": 2.0}}, True),
        ({"neuron": {"max_rate": 800.0}, "layers": {"conv": {"max_rate": 4000.0}}}, True),
        ({}, False),
    ],
)
def test_options_that_ask_for_more_than_a_spike_a_step(options: dict[str, Any], fast: bool) -> None:
    assert is_fast(options, 1e-3) is fast
