"""Nengo networks as Programs: scores near Nengo's own values, and clear refusals."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import nengo
import numpy as np
import pytest
from nengo_loihi.builder import Model
from nengo_loihi.builder.discretize import discretize_model

import nmcompile
from nmcompile.backends.base import Probe
from nmcompile.chip.file import program_bytes
from nmcompile.cli.app import main
from nmcompile.errors import (
    DataError,
    FitError,
    ModelError,
    UnsupportedError,
    UsageError,
    VerifyError,
)
from nmcompile.nengo import Simulator, to_program
from nmcompile.passes.base import NmcompileWarning
from tests.nengo.networks import passive
from tests.nengo.test_interface import STEPS, model

SOURCE = """
import nengo
import numpy as np

with nengo.Network(seed=3, label="product") as model:
    factors = nengo.Node(np.zeros(2), label="factors")
    both = nengo.Ensemble(300, 2, label="both", radius=1.5)
    product = nengo.Ensemble(200, 1, label="product")
    nengo.Connection(factors, both)
    nengo.Connection(both, product, function=lambda x: x[0] * x[1])
    nengo.Probe(product, synapse=0.02)
    nengo.Probe(both, synapse=0.02)
number = 3
"""


def network(values: tuple[float, float] = (0.0, 0.0)) -> nengo.Network:
    names: dict[str, object] = {}
    exec(SOURCE.replace("np.zeros(2)", f"np.array({list(values)})"), names)
    made = names["model"]
    assert isinstance(made, nengo.Network)
    return made


def test_scores_are_near_what_nengo_loihi_decodes() -> None:
    program = to_program(network(), steps=400)
    x = np.random.default_rng(0).uniform(-1, 1, (6, 2)).astype(np.float32)
    scores = nmcompile.Emulator().load(program).run(x).scores
    for sample, score in zip(x, scores, strict=True):
        made = network(tuple(float(each) for each in sample))
        with Simulator(made) as sim:
            sim.run(0.5)
        values = np.concatenate([sim.data[probe][-400:].mean(axis=0) for probe in made.all_probes])
        assert np.abs(score - values).max() < 0.1
    assert np.abs(scores[:, 1:] - x).max() < 0.15


def unlabelled() -> nengo.Network:
    with nengo.Network(seed=1) as made:
        ensembles = [nengo.Ensemble(20, 1) for _ in range(3)]
        nengo.Connection(nengo.Node(np.zeros(1)), ensembles[0])
        for first, second in pairwise(ensembles):
            nengo.Connection(first, second, function=np.square)
        nengo.Connection(
            ensembles[0].neurons, ensembles[2].neurons, transform=np.full((20, 20), 1e-3)
        )
        nengo.Probe(ensembles[2])
    return made


@pytest.mark.parametrize("make", [network, unlabelled])
def test_equal_networks_give_equal_files(make: Callable[[], nengo.Network]) -> None:
    assert program_bytes(to_program(make())) == program_bytes(to_program(make()))


def test_layers_have_short_names() -> None:
    names = [layer.name for layer in to_program(network()).layers]
    assert names == ["both", "product", "both -> product"]
    names = [layer.name for layer in to_program(unlabelled()).layers]
    assert names[:3] == ["ensemble", "ensemble 2", "ensemble 3"]
    assert "ensemble -> ensemble" in names


def test_a_bare_model_runs_as_in_its_emulator() -> None:
    made = model(4)
    from nmcompile.nengo import EmulatorInterface

    program = to_program(made, steps=STEPS)
    rates = np.array([[0.5, 0.0, 1.0, 0.25, 0.1]], np.float32)
    result = (
        nmcompile.Emulator()
        .load(program)
        .run(rates, probes=[Probe(layer.name, "spikes") for layer in program.layers])
    )
    spikes = nmcompile.Emulator().load(program).run(rates, probes=[Probe("spikes", "spikes")])
    sent = spikes.probes[Probe("spikes", "spikes")][0]
    (source,) = made.inputs
    source.spikes.clear()
    source.permanent.clear()
    for step in range(STEPS):
        source.add_spikes(step + 1, np.flatnonzero(sent[step]))
    with EmulatorInterface(made) as sim:
        sim.run_steps(STEPS)
        wanted = sim.collect_probe_output(made.probes[2])
    found = np.concatenate([each[0] for each in result.probes.values()], axis=1)
    assert wanted.any()
    assert np.array_equal(found, wanted)


def test_what_needs_python_on_the_host_is_refused_all_at_once() -> None:
    with nengo.Network(label="all") as made:
        wave = nengo.Node(lambda t: t, label="wave")
        noise = nengo.Node(nengo.processes.WhiteNoise(seed=1), label="noise")
        chip = nengo.Ensemble(20, 1, label="chip")
        direct = nengo.Ensemble(20, 1, label="direct", neuron_type=nengo.Direct())
        sink = nengo.Node(size_in=1, label="sink")
        nengo.Connection(wave, chip)
        nengo.Connection(noise, chip)
        learnt = nengo.Connection(chip, direct, learning_rule_type=nengo.PES())
        nengo.Connection(direct, learnt.learning_rule)
        nengo.Connection(chip, sink)
        nengo.Probe(sink)
        nengo.Probe(chip.neurons, "voltage")
    with pytest.raises(UnsupportedError) as caught:
        to_program(made)
    found = {(each.layer, each.kind): each.why for each in caught.value.obstacles}
    assert found["wave", "Node"] == "computes its output by a function"
    assert found["noise", "Node"] == "computes its output by WhiteNoise"
    assert found["direct", "Ensemble"] == "runs on the host"
    assert found["sink", "Node"] == "takes values on the host"
    assert found["chip -> direct", "PES"] == "learns from an error on the host"
    assert found["chip", "Probe"] == "reads 'voltage' in every step"


def test_what_nengo_loihi_cannot_build_is_a_sentence() -> None:
    with nengo.Network(label="sharp") as made:
        first, second = nengo.Ensemble(20, 1), nengo.Ensemble(20, 2)
        nengo.Connection(first, second[1], synapse=nengo.Alpha(0.1))
        nengo.Probe(second)
    with pytest.raises(ModelError, match="nengo-loihi cannot build sharp .NotImplementedError"):
        to_program(made)


def test_a_network_without_a_probe_is_refused() -> None:
    with nengo.Network(label="blind") as made:
        nengo.Connection(nengo.Node(np.zeros(1)), nengo.Ensemble(20, 1))
    with pytest.raises(UnsupportedError, match="blind .Network.: has no probe on the chip"):
        to_program(made)


def test_more_cores_than_a_board_has_are_named() -> None:
    with nengo.Network() as made:
        node = nengo.Node(np.zeros(1))
        for _ in range(130):
            ensemble = nengo.Ensemble(5, 1)
            nengo.Connection(node, ensemble)
            nengo.Probe(ensemble)
    assert to_program(made).target == "loihi1:kapoho-bay"
    with made:
        for _ in range(130):
            nengo.Probe(nengo.Ensemble(5, 1).neurons)
    with pytest.raises(FitError, match="260 blocks, one core each, and kapoho-bay has 256"):
        to_program(made, "loihi1:kapoho-bay")


def test_a_model_beyond_a_core_is_refused() -> None:
    made = Model()
    from nengo_loihi.block import LoihiBlock

    block = LoihiBlock(1500, label="large")
    block.compartment.configure_relu()
    block.compartment.bias[:] = 0.1
    made.add_block(block)
    discretize_model(made)
    with pytest.raises(VerifyError, match="core 0: 1500 compartments, the limit is 1024"):
        to_program(made)


def test_the_command_line_builds_from_a_python_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.py"
    path.write_text(SOURCE)
    out = tmp_path / "net.nmc"
    assert main(["build", f"{path}:model", "-o", str(out), "--steps", "50"]) == 0
    program = nmcompile.Program.load(out)
    assert program.steps == 50
    assert len(str(program.manifest["source"]["sha256"])) == 64
    assert main(["check", f"{path}:model"]) == 0
    assert main(["inspect", str(out)]) == 0
    np.savez(tmp_path / "x.npz", x=np.zeros((4, 2), np.float32), y=[0, 1, 2, 0])
    capsys.readouterr()
    assert main(["eval", str(out), "--data", str(tmp_path / "x.npz"), "--json"]) == 0
    assert '"float_accuracy": null' in capsys.readouterr().out
    report = tmp_path / "page.html"
    assert main(["eval", str(out), "--data", str(tmp_path / "x.npz"), "--report", str(report)]) == 0
    assert "float accuracy" not in report.read_text()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("net.py:missing", "it defines no 'missing'"),
        ("net.py:number", "number is of type int, not a nengo.Network"),
        ("net.py", "net.py: name the network in it, as"),
        ("other.py:model", "there is no such file"),
        ("bad.py:model", "it fails in line 1 with ZeroDivisionError"),
        ("ends.py:model", "it fails in line 1 with SystemExit"),
    ],
)
def test_a_python_file_that_gives_no_network_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, words: str
) -> None:
    (tmp_path / "net.py").write_text(SOURCE)
    (tmp_path / "bad.py").write_text("1 / 0")
    (tmp_path / "ends.py").write_text("raise SystemExit(0)")
    assert main(["build", str(tmp_path / name), "-o", str(tmp_path / "net.nmc")]) == 1
    assert words in capsys.readouterr().err


def test_a_python_file_finds_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "parts.py").write_text(SOURCE)
    (tmp_path / "net.py").write_text("from parts import model")
    assert nmcompile.build(f"{tmp_path / 'net.py'}:model").manifest["network"] == "product"


def test_inputs_drive_neurons_directly() -> None:
    with nengo.Network(seed=1, label="direct") as made:
        source = nengo.Node(np.zeros(3), label="source")
        neurons = nengo.Ensemble(3, 1, gain=np.ones(3), bias=np.zeros(3)).neurons
        nengo.Connection(source, neurons, transform=3 * np.eye(3))
        nengo.Probe(neurons)
    program = to_program(made, steps=200, input_range=1e6)
    assert np.abs(program.encoder.layers[0].weights).max() < 2**31 - 1
    scores = (
        nmcompile.Emulator()
        .load(to_program(made, steps=200))
        .run(np.array([[0.0, 0.5, 1.0]], np.float32))
        .scores[0]
    )
    assert scores[0] <= scores[1] < scores[2]


def test_options_without_effect_are_refused() -> None:
    with pytest.raises(UsageError, match="weight-bits, tau-rc: no effect on a Nengo network"):
        nmcompile.build(network(), weight_bits=4, neuron={"tau_rc": 0.1})
    with pytest.raises(UsageError, match="--dump-ir writes the value after each pass"):
        nmcompile.build(network(), dump_ir=Path("x"))
    with pytest.raises(UsageError, match="only NIR files have dialects"):
        nmcompile.build(network(), dialect="nir")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 2.5}, "2.5 steps of 0.001 s"),
        ({"steps": 0}, "0 steps"),
        ({"dt": 0.0}, "32 steps of 0.0 s"),
        ({"input_range": -1.0}, "an input range of -1.0"),
    ],
)
def test_impossible_values_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        to_program(network(), **options)


def test_calibration_data_of_another_shape_are_refused() -> None:
    with pytest.raises(DataError, match="calibration samples have shape .5,., the network takes"):
        nmcompile.build(network(), calibrate=np.ones((3, 5)))
    with pytest.raises(DataError, match="holds no samples"):
        nmcompile.build(network(), calibrate=np.ones((0, 2)))


def test_few_steps_and_networks_without_a_seed_are_warned_about() -> None:
    made = network()
    with pytest.warns(NmcompileWarning, match="20 steps are few.*use --steps [0-9]+"):
        to_program(made, steps=20)
    made.seed = None
    with pytest.warns(NmcompileWarning, match="the network has no seed"):
        to_program(made, steps=1000)
    made.seed = 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", NmcompileWarning)
        to_program(made, steps=1000)


def test_a_layer_is_never_called_as_the_encoder() -> None:
    with nengo.Network(seed=1) as made:
        ensemble = nengo.Ensemble(20, 1, label="encoder")
        other = nengo.Ensemble(20, 1, label="a\x1b[31m: b")
        nengo.Connection(nengo.Node(np.zeros(1)), ensemble)
        nengo.Connection(ensemble, other)
        nengo.Probe(other)
    names = [layer.name for layer in to_program(made).layers]
    assert names == ["encoder 2", "a [31m  b", "encoder -> a [31m  b"]


def test_a_network_without_inputs_is_refused() -> None:
    with nengo.Network(label="alone") as made:
        nengo.Probe(nengo.Ensemble(20, 1))
    with pytest.raises(UnsupportedError, match="has no node that gives input"):
        to_program(made)


def test_inputs_through_a_passthrough_node_say_what_to_do() -> None:
    with nengo.Network(label="array") as made:
        array = nengo.networks.EnsembleArray(20, 2)
        nengo.Connection(nengo.Node(np.zeros(2)), array.input)
        nengo.Probe(array.ea_ensembles[0])
    with pytest.raises(UnsupportedError, match="passes inputs on, on the host; connect the input"):
        to_program(made)


def test_calibration_data_set_the_range_of_inputs() -> None:
    wide = nmcompile.build(network(), calibrate=np.full((3, 2), 8.0))
    assert wide.encoder.input_scale == pytest.approx(32767 / 8)


def test_networks_that_compute_on_the_host_say_what_to_use() -> None:
    with pytest.raises(UnsupportedError, match="nmcompile.nengo.Simulator"):
        to_program(passive().network)
