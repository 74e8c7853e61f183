"""`nmcompile compare` names the first value that differs between two runs, and where it sits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nmcompile.chip.program import Program
from tests.chip.programs import small_program
from tests.cli.support import Command, Files

Arrays = dict[str, Any]
Edit = Callable[[Arrays], None]


@pytest.fixture(scope="module")
def net(files: Files) -> Program:
    return Program.load(files.program)


@pytest.fixture(scope="module")
def recorded(files: Files, net: Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result with spikes and voltages of the first layer on the chip."""
    from nmcompile.cli.app import main

    path = tmp_path_factory.mktemp("compare") / "a.npz"
    layer = net.layers[0].name
    words = ["run", files.program, "--input", files.data, "--limit", 3, "-o", path]
    probes = ["--probe", f"{layer}:v", "--probe", f"{layer}:spikes"]
    assert main([*map(str, words), *probes]) == 0
    return path


@pytest.fixture
def edited(recorded: Path, tmp_path: Path) -> Callable[[Edit], Path]:
    """A copy of the result with something changed."""

    def make(edit: Edit) -> Path:
        with np.load(recorded) as held:
            arrays = dict(held)
        edit(arrays)
        np.savez(tmp_path / "b.npz", **arrays)
        return tmp_path / "b.npz"

    return make


def test_equal_runs(recorded: Path, command: Command) -> None:
    outcome = command("compare", recorded, recorded)
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.startswith("equal in 3 samples of 12 steps: ")
    found = command("compare", recorded, recorded, "--json").json
    assert found["equal"] is True
    assert found["first"] is None
    assert [each["name"] for each in found["totals"]][-3:] == [
        "synaptic events", "scores", "answers",
    ]  # fmt: skip
    assert all(each["values"] > 0 and not each["different"] for each in found["probes"])


def test_one_flipped_spike_is_named_with_its_core(
    net: Program, recorded: Path, edited: Callable[[Edit], Path], command: Command
) -> None:
    layer = net.layers[0]
    neuron = layer.neurons - 2

    def flip(arrays: Arrays) -> None:
        spikes = arrays[f"probe/{layer.name}:spikes"]
        spikes[1, 7, neuron] ^= True

    outcome = command("compare", recorded, edited(flip))
    core = net.cores[layer.core[neuron]]
    assert outcome.status == 1
    words = " ".join(outcome.out.split())
    assert f"first differs in sample 1, step 7: spikes of {layer.name}, neuron {neuron} (" in words
    place = f"chip {core.chip}, core {core.position}, compartment {layer.compartment[neuron]}: "
    assert f"on {place}" in words
    found = command("compare", recorded, edited(flip), "--json").json
    assert found["first"]["place"] == [
        core.chip, core.position, layer.core[neuron], layer.compartment[neuron],
    ]  # fmt: skip
    spread = next(each for each in found["probes"] if each["quantity"] == "spikes")
    assert (spread["different"], spread["samples"], spread["neurons"]) == (1, 1, 1)
    assert spread["per_step"] == [int(step == 7) for step in range(12)]


def test_the_voltage_of_a_step_comes_before_its_spike(
    net: Program, recorded: Path, edited: Callable[[Edit], Path], command: Command
) -> None:
    name = net.layers[0].name

    def change(arrays: Arrays) -> None:
        arrays[f"probe/{name}:spikes"][0, 5, 0] ^= True
        arrays[f"probe/{name}:v"][2, 5, 4] += 64
        arrays[f"probe/{name}:v"][0, 6:, 0] -= 1000

    found = command("compare", recorded, edited(change), "--json").json
    assert (found["first"]["sample"], found["first"]["quantity"]) == (0, "spikes")
    voltage = next(each for each in found["probes"] if each["quantity"] == "v")
    assert (voltage["first_step"], voltage["largest"]) == (5, 1000)
    assert (voltage["samples"], voltage["neurons"]) == (2, 2)
    assert voltage["different"] == 1 + 6


def test_totals_are_compared_without_probes(
    net: Program, recorded: Path, edited: Callable[[Edit], Path], command: Command
) -> None:
    layer = net.layers[-1].name

    def change(arrays: Arrays) -> None:
        for name in [name for name in arrays if name.startswith("probe/")]:
            del arrays[name]
        arrays[f"spikes/{layer}"][2] += 3
        arrays["scores"][1, 0] += 0.5

    outcome = command("compare", recorded, edited(change))
    assert outcome.status == 1
    words = " ".join(outcome.out.split())
    assert f"spikes of {layer} differ first in sample 2: " in words
    assert "note: only A has the probes" in words
    found = command("compare", recorded, edited(change), "--json").json
    scores = next(each for each in found["totals"] if each["name"] == "scores")
    assert scores["first"] == 1
    assert scores["b"] - scores["a"] == pytest.approx(0.5)


def test_scores_may_differ_by_a_tolerance(
    recorded: Path, edited: Callable[[Edit], Path], command: Command
) -> None:
    def change(arrays: Arrays) -> None:
        arrays["scores"] *= 1 + 1e-6

    path = edited(change)
    assert command("compare", recorded, path).status == 1
    assert command("compare", recorded, path, "--tolerance", "1e-5").status == 0
    command("compare", recorded, path, "--tolerance", "1").refused("--tolerance 1", status=(2,))


