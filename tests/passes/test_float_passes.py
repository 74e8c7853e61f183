"""The passes on the float network change its shape, never its values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nmcompile.errors import CompileError, UsageError
from nmcompile.ir import Network, evaluate, nodes
from nmcompile.ir.nodes import Affine, Pool2d, ReLU, Spiking
from nmcompile.passes.add_encoder import AddEncoder
from nmcompile.passes.base import NmcompileWarning
from nmcompile.passes.fold_affine import FoldAffine
from nmcompile.passes.merge_pooling import MergePooling
from nmcompile.passes.scale_rates import ScaleRates
from nmcompile.passes.split import Split, chip_share
from tests.golden import assert_golden
from tests.networks import conv, dense, random_network, relu, small_cnn
from tests.passes.stages import Stages

GOLDEN = Path(__file__).parent / "golden"


def output(network: Network, x: np.ndarray) -> np.ndarray:
    return evaluate(network, x)[network.outputs[0].name]


def assert_same_values(before: Network, after: Network) -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(6, *before.inputs[0].size)).astype(np.float32)
    first, second = output(before, x), output(after, x)
    assert np.abs(first - second).max() <= 1e-4 * max(1, np.abs(first).max())


def with_norm() -> Network:
    """conv, batch norm, ReLU, pooling, dense: what most trained networks look like."""
    rng = np.random.default_rng(0)
    scale, shift = rng.uniform(0.5, 2, (2, 4)).astype(np.float32)
    return Network.build(
        [
            nodes.Input(name="image", size=(8, 8, 1)),
            Affine(
                name="rescale",
                inputs=("image",),
                origin=("rescale",),
                scale=np.array([2], np.float32),
                shift=np.array([-1], np.float32),
            ),
            conv(rng, "conv", "rescale", (3, 3), (1, 4)),
            Affine(name="norm", inputs=("conv",), origin=("norm",), scale=scale, shift=shift),
            relu("act", "norm"),
            nodes.AvgPool2d(
                name="pool", inputs=("act",), origin=("pool",), size=(2, 2), stride=(2, 2)
            ),
            nodes.Flatten(name="flat", inputs=("pool",), origin=("flat",)),
            dense(rng, "hidden", "flat", (36, 8)),
            relu("act2", "hidden"),
            dense(rng, "scores", "act2", (8, 3)),
            nodes.Softmax(name="soft", inputs=("scores",)),
            nodes.Output(name="output", inputs=("soft",)),
        ],
        name="with_norm",
    )


@pytest.mark.parametrize("seed", range(40))
def test_folding_and_merging_keep_every_value(seed: int) -> None:
    network = random_network(seed)
    folded = FoldAffine().run(network)
    assert_same_values(network, folded)
    assert_same_values(network, MergePooling().run(folded))


def test_fold_affine() -> None:
    network = with_norm()
    folded = FoldAffine().run(network)
    assert not any(isinstance(node, Affine) for node in folded)
    assert_same_values(network, folded)
    assert_golden(GOLDEN / "fold-affine.txt", str(folded))


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_an_affine_layer_folds_into_a_grouped_convolution_behind_it(groups: int) -> None:
    rng = np.random.default_rng(groups)
    scale, shift = rng.normal(size=(2, 4)).astype(np.float32)
    weights = rng.normal(size=(2, 2, 4 // groups, 8)).astype(np.float32)
    network = Network.build(
        [
            nodes.Input(name="image", size=(5, 5, 4)),
            Affine(name="affine", inputs=("image",), scale=scale, shift=shift),
            nodes.Conv2d(
                name="conv", inputs=("affine",), weights=weights, bias=None, groups=groups
            ),
            nodes.Output(name="output", inputs=("conv",)),
        ]
    )
    folded = FoldAffine().run(network)
    assert [type(node).__name__ for node in folded] == ["Input", "Conv2d", "Output"]
    assert_same_values(network, folded)


def test_merge_pooling() -> None:
    stages = Stages.of(with_norm())
    assert not any(isinstance(node, Pool2d) for node in stages.merged)
    assert_same_values(stages.encoded, stages.merged)
    assert_golden(GOLDEN / "merge-pooling.txt", str(stages.merged))


def test_pooling_with_an_odd_edge_merges_exactly() -> None:
    rng = np.random.default_rng(0)
    network = Network.build(
        [
            nodes.Input(name="image", size=(7, 7, 2)),
            nodes.AvgPool2d(name="pool", inputs=("image",), size=(2, 2), stride=(2, 2)),
            conv(rng, "conv", "pool", (3, 3), (2, 3), padding=((1, 1), (1, 1))),
            nodes.Output(name="output", inputs=("conv",)),
        ]
    )
    merged = MergePooling().run(network)
    assert_same_values(network, merged)
    assert [type(node).__name__ for node in merged] == ["Input", "Pad2d", "Conv2d", "Output"]


def test_add_encoder_of_one_neuron_per_channel_for_positive_inputs() -> None:
    stages = Stages.of(random_network(3), encoder="on")
    assert isinstance(stages.encoded["encoder"], ReLU)
    assert_golden(GOLDEN / "add-encoder.txt", str(stages.encoded))


def test_an_encoder_for_both_signs_keeps_every_value() -> None:
    stages = Stages.of(small_cnn())
    signed = np.concatenate([stages.x, -stages.x])
    encoded = AddEncoder("on-off", None, signed).run(small_cnn())
    assert_same_values(small_cnn(), encoded)
    assert encoded.shapes["encoder"] == (10, 10, 2)
    assert_same_values(small_cnn(), MergePooling().run(encoded))


def test_a_leading_1x1_convolution_is_the_encoder() -> None:
    stages = Stages.of(small_cnn())
    assert stages.encoded is stages.folded
    assert stages.split.place["enc"] == "host_in"


def test_an_encoder_cannot_be_demanded_of_a_network_without_one() -> None:
    with pytest.raises(UsageError, match="does not begin with a 1x1 convolution"):
        Stages.of(with_norm(), encoder="conv").encoded  # noqa: B018


def test_split() -> None:
    network = Stages.of(small_cnn()).split
    assert 0.5 < chip_share(network) < 1
    assert_golden(GOLDEN / "split.txt", str(network))


def test_split_with_the_read_out_on_chip() -> None:
    network = Stages.of(small_cnn(), readout="chip").split
    assert network.place["scores"] == "chip"


def test_split_with_more_layers_on_the_host() -> None:
    network = Stages.of(small_cnn(), host_layers=2).split
    assert network.place["conv"] == "host_in"
    assert network.place["fc"] == "chip"


def test_split_that_leaves_nothing_for_the_chip_is_refused() -> None:
    with pytest.raises(CompileError, match="no layer is left for the chip"):
        Split(3, "host").run(small_cnn())


def test_a_final_softmax_is_dropped_and_one_within_is_refused() -> None:
    network = with_norm()
    assert "soft" not in Split(1, "host").run(network)
    within = network.edit(
        {
            "act2": (
                nodes.Softmax(name="within", inputs=("hidden",)),
                relu("act2", "within"),
            )
        }
    )
    with pytest.raises(CompileError, match="'within'.*only at the end.*'act2' reads it"):
        Split(1, "host").run(within)


def test_spike() -> None:
    network = Stages.of(small_cnn(), layers={"conv/linear": {"tau_rc": 0.02}}).spiking
    conv_neurons = network["conv"]
    assert isinstance(conv_neurons, Spiking)
    assert conv_neurons.tau_rc_s == 0.02
    assert_golden(GOLDEN / "spike.txt", str(network))


def test_options_for_an_unknown_layer_are_refused() -> None:
    with pytest.raises(UsageError, match="'nonsense'|nonsense: no layer"):
        Stages.of(small_cnn(), layers={"nonsense": {"tau_rc": 0.02}}).spiking  # noqa: B018


def two_branches() -> Network:
    rng = np.random.default_rng(0)
    return Network.build(
        [
            nodes.Input(name="image", size=(6, 6, 1)),
            conv(rng, "enc/linear", "image", (1, 1), (1, 2)),
            relu("enc", "enc/linear"),
            conv(rng, "left", "enc", (3, 3), (2, 4)),
            conv(rng, "right", "enc", (3, 3), (2, 4)),
            nodes.Add(name="sum", inputs=("left", "right"), origin=("sum",)),
            relu("both", "sum"),
            nodes.Flatten(name="flat", inputs=("both",)),
            dense(rng, "scores", "flat", (64, 3)),
            nodes.Output(name="output", inputs=("scores",)),
        ]
    )


def test_two_synapse_time_constants_into_one_compartment_are_refused_by_name() -> None:
    settings = {"left": {"synapse": 0.005}, "right": {"synapse": 0.01}}
    with pytest.raises(CompileError, match="'left' and 'right' both feed the neurons of 'both'"):
        Stages.of(two_branches(), layers=settings).spiking  # noqa: B018
    same = {"left": {"synapse": 0.005}, "right": {"synapse": 0.005}}
    assert Stages.of(two_branches(), layers=same).spiking["both"].synapse_s == 0.005  # type: ignore[attr-defined]


def test_scale_rates() -> None:
    stages = Stages.of(small_cnn(), neuron={"max_rate": 500.0}, threshold_gain=1.0)
    largest = np.percentile(evaluate(stages.spiking, stages.x, keep=["conv"])["conv"], 99)
    neurons = stages.scaled["conv"]
    assert isinstance(neurons, Spiking)
    assert neurons.amplitude == pytest.approx(2 * largest)
    assert neurons.threshold == pytest.approx(2 * largest)
    assert_golden(GOLDEN / "scale-rates.txt", str(stages.scaled))


def test_a_leaky_neuron_fires_its_largest_activation_at_the_same_rate() -> None:
    plain = Stages.of(small_cnn(), neuron={"max_rate": 200.0}, threshold_gain=1.0).scaled["conv"]
    leaky = Stages.of(
        small_cnn(), neuron={"max_rate": 200.0, "tau_rc": 0.02}, threshold_gain=1.0
    ).scaled["conv"]
    assert isinstance(plain, Spiking)
    assert isinstance(leaky, Spiking)
    assert leaky.amplitude == plain.amplitude
    v, drive = 0.0, plain.amplitude * 0.2
    for _ in range(5):
        v = v * np.exp(-0.001 / 0.02) + drive
    assert leaky.threshold == pytest.approx(v, rel=1e-5)


def test_a_silent_layer_is_warned_about() -> None:
    network = small_cnn()
    x = np.zeros((20, 10, 10, 1), np.float32)
    dead = network.edit(
        {
            "enc/linear": (
                nodes.Conv2d(
                    name="enc/linear",
                    inputs=("image",),
                    weights=np.full((1, 1, 1, 3), -1, np.float32),
                ),
            )
        }
    )
    stages = Stages(dead, x, Stages.of(dead).options)
    with pytest.warns(NmcompileWarning, match="silent on all calibration data"):
        ScaleRates(stages.options, x).run(stages.spiking)


@pytest.mark.parametrize("max_rate", [800.0, 1000.0, 2000.0])
def test_a_rate_beyond_the_refractory_limit_is_refused(max_rate: float) -> None:
    neuron = {"refractory": 0.005, "max_rate": max_rate}
    with pytest.raises(CompileError, match="refractory period of 0.005 s allows at most 166.7 Hz"):
        Stages.of(small_cnn(), neuron=neuron).scaled  # noqa: B018


def test_the_time_step_can_be_chosen() -> None:
    from nmcompile.hardware import parse_target
    from nmcompile.passes.pipeline import compile_network

    stages = Stages.of(small_cnn(), dt=0.002, neuron={"tau_rc": 0.02, "max_rate": 400.0})
    program = compile_network(stages.network, parse_target(None), stages.options, stages.x)
    assert program.dt_s == 0.002
    assert program.cores[0].profiles.decay_v[0] == round(4095 * (1 - np.exp(-0.1)))


def test_an_output_that_reads_the_encoder_past_the_chip_is_refused_or_goes_on_chip() -> None:
    rng = np.random.default_rng(0)
    network = Network.build(
        [
            nodes.Input(name="image", size=(4, 4, 1)),
            conv(rng, "enc/linear", "image", (1, 1), (1, 2)),
            relu("enc", "enc/linear"),
            conv(rng, "mid/linear", "enc", (1, 1), (2, 2)),
            relu("mid", "mid/linear"),
            nodes.Add(name="sum", inputs=("enc", "mid")),
            nodes.Flatten(name="flat", inputs=("sum",)),
            dense(rng, "scores", "flat", (32, 3)),
            nodes.Output(name="output", inputs=("scores",)),
        ]
    )
    with pytest.raises(
        CompileError, match="the output reads layer 'enc', which is not on the chip"
    ):
        Stages.of(network).layers  # noqa: B018
    assert [x.name for x in Stages.of(network, readout="chip").layers.on_chip()] == [
        "mid",
        "scores/voltage",
    ]
