"""The tool that reads mutated files finds none to report, and would report what it should."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
sys.path.insert(0, str(Path(__file__).parent))

from files import MODELS
from mutations import mutated

from nmcompile.errors import ModelError
from tools import fuzz_files


@pytest.mark.parametrize("form", ["onnx", "keras", "nir", "lava"])
def test_some_mutated_files_have_no_findings(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz_files.fuzz(form, 25, 0) == []
    assert f"25 mutated {form} files: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("odd"), "ValueError: odd in "),
        (ModelError("it is broken"), "no sentence with the file's name"),
        (ModelError("model.onnx: MemoryError: 5 GB"), "ran out of memory"),
        (ModelError("model.onnx: one\ntwo"), "no sentence"),
    ],
)
def test_what_is_no_sentence_that_names_the_file_is_a_finding(
    error: Exception, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*given: Any, **more: Any) -> None:
        raise error

    monkeypatch.setattr(fuzz_files, "load", fails)
    assert words in fuzz_files.read_mutated("onnx", 1, tmp_path / "model.onnx")


def test_memory_that_a_file_takes_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = iter((0, fuzz_files.MEMORY + 1))
    monkeypatch.setattr(fuzz_files, "peak", lambda: next(taken))
    found = fuzz_files.read_mutated("onnx", 1, tmp_path / "model.onnx")
    assert found.startswith("it took 256 MiB")


def test_a_child_that_dies_or_hangs_is_a_finding_and_is_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = fuzz_files.Reader("onnx")
    try:
        assert reader.read(1) in ("loaded", "refused")
        reader._process.kill()
        reader._process.join()
        assert "died with exit status -9" in reader.read(2)
        assert reader.read(3) in ("loaded", "refused")
        monkeypatch.setattr(fuzz_files, "SECONDS", 0.0)
        assert reader.read(4) == "it took more than 0 s"
    finally:
        reader.close()


@pytest.mark.parametrize(
    "name",
    [
        "cnn.keras",
        "cnn.h5",
        "../onnx_models/tf2onnx_cnn.onnx",
        "../nir_models/snntorch_image.nir",
    ],
)
def test_mutations_change_files_and_follow_their_seed(name: str) -> None:
    data = (MODELS / name).read_bytes()
    form = name.rpartition(".")[2].replace("h5", "keras")
    first, again = (
        [mutated(data, form, np.random.default_rng(seed)) for seed in range(20)] for _ in range(2)
    )
    assert first == again
    assert sum(each != data for each in first) > 15
