"""`nmcompile diff` says in its first line whether two files are equal, or where they differ."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from nmcompile.api import diff
from tests.cli.support import MODELS, Command

CNN = MODELS / "cnn.keras"
NIR = MODELS.parent / "nir_models"


def test_equal_files(command: Command) -> None:
    outcome = command("diff", CNN, MODELS / "cnn.keras2.h5")
    assert outcome.status == 0
    assert outcome.err == ""
    assert outcome.out.startswith("equal exactly: ")
    assert outcome.out.count("│ equal") == 9
    found = command("diff", CNN, MODELS / "cnn.keras2.h5", "--json").json
    assert found["equal"] is True
    assert found["largest"] == 0
    assert len(found["layers"]) == 9
    assert found["samples"] == 16


def test_different_files(command: Command, tmp_path: Path) -> None:
    outcome = command("diff", CNN, MODELS / "cnn_channels_first.keras")
    assert outcome.status == 1
    assert outcome.err == ""
    assert outcome.out.startswith("first differs at ")
    found = command("diff", CNN, MODELS / "cnn_channels_first.keras", "--json")
    assert found.status == 1
    assert found.json["equal"] is False
    first = next(each for each in found.json["layers"] if not each["equal"])
    assert first["faults"]
    assert found.json["sentence"] in " ".join(outcome.out.split())


def test_data_and_limit(command: Command, tmp_path: Path) -> None:
    with np.load(CNN.with_suffix(".npz")) as held:
        np.savez(tmp_path / "data.npz", x=held["x"])
    words = ("diff", CNN, MODELS / "cnn.h5", "--data", tmp_path / "data.npz", "--limit", 2)
    assert command(*words, "--json").json["samples"] == 2
    np.savez(tmp_path / "data.npz", x=np.zeros((3, 5)))
    command(*words).refused("each sample has shape 5", "12x12x1", status=(2,))


def test_a_converted_file_is_equal(command: Command, tmp_path: Path) -> None:
    model = NIR / "norse_image.nir"
    copy = tmp_path / "copy.nir"
    assert command("convert", model, copy, "--dialect", "norse").status == 0
    outcome = command("diff", model, copy, "--dialect-a", "norse")
    assert outcome.status == 0, outcome.out
    assert command("diff", model, copy).status == 2  # A is refused without its dialect.


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((CNN, "missing.keras"), "cannot be read"),
        ((CNN, CNN, "--tolerance", "2"), "--tolerance 2"),
        ((CNN, CNN, "--max-bytes", "lots"), "--max-bytes lots"),
        ((CNN, CNN, "--max-bytes", "1K"), "--max-bytes"),
        ((CNN, CNN, "--dialect-b", "norse"), "--dialect norse"),
        ((CNN,), "B"),
    ],
)
def test_what_makes_no_sense_is_refused(
    words: tuple[object, ...], said: str, command: Command
) -> None:
    command("diff", *words).refused(said)


def test_a_nengo_network_has_no_float_layers(command: Command, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("model = 1\n")
    command("diff", CNN, f"{tmp_path / 'net.py'}:model").refused("no float layers")


def test_from_python() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = diff(CNN, MODELS / "cnn.h5", data=np.zeros((2, 12, 12, 1)), limit=2)
    assert found.equal
    assert (found.a, found.samples) == (str(CNN), 2)
