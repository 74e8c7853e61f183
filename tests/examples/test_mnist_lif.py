"""The MNIST example's LIF neurons lose nothing on the chip."""

from __future__ import annotations

from pathlib import Path

import pytest

import nmcompile
from examples.mnist_lif.mnist_lif import build, draw
from examples.shared import MNIST_TEST, images
from nmcompile import Program


@pytest.fixture(scope="module")
def program() -> Program:
    return build()


def test_all_lif_layers_are_on_the_chip(program: Program) -> None:
    assert [layer.shape for layer in program.layers] == [(26, 26, 32), (12, 12, 64), (5, 5, 128)]
    for core in program.cores:
        # A refractory period of 2 ms and a membrane time constant of 20 ms.
        assert set(core.profiles.refractory.tolist()) == {3}
        assert set(core.profiles.decay_v.tolist()) == {200}


def test_the_chip_knows_nearly_all_digits_in_30_steps(program: Program) -> None:
    found = nmcompile.evaluate(program, images(MNIST_TEST, 200))
    assert found.steps == 30
    assert found.accuracy >= 0.985
    assert found.lost is not None
    assert found.lost <= 0.01
    assert sum(found.overflows.values()) == 0


def test_the_figure_is_drawn(program: Program, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw(program, images(MNIST_TEST, 20), tmp_path / "digits.png")
    assert (tmp_path / "digits.png").read_bytes().startswith(b"\x89PNG")