def test_runs_of_other_lengths_are_compared_where_they_overlap(
    files: Files, net: Program, recorded: Path, tmp_path: Path, command: Command
) -> None:
    words = ("run", files.program, "--input", files.data, "--limit", 2, "--steps", 9)
    probe = ("--probe", f"{net.layers[0].name}:v")
    assert command(*words, *probe, "-o", tmp_path / "short.npz").status == 0
    outcome = command("compare", recorded, tmp_path / "short.npz")
    assert outcome.status == 0, outcome.out
    words = " ".join(outcome.out.split())
    assert "note: A has 3 samples, B 2" in words
    assert "note: A has 12 steps, B 9" in words
    assert "note: the two ran different inputs" in words
    assert "sample by sample" not in words


def test_other_networks_differ_in_their_sizes(
    net: Program, recorded: Path, edited: Callable[[Edit], Path], command: Command
) -> None:
    layer = net.layers[0]

    def cut(arrays: Arrays) -> None:
        for quantity in ("v", "spikes"):
            name = f"probe/{layer.name}:{quantity}"
            arrays[name] = arrays[name][:, :, 1:]

    outcome = command("compare", recorded, edited(cut))
    assert outcome.status == 1
    size = layer.neurons
    assert f"{layer.name} has {size} neurons in A and {size - 1} in B" in outcome.out


def test_a_program_says_where_neurons_sit_if_the_files_do_not(
    files: Files, net: Program, edited: Callable[[Edit], Path], tmp_path: Path, command: Command
) -> None:
    layer = net.layers[0]

    def strip(arrays: Arrays) -> None:
        for name in [name for name in arrays if name.startswith("place/")]:
            del arrays[name]

    def change(arrays: Arrays) -> None:
        strip(arrays)
        arrays[f"probe/{layer.name}:v"][0, 0, 5] += 1

    a = edited(strip).rename(tmp_path / "a.npz")
    b = edited(change)
    found = command("compare", a, b, "--json").json
    assert found["first"]["place"] is None
    found = command("compare", a, b, "--json", "--program", files.program).json
    assert found["first"]["place"][2:] == [layer.core[5], layer.compartment[5]]


def test_files_that_cannot_be_compared_have_a_status_of_their_own(
    files: Files, recorded: Path, edited: Callable[[Edit], Path], tmp_path: Path, command: Command
) -> None:
    def refused(path: Path, *words: str) -> None:
        command("compare", recorded, path).refused(str(path), *words, status=(2,))

    refused(tmp_path / "none.npz", "no such file")
    refused(files.data, "no meta", "run -o")
    refused(Path(__file__), "not a readable .npz")
    whole = recorded.read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path / "cut.npz", "not a readable .npz")
    spot = bytearray(whole)
    spot[len(whole) // 2] ^= 0xFF
    (tmp_path / "spot.npz").write_bytes(bytes(spot))
    assert command("compare", recorded, tmp_path / "spot.npz").status in (0, 1, 2)
    meta = {"samples": 3}
    refused(edited(lambda x: x.update(meta=np.array(json.dumps(meta)))), "does not say how many")
    refused(edited(lambda x: x.update(meta=np.array("nothing"))), "run --backend board:")
    meta = {"samples": 3, "steps": 12, "shapes": {"a": ["x"]}}
    refused(edited(lambda x: x.update(meta=np.array(json.dumps(meta)))), "does not say how many")
    refused(edited(lambda x: x.update(scores=x["scores"][:2])), "scores has shape", "3 samples")
    refused(edited(lambda x: x.update(answers=np.array(["a", "b", "c"]))), "answers has type")
    refused(edited(lambda x: x.update({"probe/x:w": np.zeros(3)})), "none of spikes, u, v")
    command("compare", recorded, recorded, "--program", files.data).refused(status=(2,))


@pytest.mark.parametrize("seed", range(40))
def test_mutated_files_are_refused_in_a_sentence_or_equal(
    recorded: Path, tmp_path: Path, command: Command, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    content = bytearray(recorded.read_bytes())
    for place in rng.integers(0, len(content), rng.integers(1, 5)).tolist():
        if seed % 2:
            content[place] ^= 1 << int(rng.integers(8))
        else:
            del content[place : place + int(rng.integers(1, 300))]
    (tmp_path / "mutated.npz").write_bytes(bytes(content))
    outcome = command("compare", recorded, tmp_path / "mutated.npz")
    if outcome.status:
        outcome.refused("mutated.npz", status=(2,))
    # Nothing that is compared can have changed: zip files hold a checksum of each array.
    assert outcome.status in (0, 2)


def test_nothing_in_common_is_refused(
    recorded: Path, edited: Callable[[Edit], Path], command: Command
) -> None:
    def strip(arrays: Arrays) -> None:
        for name in [name for name in arrays if name != "meta"]:
            del arrays[name]

    command("compare", recorded, edited(strip)).refused("in common", status=(2,))


def test_a_program_of_neither_run_is_refused(
    files: Files, command: Command, tmp_path: Path
) -> None:
    out, other = tmp_path / "out.npz", tmp_path / "other.nmc"
    command("run", files.program, "--input", files.data, "--limit", 1, "-o", out)
    small_program().save(other)
    command("compare", out, out, "--program", other).refused("neither run", status=(2,))
    assert command("compare", out, out, "--program", files.program).status == 0
