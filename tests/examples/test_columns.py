"""Digits are read one column a step, and the order of the columns matters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import nmcompile
from examples.columns.columns import FOLDER, STEPS, build, columns, draw, samples
from nmcompile import Program
from nmcompile.host.data import Data


@pytest.fixture(scope="module")
def program() -> Program:
    return build()


@pytest.fixture(scope="module")
def data() -> Data:
    return samples(FOLDER / "test_1000.npz", 200)


def test_the_network_takes_one_column(program: Program, data: Data) -> None:
    assert program.encoder.input_shape == (24,)
    assert data.x.shape == (200, 24, 24)
    assert program.steps == STEPS


def test_the_chip_answers_as_the_network_was_trained(program: Program, data: Data) -> None:
    found = nmcompile.evaluate(program, data)
    assert found.float_accuracy is not None
    assert found.float_accuracy >= 0.88
    assert abs(found.accuracy - found.float_accuracy) <= 0.02


def test_diagnose_compares_answers_where_neurons_remember(program: Program, data: Data) -> None:
    found = nmcompile.diagnose(program, data, limit=20)
    assert [stage.name for stage in found.stages] == ["float", "chip"]
    assert all(not layer.stages for layer in found.layers)


def test_columns_in_another_order_are_another_image(program: Program, data: Data) -> None:
    backwards = Data(np.ascontiguousarray(data.x[:, ::-1]), data.y, data.path)
    assert nmcompile.evaluate(program, backwards).accuracy < 0.7


def test_columns_are_those_of_the_image() -> None:
    image = np.zeros((1, 28, 28, 1), np.float32)
    image[0, 5, 20] = 1
    found = columns(image)
    assert found.shape == (1, 24, 24)
    assert np.argwhere(found[0]).tolist() == [[18, 3]]


def test_the_figure_is_drawn(program: Program, data: Data, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw(program, data, tmp_path / "columns.png")
    assert (tmp_path / "columns.png").read_bytes().startswith(b"\x89PNG")
