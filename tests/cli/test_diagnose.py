"""`diagnose`: one table, one JSON object or one page, for data with labels and without."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nmcompile.backends.emulator import Emulator
from nmcompile.chip.program import Program
from tests.cli.support import Command, Files


def flat(text: str) -> str:
    """Text without the line breaks that the width of the output asks for."""
    return " ".join(text.split())


def test_the_tables_hold_every_stage_and_layer(command: Command, files: Files) -> None:
    outcome = command("diagnose", files.program, "--data", files.data)
    assert outcome.status == 0
    program = Program.load(files.program)
    for words in ("float", "folded", "8-bit weights", "firing curve", "12 samples, 12 steps"):
        assert words in flat(outcome.out)
    for layer in program.layers:
        assert layer.name in outcome.out
    assert "1. " in outcome.out or "nothing odd" in outcome.out


def test_json_holds_all_numbers(command: Command, files: Files) -> None:
    outcome = command("diagnose", files.program, "--data", files.data, "--json", "--limit", "8")
    found = outcome.json
    assert [stage["name"] for stage in found["stages"]] == [
        "float", "folded", "weights", "curve", "chip",
    ]  # fmt: skip
    result = Emulator().load(Program.load(files.program)).run(files.x[:8])
    assert found["stages"][-1]["accuracy"] == np.mean(result.answers == files.y[:8])
    assert (found["samples"], found["available"], found["steps"]) == (8, 12, 12)
    for layer in found["layers"]:
        assert layer["overflows"] == result.overflows.get(layer["layer"], 0)
        assert set(layer["stages"]) >= {"folded", "weights", "curve"}
    for finding in found["findings"]:
        where, problem, remedy = (finding[name] for name in ("where", "problem", "remedy"))
        assert finding["sentence"] == f"{where}: {problem}: {remedy}"


def test_what_was_left_out_is_said(command: Command, files: Files) -> None:
    outcome = command("diagnose", files.program, "--data", files.data, "--limit", "5")
    assert "first 5 of 12 samples" in flat(outcome.out)


def test_labels_are_optional(command: Command, files: Files) -> None:
    outcome = command("diagnose", files.program, "--data", files.calibrate)
    assert outcome.status == 0
    assert "no labels" in outcome.out
    found = command("diagnose", files.program, "--data", files.calibrate, "--json").json
    assert found["labels"] is False
    assert found["stages"][1]["agreement"] == 1
    assert found["stages"][1]["accuracy"] is None


def test_steps_and_anomalies_are_shown(command: Command, files: Files) -> None:
    outcome = command("diagnose", files.program, "--data", files.data, "--steps", "2")
    assert "12 samples, 2 steps" in flat(outcome.out)
    assert "takes 1 of 2 steps to reach the read-out" in flat(outcome.out)
    assert "raise --steps" in flat(outcome.out)


def test_the_page_shows_the_samples_that_were_asked_for(
    command: Command, files: Files, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    page = tmp_path / "page.html"
    words = ("diagnose", files.program, "--data", files.data, "--limit", "6", "--html", page)
    outcome = command(*words, "--sample", "2", "--sample", "11")
    assert outcome.status == 0
    assert "".join(f"page: {page}".split()) in "".join(outcome.out.split())
    text = page.read_text("utf-8")
    assert "sample 2<" in text
    assert "sample 11<" in text
    assert text.count('class="card wide one"') == 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--sample", "12", "--html", "page.html"), "12 samples, 0 to 11"),
        (("--sample", "1"), "--html"),
        (("--steps", "0"), "--steps 0"),
        (("--limit", "0"), "--limit"),
    ],
)
def test_options_that_make_no_sense_are_named(
    command: Command,
    files: Files,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = command("diagnose", files.program, "--data", files.data, *words)
    outcome.refused(expected, status=(2,))
    assert not list(tmp_path.iterdir())


def test_a_page_never_replaces_an_input(command: Command, files: Files) -> None:
    words = ("diagnose", files.program, "--data", files.data, "--html", files.data)
    command(*words).refused("data.npz")
