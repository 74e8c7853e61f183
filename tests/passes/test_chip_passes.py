"""From layers to cores: connections, integers, tiles, tables, places."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nmcompile.backends.emulator import Emulator
from nmcompile.chip.arithmetic import EXCITATORY, MIXED, mantissa_step
from nmcompile.chip.bill import Bill
from nmcompile.chip.discrete import DiscreteGraph
from nmcompile.chip.program import Program
from nmcompile.chip.verify import verify_program
from nmcompile.errors import CompileError, FitError, VerifyError
from nmcompile.hardware import HardwareModel, parse_target
from nmcompile.ir import Network, evaluate, nodes
from nmcompile.ir.nodes import Conv2d
from nmcompile.passes.allocate import Allocate
from nmcompile.passes.base import NmcompileWarning
from nmcompile.passes.discretise import current_decay, current_gain
from nmcompile.passes.emit import Emit
from nmcompile.passes.options import checked_options
from nmcompile.passes.partition import PartitionLayers
from nmcompile.passes.pipeline import compile_network
from nmcompile.passes.place import Place
from tests.golden import assert_golden
from tests.mapper.tables import assert_tables_hold, through
from tests.networks import conv, dense, random_network, relu, small_cnn
from tests.passes.stages import LOIHI1, Stages, small_core

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("seed", range(40))
def test_connections_compute_what_the_network_does(seed: int) -> None:
    stages = Stages.of(random_network(seed))
    graph = stages.layers
    names = [layer.name for layer in graph.layers]
    kept = evaluate(stages.scaled, stages.x, keep=[*names, graph.input_name])
    for layer in graph.layers:
        total = np.zeros((len(stages.x), layer.size)) + layer.bias
        for link in graph.into(layer.name):
            source = kept[link.source].reshape(len(stages.x), -1)
            total += through(link, source)
        wanted = kept[layer.name].reshape(len(stages.x), -1)
        assert np.abs(np.maximum(total, 0) - wanted).max() < 1e-4 * max(1, wanted.max())
    read = np.concatenate([kept[n].reshape(len(stages.x), -1) for n in graph.read_layers], axis=1)
    scores = read @ graph.read_weights + graph.read_bias
    assert np.abs(scores - evaluate(stages.scaled, stages.x)["output"]).max() < 1e-3


def test_one_factor_for_all_rows_and_channels_connects_place_by_place() -> None:
    rng = np.random.default_rng(0)
    one = np.array(-2, np.float32)
    layers = [
        nodes.Input(name="rows", size=(4, 5)),
        relu("enc", "rows"),
        nodes.Affine(name="scaled", inputs=("enc",), scale=one, shift=-one),
        relu("neurons", "scaled"),
        nodes.Flatten(name="flat", inputs=("neurons",)),
        dense(rng, "scores", "flat", (20, 5)),
        nodes.Output(name="output", inputs=("scores",)),
    ]
    graph = Stages.of(Network.build(layers)).layers
    (link,) = graph.into("neurons")
    assert np.array_equal(through(link, np.eye(20)), -2 * np.eye(20))


def test_a_branch_that_is_cropped_away_whole_adds_nothing() -> None:
    rng = np.random.default_rng(0)
    layers = [
        nodes.Input(name="image", size=(4, 4, 2)),
        relu("enc", "image"),
        conv(rng, "conv", "enc", (1, 1), (2, 2)),
        relu("top", "conv"),
        nodes.Concat(name="both", inputs=("top", "enc"), axis=0),
        nodes.Pad2d(name="half", inputs=("both",), padding=((0, -4), (0, 0))),
        nodes.AvgPool2d(
            name="mean", inputs=("half",), size=(2, 2), stride=(2, 2), padding=((1, 1), (1, 1))
        ),
        relu("neurons", "mean"),
        nodes.Flatten(name="flat", inputs=("neurons",)),
        dense(rng, "scores", "flat", (18, 5)),
        nodes.Output(name="output", inputs=("scores",)),
    ]
    graph = Stages.of(Network.build(layers)).layers
    links = {link.source: link for link in graph.into("neurons")}
    assert not through(links["enc"], np.eye(32)).any()
    assert through(links["top"], np.eye(32)).any()


def test_connect() -> None:
    assert_golden(GOLDEN / "connect.txt", str(Stages.of(small_cnn()).layers))


def test_discretise() -> None:
    assert_golden(GOLDEN / "discretise.txt", str(Stages.of(small_cnn()).discrete))


@pytest.mark.parametrize("bits", [8, 6, 3, 2])
@pytest.mark.parametrize("seed", range(6))
def test_integer_weights_are_within_half_a_step_of_the_floats(seed: int, bits: int) -> None:
    stages = Stages.of(random_network(seed), weight_bits=bits)
    graph, discrete = stages.layers, stages.discrete
    floats = [c.weights for layer in graph.on_chip() for c in graph.into(layer.name)]
    for connection, weights in zip(discrete.connections, floats, strict=True):
        link = connection.link
        layer = discrete.layer(link.target)
        amplitude = 1.0
        if link.source != graph.input_name:
            amplitude = graph.layer(link.source).neuron.amplitude  # type: ignore[union-attr]
        wanted = weights * amplitude * layer.voltage_scale
        effective = link.weights.astype(np.int64)
        effective = effective * 2.0**connection.exponent * 64
        step = max(mantissa_step(bits, connection.sign_mode), 2.0**-connection.exponent)
        unit = step * 2.0**connection.exponent * 64
        assert np.abs(effective - wanted).max() <= 1.001 * unit
        assert np.mean(np.abs(effective - wanted) <= 0.501 * unit) > 0.9


def test_one_bit_weights_of_both_signs_are_refused() -> None:
    with pytest.raises(CompileError, match="hold no positive weight beside negative ones"):
        Stages.of(small_cnn(), weight_bits=1).discrete  # noqa: B018


def test_a_layer_of_one_sign_gains_a_bit() -> None:
    network = small_cnn()
    positive = replace(network["scores"], weights=np.abs(network["scores"].weights))  # type: ignore[attr-defined, type-var]
    stages = Stages.of(network.edit({"scores": (positive,)}), readout="chip")
    modes = {c.link.target: c.sign_mode for c in stages.discrete.connections}
    assert modes["conv"] == MIXED
    assert modes["scores/voltage"] == EXCITATORY


def test_decays_follow_the_formulas() -> None:
    assert current_decay(0.0, 0.001, 4095) == 4095
    assert current_decay(0.005, 0.001, 4095) == round(4095 * (1 - np.exp(-0.2))) - 1


@pytest.mark.parametrize("tau_s", [0.002, 0.005, 0.02])
def test_current_gain_is_what_integer_decay_adds_up_to(tau_s: float) -> None:
    from nmcompile.chip.arithmetic import decay

    register, start = current_decay(tau_s, 0.001, 4095), 1 << 20
    total, u = 0, start
    while u:
        total += u
        u = decay(u, register, offset=1)
    assert current_gain(register, start) == pytest.approx(total / start, rel=1e-3)


def test_a_time_constant_too_long_for_the_register_is_refused() -> None:
    with pytest.raises(CompileError, match="--tau-rc 100 s is so long"):
        Stages.of(small_cnn(), neuron={"tau_rc": 100.0}).discrete  # noqa: B018
    with pytest.raises(CompileError, match="refractory period of 0.064 s is 65 steps"):
        Stages.of(small_cnn(), neuron={"refractory": 0.064, "max_rate": 10.0}).discrete  # noqa: B018


def test_a_layer_whose_weights_are_all_zero_compiles() -> None:
    network = small_cnn()
    conv = network["conv/linear"]
    assert isinstance(conv, Conv2d)
    zero = replace(conv, weights=np.zeros_like(conv.weights))
    graph = Stages.of(network.edit({"conv/linear": (zero,)})).discrete
    partition = PartitionLayers(LOIHI1).run(graph)
    assert not len(Allocate(LOIHI1).run(partition).injection)


CORES = [
    LOIHI1,
    small_core(compartments=40),
    small_core(compartments=200, memory_words=700),
    small_core(input_axons=60, output_axon_slots=30),
]


@pytest.mark.parametrize("hardware", CORES, ids=["whole", "40 cx", "700 words", "60 axons"])
@pytest.mark.parametrize("seed", range(12))
def test_tables_hold_exactly_the_connections_however_layers_are_cut(
    seed: int, hardware: HardwareModel
) -> None:
    graph = Stages.of(random_network(seed)).discrete
    assert_tables_hold(graph, hardware)


@pytest.mark.parametrize("compartments", [12, 24, 36, 1024])
def test_tables_hold_connections_whose_channels_tiles_cut_across(compartments: int) -> None:
    """A reshape before the neurons: a tile holds other channels at one place than at the next."""
    rng = np.random.default_rng(0)
    layers = [
        nodes.Input(name="image", size=(4, 4, 1)),
        relu("enc", "image"),
        conv(rng, "conv", "enc", (1, 1), (1, 9)),
        nodes.Reshape(name="mixed", inputs=("conv",), size=(12, 4, 3)),
        relu("neurons", "mixed"),
        nodes.Flatten(name="flat", inputs=("neurons",)),
        dense(rng, "scores", "flat", (144, 5)),
        nodes.Output(name="output", inputs=("scores",)),
    ]
    graph = Stages.of(Network.build(layers)).discrete
    assert_tables_hold(graph, small_core(compartments=compartments))


@pytest.mark.parametrize("seed", range(3))
def test_spikes_do_not_depend_on_the_partition(seed: int) -> None:
    from nmcompile.backends.emulator import Emulator

    stages = Stages.of(random_network(seed))
    results = []
    for hardware in (LOIHI1, small_core(compartments=30)):
        program = program_of(stages.discrete, hardware)
        results.append(Emulator().load(program).run(stages.x, 20))
    assert np.array_equal(results[0].scores, results[1].scores)
    for name in results[0].spikes:
        assert np.array_equal(results[0].spikes[name], results[1].spikes[name])


def program_of(graph: DiscreteGraph, hardware: HardwareModel = LOIHI1) -> Program:
    partition = PartitionLayers(hardware).run(graph)
    placement = Place(parse_target("loihi1:pohoiki-springs")).run(Allocate(hardware).run(partition))
    return Emit(options=checked_options(steps=32), manifest={}, attachments={}).run(placement)


def test_a_read_out_on_the_chip_counts_its_bias_once() -> None:
    network = small_cnn()
    last = network["scores"]
    assert isinstance(last, nodes.Dense)
    bias = np.arange(5, dtype=np.float32)
    network = network.edit({"scores": (replace(last, bias=bias),)})
    x = np.random.default_rng(0).random((60, 10, 10, 1), dtype=np.float32)
    wanted = evaluate(network, x)["output"]
    for readout in ("host", "chip"):
        options = checked_options(steps=16, readout=readout)
        program = compile_network(network, parse_target(None), options, x)
        error = (Emulator().load(program).run(x).scores - wanted).mean(axis=0)
        assert np.abs(error).max() < 0.15, readout


def test_a_read_out_that_is_hardly_meant_is_warned_about() -> None:
    x = np.random.default_rng(0).random((24, 10, 10, 1), dtype=np.float32)
    for option, words in (
        ({"window": 0.001}, "counts spikes in the last 1 of 32 steps only"),
        ({"read_synapse": 30.0}, "is in seconds and much longer than a sample, 0.032 s"),
    ):
        with pytest.warns(NmcompileWarning, match=words):
            made = compile_network(small_cnn(), parse_target(None), checked_options(**option), x)
        assert made.read_out.describe() != "counts of fc"


def test_options_that_change_nothing_for_own_neurons_are_named() -> None:
    network = small_cnn()
    own = {
        node.name: (nodes.Spiking(name=node.name, inputs=node.inputs, own=True, amplitude=0.01),)
        for node in network
        if isinstance(node, nodes.ReLU) and node.name != "enc"
    }
    x = np.random.default_rng(0).random((24, 10, 10, 1), dtype=np.float32)
    options = checked_options(neuron={"max_rate": 300.0}, equalise=1.0)
    with pytest.warns(NmcompileWarning, match="--max-rate, --equalise: no effect"):
        compile_network(network.edit(own), parse_target(None), options, x)


def test_layers_trained_for_different_steps_are_refused() -> None:
    network = small_cnn()
    own = {
        node.name: (
            nodes.Spiking(
                name=node.name, inputs=node.inputs, own=True, threshold=1.0, dt_s=0.001 * (k + 1)
            ),
        )
        for k, node in enumerate(n for n in network if isinstance(n, nodes.ReLU))
    }
    x = np.random.default_rng(0).random((8, 10, 10, 1), dtype=np.float32)
    with pytest.raises(CompileError, match=r"0.002 s and layer .* for 0.001 s"):
        compile_network(network.edit(own), parse_target(None), checked_options(), x)


@pytest.mark.parametrize("option", [{"window": 0.5}, {"read_synapse": 0.01}], ids=str)
def test_a_voltage_at_the_end_cannot_be_weighed_by_time(option: dict[str, float]) -> None:
    stages = Stages.of(small_cnn(), readout="chip", **option)
    (name,) = option
    with pytest.raises(CompileError, match=f"--{name.replace('_', '-')} weighs spikes"):
        compile_network(stages.network, parse_target(None), stages.options, stages.x)


def test_partition() -> None:
    partition = PartitionLayers(small_core(compartments=300)).run(Stages.of(small_cnn()).discrete)
    assert_golden(GOLDEN / "partition.txt", str(partition))


def test_allocate_and_place() -> None:
    hardware = small_core(compartments=300)
    allocation = Allocate(hardware).run(
        PartitionLayers(hardware).run(Stages.of(small_cnn()).discrete)
    )
    assert_golden(GOLDEN / "allocate.txt", str(allocation))
    assert_golden(GOLDEN / "place.txt", str(Place(parse_target("loihi1")).run(allocation)))


def test_a_neuron_with_too_many_inputs_is_refused_with_layer_and_numbers() -> None:
    with pytest.raises(FitError, match="layer 'fc'.*64-bit words.*a core has 10") as caught:
        PartitionLayers(small_core(memory_words=10)).run(Stages.of(small_cnn()).discrete)
    assert caught.value.layer == "fc"
    assert caught.value.used > caught.value.limit == 10


def test_a_board_too_small_is_refused_with_the_smallest_that_would_do() -> None:
    hardware = small_core(compartments=2)
    allocation = Allocate(hardware).run(
        PartitionLayers(hardware).run(Stages.of(small_cnn()).discrete)
    )
    with pytest.raises(
        FitError, match="takes 410 cores .at least 410., kapoho-bay has 256.*wolf-mountain"
    ):
        Place(parse_target("loihi1:kapoho-bay")).run(allocation)
    assert Place(parse_target("loihi1")).run(allocation).target.name == "loihi1:wolf-mountain"


def test_the_bill_names_what_is_over_its_limit() -> None:
    bill = Bill(compartments=1025, input_axons=9000)
    assert bill.excess(LOIHI1) == ("input_axons", 9000, 4096)
    assert Bill(compartments=512).excess(LOIHI1) is None
    assert Bill(compartments=512).fullness(LOIHI1) == 0.5


def broken(program: Program, table: str, **columns: object) -> Program:
    core = program.cores[0]
    changed = replace(getattr(core, table), **columns)
    return replace(program, cores=(replace(core, **{table: changed}), *program.cores[1:]))


@pytest.mark.parametrize(
    ("table", "column", "row", "value", "message"),
    [
        ("profiles", "decay_u", 0, 4096, "decay_u 4096"),
        ("profiles", "refractory", 0, 0, "refractory delay 0"),
        ("thresholds", "mantissa", 0, 131072, "threshold mantissa 131072"),
        ("compartments", "bias_mantissa", 3, 4096, "bias mantissa 4096"),
        ("compartments", "profile", 0, 5, "compartment profile 5"),
        ("formats", "exponent", 0, 8, "weight exponent 8"),
        ("formats", "weight_bits", 0, 7, "weight bits 7"),
        ("blocks", "start", 0, 10**6, "block start 1000000"),
        ("synapses", "mantissa", 0, 255, "not all multiples of 2"),
        ("synapses", "target", 0, 5000, "reaches compartment"),
        ("synapses", "delay", 0, 63, "synaptic delay 63"),
        ("input_axons", "base", 0, 256, "axon base 256"),
        ("input_axons", "base", 0, 2, "no multiple of 4"),
        ("input_axons", "block", 0, 10**6, "axon block 1000000"),
        ("output_axons", "core", 0, 99, "goes to core 99"),
        ("output_axons", "axon", 0, 5000, "goes to axon 5000"),
    ],
)
def test_verify_finds_every_broken_limit(
    table: str, column: str, row: int, value: int, message: str
) -> None:
    program = program_of(Stages.of(small_cnn()).discrete)
    verify_program(program, LOIHI1)
    changed = getattr(getattr(program.cores[0], table), column).copy()
    changed[row] = value
    with pytest.raises(VerifyError, match=message):
        verify_program(broken(program, table, **{column: changed}), LOIHI1)


def test_verify_refuses_hardware_of_another_arithmetic() -> None:
    program = program_of(Stages.of(small_cnn()).discrete)
    wider = LOIHI1.compartment.current_bits.model_copy(update={"value": 24})
    compartment = LOIHI1.compartment.model_copy(update={"current_bits": wider})
    hardware = LOIHI1.model_copy(update={"compartment": compartment})
    with pytest.raises(VerifyError, match="current_bits of 24, .* written for 23"):
        verify_program(program, hardware)


def test_possible_overflow_is_warned_about() -> None:
    network = small_cnn()
    conv = network["conv/linear"]
    assert isinstance(conv, Conv2d)
    weights = np.ones((11, 11, 3, 8), np.float32)
    wide = replace(conv, weights=weights, padding=((5, 5), (5, 5)))
    stages = Stages.of(network.edit({"conv/linear": (wide,)}), weight_bits=8)
    from nmcompile.passes.discretise import Discretise

    graph = stages.layers
    for link in graph.connections:
        if link.target == "conv":
            link.weights[0, 0] *= -1
    with pytest.warns(NmcompileWarning, match="the accumulator of 21 bits can overflow"):
        Discretise(LOIHI1, 8, 32, (0.0, 1.0)).run(graph)


def test_merged_pooling_stores_its_weights_once_for_all_places() -> None:
    from nmcompile.ir import Network, nodes
    from tests.networks import conv, dense, relu

    rng = np.random.default_rng(0)
    network = Network.build(
        [
            nodes.Input(name="image", size=(6, 6, 1)),
            conv(rng, "enc/linear", "image", (1, 1), (1, 16)),
            relu("enc", "enc/linear"),
            nodes.AvgPool2d(name="pool", inputs=("enc",), size=(6, 6), stride=(6, 6)),
            nodes.Flatten(name="flat", inputs=("pool",)),
            dense(rng, "hidden/linear", "flat", (16, 20)),
            relu("hidden", "hidden/linear"),
            dense(rng, "scores", "hidden", (20, 3)),
            nodes.Output(name="output", inputs=("scores",)),
        ]
    )
    allocation = Allocate(LOIHI1).run(PartitionLayers(LOIHI1).run(Stages.of(network).discrete))
    assert [len(core.blocks) for core in allocation.cores] == [1]
    assert len(allocation.cores[0].input_axons) == 36


def test_a_wide_dense_layer_is_cut_by_its_synaptic_memory() -> None:
    from nmcompile.ir import Network, nodes
    from tests.networks import dense, relu

    rng = np.random.default_rng(0)
    network = Network.build(
        [
            nodes.Input(name="x", size=(2000,)),
            dense(rng, "wide/linear", "x", (2000, 600)),
            relu("wide", "wide/linear"),
            dense(rng, "scores", "wide", (600, 3)),
            nodes.Output(name="output", inputs=("scores",)),
        ]
    )
    partition = PartitionLayers(LOIHI1).run(Stages.of(network).discrete)
    # 64 weights take 9 words, so a core has room for 58 neurons of 2,000 inputs.
    assert partition.n_cores == 11
    assert max(bill.memory_words for bill in partition.bills) > 15_000
