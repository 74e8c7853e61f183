"""What a spike stands for is fitted by groups, and drawn to the layer's where there is little."""

import numpy as np
import pytest

from nmcompile.passes.gains import LARGEST_CORRECTION, fitted_gains, mean_error


def test_groups_get_the_gains_that_their_activations_have() -> None:
    rng = np.random.default_rng(0)
    rate = rng.random((500, 6), dtype=np.float32)
    group = np.array([0, 1, 2, 0, 1, 2])
    true = np.array([1.0, 1.3, 0.8], np.float32)[group]
    amplitude, gain = fitted_gains(rate, rate * true, 1.0, group)
    assert gain == pytest.approx(true, rel=0.01)
    assert amplitude == pytest.approx(true.mean(), rel=0.05)


def test_a_group_that_hardly_fires_takes_its_layers_gain() -> None:
    rate = np.array([[0.5, 0.001]] * 200, np.float32)
    wanted = np.array([[0.6, 0.0]] * 200, np.float32)
    amplitude, gain = fitted_gains(rate, wanted, 1.0, np.array([0, 1]))
    assert amplitude == pytest.approx(1.2, rel=0.01)
    assert gain[1] == pytest.approx(amplitude, rel=0.01)


def test_a_silent_layer_keeps_what_it_had() -> None:
    silent = np.zeros((4, 3), np.float32)
    amplitude, gain = fitted_gains(silent, silent + 1, 2.0, np.arange(3))
    assert amplitude == 2.0
    assert gain.tolist() == [2.0, 2.0, 2.0]


def test_no_gain_is_far_from_the_usual() -> None:
    rate = np.full((50, 1), 0.1, np.float32)
    for factor in (0.01, 100):
        amplitude, _ = fitted_gains(rate, rate * factor, 1.0, np.zeros(1, np.int64))
        assert amplitude == (LARGEST_CORRECTION if factor > 1 else 1 / LARGEST_CORRECTION)


def test_mean_errors_are_those_of_channels() -> None:
    wanted = np.array([[1, 2, 3, 6], [1, 2, 5, 2]], np.float32)
    assert mean_error(wanted, np.zeros_like(wanted), 2).tolist() == [2.5, 3, 2.5, 3]
