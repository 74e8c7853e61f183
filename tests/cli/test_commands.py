"""What every command prints, writes and returns."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nmcompile.backends.base import Probe
from nmcompile.backends.emulator import Emulator
from nmcompile.chip.program import Program
from tests.cli.support import MODELS, Command, Files

PASSES = [
    "fold-affine",
    "add-encoder",
    "merge-pooling",
    "split",
    "spike",
    "scale-rates",
    "connect",
    "discretise",
    "partition",
    "allocate",
    "place",
    "emit",
    "verify",
]


def test_check_says_that_a_model_fits_and_where(command: Command, files: Files) -> None:
    outcome = command("check", files.model)
    assert outcome.status == 0
    assert "no obstacles" in outcome.out
    assert "loihi1:kapoho-bay" in outcome.out
    found = command("check", files.model, "--json").json
    assert found["ok"] is True
    assert found["obstacles"] == []
    assert found["target"] == "loihi1:kapoho-bay"
    assert found["cores"] >= 1


def test_check_lists_all_obstacles_at_once(command: Command, tmp_path: Path) -> None:
    model = obstructed(tmp_path)
    outcome = command("check", model)
    assert outcome.status == 1
    assert outcome.err == ""
    for name in ("squash", "largest", "2 obstacles"):
        assert name in outcome.out
    found = command("check", model, "--json")
    assert found.status == 1
    assert [each["layer"] for each in found.json["obstacles"]] == ["squash", "largest"]
    assert all(each["why"] and each["remedy"] for each in found.json["obstacles"])


def test_build_refuses_what_check_lists(command: Command, tmp_path: Path) -> None:
    command("build", obstructed(tmp_path), "-o", tmp_path / "n.nmc").refused("squash", "largest")
    assert not (tmp_path / "n.nmc").exists()


def obstructed(folder: Path) -> Path:
    sys.path.insert(0, str(MODELS.parent))
    try:
        from files import layer, sequential, write_keras
    finally:
        sys.path.pop(0)
    layers = [
        layer("Activation", "squash", activation="tanh"),
        layer(
            "MaxPooling2D",
            "largest",
            pool_size=[2, 2],
            strides=[2, 2],
            padding="valid",
            data_format="channels_last",
        ),
    ]
    return write_keras(folder / "obstructed.keras", sequential(*layers))


def test_build_says_what_it_made(command: Command, files: Files, tmp_path: Path) -> None:
    path = tmp_path / "net.nmc"
    words = ("build", files.model, "--calibrate", files.calibrate, "-o", path)
    outcome = command(*words)
    assert outcome.status == 0
    assert outcome.err == ""
    shown = "".join(outcome.out.split())
    assert f"built{path}" in shown
    assert "multiply-accumulatesonchip" in shown.replace("│", "")
    found = command(*words, "--json").json
    assert found["target"] == "loihi1:kapoho-bay"
    assert found["calibration"] == "data"
    assert found["steps"] == 32
    program = Program.load(path)
    assert found["cores"] == len(program.cores)
    assert found["neurons"] == sum(layer.neurons for layer in program.layers)
    assert found["stored_synapses"] == sum(len(core.synapses) for core in program.cores)


def test_build_is_loud_where_calibration_data_lack(
    command: Command, files: Files, tmp_path: Path
) -> None:
    outcome = command("build", files.model, "-o", tmp_path / "net.nmc")
    assert outcome.status == 0
    assert outcome.err.startswith("warning: no calibration data")
    assert "--calibrate" in outcome.err


def test_build_prints_each_pass_and_writes_each_stage(
    command: Command, files: Files, tmp_path: Path
) -> None:
    outcome = command(
        "build",
        files.model,
        "--calibrate",
        files.calibrate,
        "-o",
        tmp_path / "net.nmc",
        "-v",
        "--dump-ir",
        tmp_path / "ir",
    )
    assert outcome.status == 0
    printed = [line.split()[0] for line in outcome.out.splitlines() if " ms  " in line]
    assert [name for name in printed if name in PASSES] == PASSES
    dumped = sorted(path.name for path in (tmp_path / "ir").iterdir())
    assert dumped == [f"{k:02d}-{name}.txt" for k, name in enumerate(printed, start=1)]
    assert all(path.stat().st_size > 20 for path in (tmp_path / "ir").iterdir())


def test_a_target_is_taken_at_its_word(command: Command, files: Files, tmp_path: Path) -> None:
    found = command(
        "build",
        files.model,
        "--target",
        "loihi1:nahuku-8",
        "--calibrate",
        files.calibrate,
        "-o",
        tmp_path / "net.nmc",
        "--json",
    ).json
    assert found["target"] == "loihi1:nahuku-8"
    assert Program.load(tmp_path / "net.nmc").target == "loihi1:nahuku-8"


@pytest.mark.parametrize(
    ("words", "mode", "kind"),
    [
        ((), "conv", "counts"),
        (("--encoder", "conv"), "conv", "counts"),
        (("--encoder", "on"), "on", "counts"),
        (("--encoder", "on-off"), "on-off", "counts"),
        (("--host-layers", "0"), "on", "counts"),
        (("--readout", "chip"), "conv", "voltage"),
        (("--readout", "host"), "conv", "counts"),
    ],
)
def test_the_split_follows_its_options(
    command: Command, files: Files, tmp_path: Path, words: tuple[str, ...], mode: str, kind: str
) -> None:
    # A network that starts with a 1x1 convolution and ReLU.
    model = MODELS.parents[2] / "examples" / "mnist" / "mnist.keras"
    data = MODELS.parents[2] / "examples" / "mnist" / "calibrate_500.npz"
    with np.load(data) as file:
        np.savez(tmp_path / "few.npz", x=file["x"][:20])
    path = tmp_path / "net.nmc"
    outcome = command("build", model, "--calibrate", tmp_path / "few.npz", "-o", path, *words)
    assert outcome.status == 0, outcome.err
    program = Program.load(path)
    assert program.encoder.mode == mode
    assert program.read_out.kind == kind


def test_more_host_layers_leave_fewer_on_the_chip(
    command: Command, files: Files, tmp_path: Path
) -> None:
    model = MODELS.parents[2] / "examples" / "mnist" / "mnist.keras"
    sizes = []
    for number in (1, 2, 3):
        path = tmp_path / f"{number}.nmc"
        assert command("build", model, "-o", path, "--host-layers", number).status == 0
        sizes.append(len(Program.load(path).layers))
    assert sizes == [3, 2, 1]


def test_neuron_options_hold_for_the_network_and_for_one_layer(
    command: Command, files: Files, tmp_path: Path
) -> None:
    model = MODELS.parents[2] / "examples" / "mnist" / "mnist.keras"
    path = tmp_path / "net.nmc"
    outcome = command(
        "build",
        model,
        "-o",
        path,
        "--tau-rc",
        "0.02",
        "--synapse",
        "0.005",
        "--max-rate",
        "200",
        "--layer",
        "conv2:tau-rc=0.05,refractory=0.002",
    )
    assert outcome.status == 0, outcome.err
    layers = {each["layer"]: each for each in command("inspect", path, "--json").json["layers"]}
    for name, tau_rc in (("conv1", 0.02), ("conv2", 0.05), ("conv3", 0.02)):
        assert layers[name]["decay_u"] == pytest.approx(decay(0.005), abs=2)
        assert layers[name]["decay_v"] == pytest.approx(decay(tau_rc), abs=2)
    assert layers["conv2"]["refractory"] > layers["conv1"]["refractory"] == 1


def decay(tau_s: float) -> float:
    """The share that decays in a step of 1 ms, of 12 bits."""
    return 4096 * (1 - float(np.exp(-1e-3 / tau_s)))


def test_run_prints_an_answer_for_each_sample(command: Command, files: Files) -> None:
    outcome = command("run", files.program, "--input", files.data, "--limit", "3")
    assert outcome.status == 0
    assert "answers and spikes on emulator (loihi1:kapoho-bay)" in " ".join(outcome.out.split())
    found = command("run", files.program, "--input", files.data, "--steps", "9", "--json").json
    result = Emulator().load(Program.load(files.program)).run(files.x, 9)
    assert found["samples"] == len(files.x)
    assert found["steps"] == 9
    assert found["backend"] == "emulator"
    assert found["target"] == "loihi1:kapoho-bay"
    assert found["answers"] == result.answers.tolist()
    assert found["spikes_per_sample"] == {k: each.mean() for k, each in result.spikes.items()}
    assert set(found["overflows"]) == set(result.overflows)


def test_probes_are_what_the_emulator_recorded(
    command: Command, files: Files, tmp_path: Path
) -> None:
    program = Program.load(files.program)
    layer, encoder = program.layers[0], program.encoder
    probes = [Probe(layer.name, q) for q in ("spikes", "u", "v")] + [Probe(encoder.name, "spikes")]
    path = tmp_path / "out.npz"
    words = [word for probe in probes for word in ("--probe", probe)]
    assert command("run", files.program, "--input", files.data, "-o", path, *words).status == 0
    result = Emulator().load(program).run(files.x, probes=probes)
    with np.load(path, allow_pickle=False) as file:
        for probe in probes:
            neurons = np.prod(encoder.shape) if probe.layer == encoder.name else layer.neurons
            array = file[f"probe/{probe}"]
            assert array.shape == (len(files.x), program.steps, neurons)
            np.testing.assert_array_equal(array, result.probes[probe])
        np.testing.assert_array_equal(file["scores"], result.scores)
        np.testing.assert_array_equal(file["answers"], result.answers)
        np.testing.assert_array_equal(file[f"spikes/{layer.name}"], result.spikes[layer.name])
        np.testing.assert_array_equal(
            file[f"probe/{layer.name}:spikes"].sum(axis=(1, 2)), file[f"spikes/{layer.name}"]
        )
        meta = json.loads(str(file["meta"]))
    assert meta["target"] == "loihi1:kapoho-bay"
    assert meta["backend"] == "emulator"


def test_eval_prints_the_promised_numbers(command: Command, files: Files) -> None:
    outcome = command("eval", files.program, "--data", files.data)
    assert outcome.status == 0
    for words in (
        "float accuracy",
        "chip accuracy",
        "95 % interval",
        "spikes per sample by layer",
        "samples per second",
        "emulator",
        "loihi1:kapoho-bay",
    ):
        assert words in outcome.out
    found = command("eval", files.program, "--data", files.data, "--json", "--limit", "8").json
    answers = Emulator().load(Program.load(files.program)).run(files.x[:8]).answers
    assert found["accuracy"] == np.mean(answers == files.y[:8])
    assert 0 <= found["float_accuracy"] <= 1
    assert found["lost"] == pytest.approx(found["float_accuracy"] - found["accuracy"])
    assert found["lost_low"] <= found["lost"] <= found["lost_high"]
    assert found["samples"] == 8
    assert found["steps"] == 12
    assert found["spikes_per_sample"] > 0
    assert found["seconds"] > 0
    assert found["backend"] == "emulator"
    assert found["target"] == "loihi1:kapoho-bay"


def test_inspect_shows_layers_and_every_core(command: Command, files: Files) -> None:
    program = Program.load(files.program)
    outcome = command("inspect", files.program, "--cores")
    assert outcome.status == 0
    for words in ("cnn.keras", "loihi1:kapoho-bay", program.encoder.name, program.layers[0].name):
        assert words in outcome.out
    found = command("inspect", files.program, "--json").json
    assert len(found["cores"]) == len(program.cores)
    assert len(found["layers"]) == len(program.layers)
    assert found["source"]["name"] == "cnn.keras"
    assert found["options"]["steps"] == 12
    assert [each["name"] for each in found["passes"]][:2] == ["fold-affine", "add-encoder"]
    assert all(core["compartments"] <= 1024 for core in found["cores"])


def test_targets_lists_every_board(command: Command) -> None:
    outcome = command("targets")
    assert outcome.status == 0
    found = command("targets", "--json").json
    for board in found["loihi1"]:
        assert f"loihi1:{board['name']}" in outcome.out
    assert {board["chips"] for board in found["loihi1"]} >= {2, 4, 8, 32, 64, 768}


def test_targets_shows_every_number_with_its_source(command: Command) -> None:
    found = command("targets", "loihi1", "--json").json
    shown = command("targets", "loihi1").out
    rows = [line for line in shown.splitlines() if line.startswith("│")]
    for part in ("chip", "core", "compartment", "synapse", "axon", "energy_pj", "time_ns"):
        for name, entry in found[part].items():
            assert entry["source"]
            value = entry.get("value", entry.get("values"))
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            row = next(r for r in rows if r"│ " + part + " " in r and f" {name} " in r)
            assert f" {text} " in row
            assert entry["source"].split()[0] in row
    assert "unverified" in shown


@pytest.mark.parametrize("words", [["--help"], ["build", "--help"], ["eval", "--help"]])
def test_help_is_no_failure(command: Command, words: list[str]) -> None:
    outcome = command(*words)
    assert outcome.status == 0
    assert "Usage" in outcome.out


def test_no_command_shows_the_help_and_is_bad_usage(command: Command) -> None:
    outcome = command()
    assert outcome.status == 2
    for name in ("check", "build", "convert", "run", "eval", "diagnose", "inspect", "targets"):
        assert name in outcome.out


def test_the_module_runs_as_a_program(files: Files) -> None:
    def run(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "nmcompile", *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
        )

    good = run("inspect", files.program, "--json")
    assert (good.returncode, good.stderr) == (0, "")
    assert json.loads(good.stdout)["target"] == "loihi1:kapoho-bay"
    failed = run("inspect", files.data)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("error: ")
    assert failed.stderr.count("\n") == 1
    bad = run("build", files.model)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert "Traceback" not in bad.stderr


def test_a_reader_that_stops_early_is_no_error(files: Files) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "nmcompile", "targets", "loihi1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() in (0, 1)
