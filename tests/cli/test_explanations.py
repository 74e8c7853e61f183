"""What commands say about a mapping: what binds, how few cores are possible, and what helps."""

from __future__ import annotations

from pathlib import Path

import pytest

from nmcompile.chip.program import Program
from nmcompile.cli.app import main
from tests.cli.support import MODELS, Command, Files

MNIST = MODELS.parents[2] / "examples" / "mnist" / "mnist.keras"


@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Program of several cores, some of them shared."""
    path = tmp_path_factory.mktemp("mnist") / "net.nmc"
    assert main(["build", str(MNIST), "-o", str(path), "--gain-samples", "0"]) == 0
    return path


def flat(text: str) -> str:
    """Printed text without frames and line breaks."""
    return " ".join(text.replace("│", " ").split())


def test_inspect_says_what_binds_each_layer(command: Command, mnist: Path) -> None:
    found = command("inspect", mnist, "--json").json
    shown = flat(command("inspect", mnist).out)
    for layer in found["layers"]:
        assert f"{layer['layer']} {layer['sentence']}" in shown
        assert f"at least {layer['bound']['cores']}, by " in shown
        used, limit = layer["fullest"][layer["binding"]]
        assert used / limit == max(u / n for u, n in layer["fullest"].values())
        assert layer["own"][layer["binding"]] <= used
        assert layer["bound"]["cores"] <= len(layer["cores"])
    cores, least = len(found["cores"]), found["bound"]["cores"]
    assert found["gap"] == cores / least
    assert f"{cores} core" in shown
    assert f"at least {least} by {found['bound']['binding']}: " in shown
    assert found["messages"]["total"] > 0
    assert "expected a step" in shown
    assert "hops a message" in shown


def test_a_network_on_one_core_sends_nothing_between_cores(command: Command, files: Files) -> None:
    assert len(Program.load(files.program).cores) == 1
    assert "none between cores" in command("inspect", files.program).out


def test_check_and_inspect_say_the_same_of_a_layer(command: Command, mnist: Path) -> None:
    checked = flat(command("check", MNIST).out)
    found = command("inspect", mnist, "--json").json
    for layer in found["layers"]:
        assert f"{layer['layer']} {layer['sentence']}" in checked


@pytest.mark.parametrize("name", ["conv1", "conv2", "conv3"])
def test_why_shows_the_arithmetic_of_one_layer(command: Command, mnist: Path, name: str) -> None:
    shown = flat(command("inspect", mnist, "--why", name).out)
    found = command("inspect", mnist, "--why", name, "--json").json
    assert found["layer"] == name
    assert {each["about"] for each in found["reasons"]} == {
        "cut", "compartments", "memory_words", "input_axons", "output_axon_slots", "bound",
    }  # fmt: skip
    for each in found["reasons"]:
        assert each["text"] in shown
        if each["used"] is not None:
            assert each["cores"] == each["used"] / each["limit"]
    assert found["verdict"] in shown


def test_why_of_an_unknown_layer_names_the_known_ones(command: Command, files: Files) -> None:
    names = [each["layer"] for each in command("inspect", files.program, "--json").json["layers"]]
    command("inspect", files.program, "--why", "nothing").refused(
        "--why nothing", ", ".join(names), status=(2,)
    )
