"""The example's neurons fire as the chip's curve says, and close to the formula of LIF neurons."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from examples.lif_tuning_curve.lif_tuning_curve import (
    DECAY_V,
    DT,
    PAUSE,
    STEPS,
    THRESHOLD,
    Curves,
    biases,
    curves,
    draw,
    rates,
)
from nmcompile.chip import arithmetic
from nmcompile.chip.rate_curve import rate_curve


@pytest.fixture(scope="module")
def found() -> Curves:
    return curves(biases())


def test_measured_and_chip_curve_are_equal_at_every_bias(found: Curves) -> None:
    assert len(found.current) == 4096 + 7 * 2048
    assert found.current[0] == 0
    assert found.current[-1] == pytest.approx(3, rel=1e-3)
    assert np.array_equal(found.measured, found.chip)
    assert (found.measured[found.current > 1.001] > 0).all()
    assert (found.measured[found.current < 1] == 0).all()


def test_every_neuron_that_fires_at_all_fires_twice() -> None:
    chosen = biases()
    drive = chosen[:, 0] << chosen[:, 1]
    period = rate_curve(drive, DECAY_V, arithmetic.threshold(THRESHOLD), PAUSE + 1)
    assert 2 * period.max() < STEPS


def test_the_chip_is_at_most_a_step_slower_than_continuous_time(found: Curves) -> None:
    firing = (found.chip > 0) & (found.hard > 0)
    later = 1 / found.chip[firing] - 1 / found.hard[firing]
    assert later.min() > 0
    # Just above 1 the voltage creeps, and rounding down costs it more.
    assert later[found.current[firing] > 1.02].max() < 1.02 * DT
    assert np.isclose(found.discrete, found.chip, rtol=1e-5).mean() > 0.999


def test_soft_lif_fires_below_the_threshold_and_meets_lif_above(found: Curves) -> None:
    assert (found.soft > found.hard - 1e-9).all()
    assert found.soft[np.abs(found.current - 0.9).argmin()] > 25
    high = found.current > 1.5
    assert np.allclose(found.soft[high], found.hard[high], rtol=1e-3)


def test_rates_are_counted_from_spike_to_spike() -> None:
    spikes = np.zeros((20, 3), bool)
    spikes[[3, 7, 11], 1] = True
    spikes[5, 2] = True
    assert rates(spikes).tolist() == [0, 250, 0]


def test_the_figure_is_drawn(found: Curves, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw(found, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
