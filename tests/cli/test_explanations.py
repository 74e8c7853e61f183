"""What commands say about a mapping: what binds, how few cores are possible, and what helps."""

from __future__ import annotations

from pathlib import Path

import pytest

from nmcompile.chip.program import Program
from nmcompile.cli import output
from nmcompile.cli.app import main
from nmcompile.cli.output import trials
from nmcompile.hardware import Board, Target
from tests.cli.support import MODELS, Command, Files
from tests.passes.stages import small_core

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


@pytest.fixture
def small_board(monkeypatch: pytest.MonkeyPatch) -> Target:
    """All commands build for a board on which the MNIST network does not fit."""
    boards = tuple(
        Board(name=f"board-{n}", chips=1, cores_per_chip=n, source="test") for n in (3, 12)
    )
    hardware = small_core(compartments=600).model_copy(update={"boards": boards})
    target = Target(hardware=hardware, board=boards[0])
    monkeypatch.setattr("nmcompile.hardware.parse_target", lambda _: target)
    monkeypatch.setattr("nmcompile.api.parse_target", lambda _: target)
    return target


def test_check_and_build_list_what_would_make_a_network_fit(
    command: Command, small_board: Target, tmp_path: Path
) -> None:
    checked = command("check", MNIST, "--json")
    assert checked.status == 1
    fit = checked.json["fit"]
    assert fit["resource"] == "cores"
    assert fit["remedies"][0]["option"] == "--target loihi1:board-12"
    assert any(each["layer"] for each in fit["remedies"])
    for words in (("check", MNIST), ("build", MNIST, "-o", tmp_path / "n.nmc")):
        outcome = command(*words)
        outcome.refused("takes", "board-3 has 3", status=(1,))
        shown = flat(outcome.out.replace("┃", " "))
        for each in fit["remedies"]:
            verb = "fits" if each["fits"] else "does not fit"
            assert f"{each['change']} {each['cores']} {verb} {each['board']}" in shown
            assert each["option"] in shown
    built = command("build", MNIST, "-o", tmp_path / "n.nmc", "--json", "--gain-samples", "0")
    assert built.status == 1
    assert built.json["ok"] is False
    assert built.json["fit"]["remedies"] == fit["remedies"]
    assert not (tmp_path / "n.nmc").exists()


def test_trials_are_told_on_a_terminal_when_they_take_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trials(quiet=False)(1, 9)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(output, "PATIENCE_S", -1.0)
    trials(quiet=False)(1, 9)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    trials(quiet=True)(1, 9)
    assert capsys.readouterr().err == ""
    trials(quiet=False)(2, 9)
    assert "2 of 9, 0 s" in capsys.readouterr().err
