"""The encoders differ in multiplications and in how soon dark pixels are seen, as the page says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import nmcompile
from examples.cifar10.cifar10 import PHOTOS, with_answers
from examples.cifar10_encoder.cifar10_encoder import (
    ENCODERS,
    SHOWN,
    build,
    dark_step,
    draw,
    first_spikes,
    multiplications,
)
from examples.shared import images
from nmcompile import Program

STEPS = 100


@pytest.fixture(scope="module")
def programs() -> dict[str, Program]:
    return {name: build(name, STEPS) for name in ENCODERS}


def test_only_the_learnt_encoder_multiplies(programs: dict[str, Program]) -> None:
    found = {name: multiplications(program) for name, program in programs.items()}
    assert found == {"learnt": 32 * 32 * 3 * 4, "on_off": 0, "on": 0}
    neurons = {name: program.encoder.shape[2] for name, program in programs.items()}
    assert neurons == {"learnt": 4, "on_off": 6, "on": 3}


def test_dark_pixels_are_seen_late_where_they_have_no_neuron(programs: dict[str, Program]) -> None:
    x = images(PHOTOS, 10).x
    step = {name: dark_step(first_spikes(each, x), x) for name, each in programs.items()}
    assert step["on"] > 2 * step["on_off"]


def test_first_spikes_count_from_one(programs: dict[str, Program]) -> None:
    bright = np.ones((1, 32, 32, 3), np.float32)
    assert (first_spikes(programs["on"], bright) == 1).all()
    assert (first_spikes(programs["on"], 0 * bright) == STEPS + 1).all()


@pytest.mark.parametrize("name", ENCODERS)
def test_the_chip_answers_as_the_float_network(programs: dict[str, Program], name: str) -> None:
    data = with_answers(programs[name], images(PHOTOS, 40))
    assert data.y is not None
    assert len(set(data.y.tolist())) >= 5
    assert nmcompile.evaluate(programs[name], data).accuracy >= 0.6


def test_the_figure_is_drawn(programs: dict[str, Program], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw(programs, images(PHOTOS).x[SHOWN], tmp_path / "first.png")
    assert (tmp_path / "first.png").read_bytes().startswith(b"\x89PNG")
