"""The example fails as it says, is diagnosed, and its remedies help."""

from __future__ import annotations

from pathlib import Path

import pytest

import nmcompile
from examples.keras_to_spikes.keras_to_spikes import Found, draw, judge, remedies
from examples.shared import MNIST_TEST, images
from nmcompile.passes.base import NmcompileWarning

IMAGES = 60


@pytest.fixture(scope="module")
def found() -> dict[str, Found]:
    data = images(MNIST_TEST, IMAGES)
    with pytest.warns(NmcompileWarning, match="rate_scale is 1730 Hz"):
        made = remedies()
    return {name: judge(program, data) for name, program in made.items()}


def test_at_34_hz_and_30_steps_only_the_bias_answers(found: dict[str, Found]) -> None:
    bare = found["as it is"]
    assert bare.spikes < 0.1
    diagnosis = nmcompile.diagnose(bare.program, images(MNIST_TEST, IMAGES))
    first = str(diagnosis.findings[0])
    assert "output: everything is a" in first
    assert "gives only its bias" in first


@pytest.mark.parametrize(
    ("remedy", "least"),
    [
        ("100 steps", 0.85),
        ("100 steps, synapse 5 ms", 0.85),
        ("rate scale 5", 0.85),
        ("rate scale 20", 0.95),
        ("rate scale 50", 0.95),
        ("trained for 200 to 300 Hz", 0.8),
        ("defaults of nmcompile", 0.95),
    ],
)
def test_each_remedy_wakes_the_network(found: dict[str, Found], remedy: str, least: float) -> None:
    assert found["as it is"].evaluation.accuracy < 0.3
    assert found[remedy].evaluation.accuracy >= least


def test_only_at_a_rate_scale_of_50_neurons_saturate(found: dict[str, Found]) -> None:
    assert found["rate scale 50"].rates.saturated > 0.0005
    assert found["rate scale 50"].rates.rates_hz.max() == pytest.approx(1000)
    assert found["rate scale 20"].rates.saturated == 0


def test_training_brings_the_highest_rates_into_the_range(found: dict[str, Found]) -> None:
    rates = found["trained for 200 to 300 Hz"].rates.rates_hz
    assert 150 < rates.max() < 350


def test_the_figure_is_drawn(found: dict[str, Found], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw(found, images(MNIST_TEST, 20), tmp_path / "spikes.png")
    assert (tmp_path / "spikes.png").read_bytes().startswith(b"\x89PNG")
