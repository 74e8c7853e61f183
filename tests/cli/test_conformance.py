"""`nmcompile conformance` runs the set and writes a report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nmcompile.analysis import conformance
from tests.cli.support import Command


def test_a_report_has_text_and_json(command: Command, tmp_path: Path) -> None:
    outcome = command("conformance", "--only", "bias", "--only", "delays", "-o", tmp_path / "r.txt")
    assert outcome.status == 0, outcome.err
    assert outcome.out.startswith("2 of 2 cases are equal on emulator")
    text = (tmp_path / "r.txt").read_text()
    assert text.startswith("2 of 2 cases are equal on emulator\nnmcompile ")
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["equal"] is True
    assert [case["name"] for case in report["cases"]] == ["bias", "delays"]
    assert report["versions"]["NumPy"] == np.__version__
    assert command("conformance", "--only", "bias", "--json").json["equal"] is True


def test_a_difference_has_a_status(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("bias.nmc", "bias.npz"):
        (tmp_path / name).write_bytes((conformance.FOLDER / name).read_bytes())
    with np.load(tmp_path / "bias.npz") as held:
        arrays = dict(held)
    arrays["probe/core0:v"][1, 9, 4] += 1
    np.savez(tmp_path / "bias.npz", **arrays)
    monkeypatch.setattr(conformance, "FOLDER", tmp_path)
    outcome = command("conformance", "-o", tmp_path / "report.txt")
    assert outcome.status == 1
    assert "0 of 1 cases are equal" in outcome.out
    text = (tmp_path / "report.txt").read_text()
    assert "bias: first differs in sample 1, step 9: v of core0, neuron 4" in text


def test_what_makes_no_sense_is_refused(command: Command, tmp_path: Path) -> None:
    command("conformance", "--only", "x").refused("--only x", "accumulator_overflow", status=(2,))
    command("conformance", "-o", tmp_path / "r.json").refused("name the text", status=(2,))
    command("conformance", "-o", tmp_path / "no" / "r.txt").refused("no folder", status=(2,))


@pytest.mark.parametrize("name", ["lava", "board:result.npz"])
def test_backends_that_cannot_take_the_set_are_refused(name: str, command: Command) -> None:
    command("conformance", "--backend", name).refused("boards of Loihi 1", status=(2,))
