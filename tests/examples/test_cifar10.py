"""The CIFAR-10 example answers on the chip as its float network does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import nmcompile
from examples.cifar10.cifar10 import CLASSES, PHOTOS, SHOWN, build, draw, show, with_answers
from examples.shared import images
from nmcompile import Program
from nmcompile.host.data import Data
from nmcompile.passes.base import NmcompileWarning


@pytest.fixture(scope="module")
def program() -> Program:
    # Corrections by few images, since they take most of a build's time.
    with pytest.warns(NmcompileWarning, match="'dense': if all inputs fire at once"):
        return build(gain_samples=16)


def test_the_photographs_are_small_unlabelled_pictures() -> None:
    data = images(PHOTOS)
    assert data.x.shape == (160, 32, 32, 3)
    assert data.y is None
    assert 0 <= data.x.min() < 0.05
    assert 0.95 < data.x.max() <= 1


def test_the_chip_answers_as_the_float_network(
    program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    data = with_answers(program, images(PHOTOS, 40))
    assert data.y is not None
    assert len(set(data.y.tolist())) >= 5
    found = nmcompile.evaluate(program, data)
    assert found.float_accuracy == 1
    assert found.accuracy >= 0.7
    show({(32, 800, 1, 0.0): found}, "as in floats")
    assert f"{100 * found.accuracy:.2f} %" in capsys.readouterr().out


def test_labels_are_kept_where_there_are_some(program: Program) -> None:
    data = Data(images(PHOTOS, 2).x, np.array([7, 7]), "here")
    assert with_answers(program, data) is data


def test_the_figure_is_drawn_of_a_cat(program: Program, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    data = with_answers(program, images(PHOTOS))
    assert data.y is not None
    assert CLASSES[data.y[SHOWN]] == "cat"
    draw(program, data, tmp_path / "cifar10.png")
    assert (tmp_path / "cifar10.png").read_bytes().startswith(b"\x89PNG")
