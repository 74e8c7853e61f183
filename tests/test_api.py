"""The public functions, as a Python program uses them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

import nmcompile
from nmcompile.errors import CompileError, DataError, UsageError
from nmcompile.passes.base import NmcompileWarning

MODELS = Path(__file__).parent / "frontends" / "models"
MODEL = MODELS / "cnn.keras"


def images(count: int = 20, model: Path = MODEL) -> np.ndarray:
    with np.load(model.with_suffix(".npz")) as file:
        shape = file["x"].shape[1:]
    return np.random.default_rng(0).random((count, *shape), dtype=np.float32)


def test_from_a_file_to_an_accuracy(tmp_path: Path) -> None:
    x = images()
    program = nmcompile.build(MODEL, calibrate=x, steps=16)
    program.save(tmp_path / "net.nmc")
    result = nmcompile.Emulator().load(nmcompile.Program.load(tmp_path / "net.nmc")).run(x)
    assert result.steps == 16
    np.savez(tmp_path / "data.npz", x=x, y=result.answers)
    found = nmcompile.evaluate(program, tmp_path / "data.npz", limit=8)
    assert found.samples == 8
    assert found.accuracy == 1.0


def test_a_path_may_be_text_and_calibration_a_file_or_a_list(tmp_path: Path) -> None:
    x = images()
    np.savez(tmp_path / "x.npz", x=x)
    first = nmcompile.build(str(MODEL), calibrate=str(tmp_path / "x.npz"))
    for calibrate in (tmp_path / "x.npz", x, x.astype(np.float64), x.tolist()):
        again = nmcompile.build(MODEL, calibrate=calibrate)  # type: ignore[arg-type]
        assert again.layers[0].amplitude == first.layers[0].amplitude
        assert again.encoder.threshold == first.encoder.threshold


@pytest.mark.parametrize(
    ("calibrate", "words"),
    [
        (np.array(["a"]), "no array of numbers"),
        ([[1.0], [2.0, 3.0]], "no array of numbers"),
        (object(), "no array of numbers"),
        (np.zeros((4, 3)), "have shape (3,)"),
        (np.zeros(()), "have shape"),
        (images()[:0], "no samples"),
        (images() * np.nan, "NaN"),
    ],
)
def test_calibration_data_that_cannot_be(calibrate: object, words: str) -> None:
    with pytest.raises(DataError) as caught:
        nmcompile.build(MODEL, calibrate=calibrate)  # type: ignore[arg-type]
    assert words in str(caught.value)


def test_without_calibration_data_a_build_warns_and_depends_on_the_seed_only() -> None:
    programs = []
    for seed in (1, 1, 2):
        with pytest.warns(NmcompileWarning, match="no calibration data"):
            programs.append(nmcompile.build(MODEL, seed=seed))
    first, same, other = (program.layers[0].amplitude for program in programs)
    assert first == same != other


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(UsageError, match="colour"):
        nmcompile.build(MODEL, calibrate=images(), colour="red")


def test_an_option_is_checked_before_a_file_is_read() -> None:
    with pytest.raises(UsageError, match="steps"):
        nmcompile.build("no-such-file.keras", steps=0)


def test_what_is_no_model_is_named_by_its_type() -> None:
    with pytest.raises(nmcompile.NmcompileError, match="type dict"):
        nmcompile.build({})


@pytest.mark.parametrize("name", ["nested", "shared"])
def test_reading_out_what_never_reaches_the_chip_is_refused_by_name(name: str) -> None:
    model = MODELS / f"{name}.keras"
    with pytest.raises(CompileError, match=r"reads layer '.*', which is not on the chip"):
        nmcompile.build(model, calibrate=images(model=model), host_layers=2)


@pytest.mark.parametrize("model", sorted(MODELS.glob("*.keras")), ids=lambda path: path.stem)
def test_every_recorded_model_runs_with_its_read_out_on_the_chip(model: Path) -> None:
    x = images(20, model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = nmcompile.build(model, calibrate=x, host_layers=0, readout="chip", steps=16)
        result = nmcompile.Emulator().load(program).run(x[:2])
    assert np.isfinite(result.scores).all()


def test_targets_by_name() -> None:
    assert nmcompile.targets()["loihi1"].core.compartments.value == 1024
