"""The page of a diagnosis: whole, self-contained, reproducible, for every kind of Program."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nmcompile import diagnose
from nmcompile.analysis.diagnosis_page import SHOWN, write_diagnosis
from nmcompile.analysis.samples import layer_names
from nmcompile.host.data import Data
from tests.analysis.test_report import Balance, compiled
from tests.networks import small_cnn

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")


def page(path: Path, samples: tuple[int, ...] = (), **options: object) -> str:
    program, data = compiled(small_cnn(), gain_samples=8, **options)
    write_diagnosis(path, program, data, diagnose(program, data, limit=20), samples)
    return path.read_text("utf-8")


def whole(text: str) -> None:
    parser = Balance()
    parser.feed(text)
    assert not parser.open
    outside = [url for url in re.findall(r'(?:href|src)="([^"]*)"', text) if url[0] != "#"]
    assert all(url.startswith("data:image/png;base64,") for url in outside)
    assert "folder/" not in text
    assert "#0101" not in text
    assert "prefers-color-scheme: dark" in text


@pytest.mark.parametrize("place", ["host", "chip"])
def test_the_page_is_whole_and_shows_every_stage_and_layer(tmp_path: Path, place: str) -> None:
    program, data = compiled(small_cnn(), gain_samples=8, readout=place)
    found = diagnose(program, data, limit=20)
    write_diagnosis(tmp_path / "page.html", program, data, found)
    text = (tmp_path / "page.html").read_text("utf-8")
    whole(text)
    for stage in found.stages:
        assert stage.title.replace("'", "&#39;") in text
    for name in layer_names(program):
        assert text.count(name) >= 3
    for finding in found.findings:
        assert finding.problem.replace("'", "&#39;").replace(">", "&gt;") in text
    assert text.count('class="card wide one"') == SHOWN
    assert text.count("<svg") == 2 + 4 * SHOWN
    assert "first 20 of 40 samples of digits.npz" in " ".join(text.lower().split())


def test_samples_can_be_chosen_beyond_those_that_were_diagnosed(tmp_path: Path) -> None:
    text = page(tmp_path / "page.html", (1, 39))
    assert re.findall(r"sample (\d+)<br>", text) == ["1", "39"]


def test_equal_arguments_give_equal_bytes(tmp_path: Path) -> None:
    assert page(tmp_path / "one.html", (3,)) == page(tmp_path / "two.html", (3,))


def test_without_labels_the_float_networks_answer_is_the_mark(tmp_path: Path) -> None:
    program, data = compiled(small_cnn(), gain_samples=8)
    bare = Data(data.x, None, data.path)
    write_diagnosis(tmp_path / "page.html", program, bare, diagnose(program, bare))
    text = (tmp_path / "page.html").read_text("utf-8")
    whole(text)
    assert "no labels" in text
    assert "<br>label" not in text
    assert "<br>float" in text


def test_a_program_without_a_float_network_has_a_page_of_the_chip(tmp_path: Path) -> None:
    program, data = compiled(small_cnn(), gain_samples=8)
    program = replace(program, manifest={"source": {"kind": "nengo"}}, attachments={})
    data = Data(data.x, np.asarray(data.y), data.path)
    write_diagnosis(tmp_path / "page.html", program, data, diagnose(program, data))
    text = (tmp_path / "page.html").read_text("utf-8")
    whole(text)
    assert "not built from a float network" in text
    assert "Where activations part" not in text
