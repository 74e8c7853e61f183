"""Activations are the chip's neurons forward and smooth backward, and the compiler reads them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras")

from nmcompile.chip.rate_curve import rate_curve  # noqa: E402
from nmcompile.errors import UsageError  # noqa: E402
from nmcompile.frontends import check, load  # noqa: E402
from nmcompile.ir import evaluate  # noqa: E402
from nmcompile.ir.nodes import Spiking  # noqa: E402
from nmcompile.ir.reference import firing_rate  # noqa: E402
from nmcompile.training import ChipIF, ChipLIF, SoftLIF, SpikingActivation  # noqa: E402
from tests.hard_reset import hard_reset_spikes  # noqa: E402
from tests.training.support import gradient, numbers  # noqa: E402

pytestmark = [pytest.mark.keras, pytest.mark.filterwarnings("default")]

NEURONS = {
    "if": lambda: ChipIF(),
    "if at 250 Hz": lambda: ChipIF(250.0, -0.2, tau_ref=0.001),
    "lif": lambda: ChipLIF(),
    "lif at 100 Hz": lambda: ChipLIF(0.02, 0.002, 100.0, 0.0, 0.01),
    "soft": lambda: SoftLIF(0.005, 0.01, amplitude=1.0, smoothing=0.05),
    "lif of half steps": lambda: ChipLIF(0.01, 0.0, 300.0, 0.3, dt=0.0005),
}
GRID = np.linspace(-2, 4, 4001, dtype=np.float32)


@pytest.fixture(params=NEURONS, name="neuron")
def every_neuron(request: pytest.FixtureRequest) -> Any:
    return NEURONS[request.param]()


def away_from_edges(neuron: Any, x: np.ndarray) -> np.ndarray:
    """Where the staircase does not step within rounding of x."""
    current = numbers(neuron.current(x))
    near = [
        firing_rate(current * np.float32(1 + e), neuron.threshold, neuron.leak, neuron.pause)
        for e in (-3e-6, 0, 3e-6)
    ]
    return (near[0] == near[1]) & (near[1] == near[2])


def test_an_integrate_and_fire_neuron_has_the_chips_exact_rate() -> None:
    drive = np.concatenate([np.arange(-50, 3000), np.arange(60_000, 70_000, 7)])
    period = rate_curve(drive, 0, 1024 << 6)
    rate = numbers(ChipIF()(np.float32(drive) / np.float32(1024 << 6)))
    expected = np.where(period > 0, 1 / np.maximum(period, 1), 0)
    assert np.allclose(rate, expected, rtol=1e-6)


def test_a_leaky_neuron_has_the_rate_of_the_chip_with_fine_registers() -> None:
    neuron = ChipLIF(0.02, 0.002)
    decay = round(4096 * neuron.leak)
    threshold = 130_000 << 6
    current = np.linspace(1.05, 8, 300)
    drive = np.rint(current * threshold * neuron.leak).astype(int)
    period = rate_curve(drive, decay, threshold, 1 + neuron.pause)
    found = np.rint(1 / numbers(neuron.rate(np.float32(current))))
    assert np.abs(period - found).max() <= 1
    assert np.mean(period == found) > 0.95


def test_the_compilers_float_value_is_keras_forward(neuron: Any, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((1,)), neuron])
    expected = numbers(model(GRID[:, None]))[:, 0]
    sure = away_from_edges(neuron, GRID)
    assert sure.mean() > 0.95
    path = tmp_path / "model.keras"
    model.save(path)
    for source in (model, path):
        network = load(source).network
        (found,) = evaluate(network, GRID[:, None]).values()
        assert np.allclose(found[sure, 0], expected[sure], rtol=1e-4, atol=0)
    (node,) = [each for each in network if isinstance(each, Spiking)]
    assert (node.own, node.dt_s, node.name) == (True, neuron.dt, neuron.name)
    assert expected.max() > 0


def test_a_loaded_model_computes_the_same(neuron: Any, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((1,)), neuron])
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert np.array_equal(numbers(again(GRID[:, None])), numbers(model(GRID[:, None])))
    assert again.layers[0].get_config() == neuron.get_config()


def test_the_gradient_is_that_of_the_smooth_curve(neuron: Any) -> None:
    found = gradient(lambda x: neuron(x, training=True), GRID)
    per_spike = neuron.amplitude / neuron.dt

    def smooth(x: np.ndarray) -> np.ndarray:
        current = x * neuron.gain + neuron.bias
        if neuron.tau_rc is None:
            positive = np.maximum(current, 0)
            return per_spike * positive / (1 + (neuron.pause + 0.5) * positive)
        offset = 0.0 if isinstance(neuron, SoftLIF) else 0.5 * neuron.dt
        j = neuron.smoothing * np.logaddexp(0, (current - 1) / neuron.smoothing)
        return per_spike * neuron.dt / (neuron.tau_ref + offset + neuron.tau_rc * np.log1p(1 / j))

    x = GRID.astype(np.float64)
    wanted = (smooth(x + 1e-6) - smooth(x - 1e-6)) / 2e-6
    kink = np.abs(x * neuron.gain + neuron.bias) < 1e-3
    assert np.isfinite(found).all()
    assert np.allclose(found[~kink], wanted[~kink], rtol=2e-3, atol=1e-6 * per_spike)


def test_the_smooth_curve_goes_through_the_steps(neuron: Any) -> None:
    current = np.linspace(1.3, 3, 2000, dtype=np.float32) * (1 if neuron.tau_rc else 0.3)
    rates = numbers(neuron.rate(current))
    smooth = numbers(neuron.smooth_rate(current))
    assert abs(rates.mean() / smooth.mean() - 1) < 0.06


@pytest.mark.parametrize("max_rate", [50.0, 100.0, 200.0])
def test_max_rate_and_intercept_mean_what_they_mean_in_nengo(max_rate: float) -> None:
    neuron = ChipLIF(0.02, 0.002, max_rate, 0.2)
    j = neuron.gain + neuron.bias
    rate = 1 / (0.002 + 0.02 * np.log1p(1 / (j - 1)))
    assert rate == pytest.approx(max_rate)
    assert neuron.gain * 0.2 + neuron.bias == pytest.approx(1)
    at = numbers(neuron(np.float32([0.19, 0.21, 1.0])))
    assert at[0] == 0 < at[1]
    assert 1 / (1 / max_rate + 0.001) - 1e-3 <= at[2] * max_rate <= max_rate + 1e-3


def test_a_neuron_of_intercept_0_has_a_bias_of_1() -> None:
    assert ChipLIF(max_rate=100.0, amplitude=0.01).bias == 1


def test_a_narrow_soft_curve_is_the_leaky_neurons() -> None:
    current = np.linspace(1.2, 3, 50, dtype=np.float32)
    soft = SoftLIF(0.005, 0.01, amplitude=1.0, smoothing=0.01)
    rate = numbers(soft(current, training=True))
    exact = 1 / (0.01 + 0.005 * np.log1p(1 / (current - 1)))
    assert np.allclose(rate, exact, rtol=1e-4)
    below = numbers(soft(np.float32([-50.0, 0.0, 0.9]), training=True))
    assert (np.diff(below) > 0).all()
    assert below[0] > 0


@pytest.mark.parametrize("name", [name for name in NEURONS if name != "soft"])
def test_spikes_are_those_of_the_compilers_simulation(name: str) -> None:
    neuron = NEURONS[name]()
    x = np.random.default_rng(1).normal(0.7, 1.0, (4, 60, 9)).astype(np.float32)
    found = numbers(SpikingActivation(neuron)(x)) / (neuron.amplitude / neuron.dt)
    node = Spiking(
        name="n", tau_rc_s=neuron.tau_rc, refractory_s=neuron.tau_ref, threshold=neuron.threshold
    )
    current = numbers(neuron.current(x))
    if neuron.tau_rc is None:
        wanted = hard_reset_spikes(current, np.zeros(9, np.float32), node, neuron.dt)
        assert np.array_equal(found > 0.5, wanted)
    else:
        wanted = hard_reset_spikes(current, np.zeros(9, np.float32), node, neuron.dt)
        assert np.mean((found > 0.5) == wanted) > 0.99
    assert wanted.any()
    assert np.allclose(found, np.rint(found), atol=1e-5)


def test_the_mean_of_many_spikes_is_the_activation(neuron: Any) -> None:
    x = np.linspace(-1, 3, 41, dtype=np.float32)
    sure = away_from_edges(neuron, x)
    spikes = numbers(SpikingActivation(neuron)(np.tile(x, (1, 2000, 1))))
    difference = np.abs(spikes.mean(axis=(0, 1)) - numbers(neuron(x)))
    assert (difference[sure] <= 1.01 * neuron.amplitude / neuron.dt / 2000).all()


def test_training_spikes_unless_told_otherwise() -> None:
    neuron = ChipIF(200.0)
    x = np.full((1, 20, 3), 0.7, np.float32)
    spiking = numbers(SpikingActivation(neuron)(x, training=True))
    curve = SpikingActivation(neuron, spiking_aware_training=False)
    assert set(np.rint(np.unique(spiking))) == {0, 5}
    assert np.allclose(numbers(curve(x, training=True)), numbers(neuron(x)))
    assert np.allclose(numbers(curve(x)), spiking)
    slope = gradient(lambda v: SpikingActivation(neuron)(v, training=True), x)
    assert np.allclose(slope, gradient(lambda v: neuron(v, training=True), x))
    assert (slope > 0).all()


def test_spikes_over_time_are_saved_and_what_looks_across_steps_is_refused(tmp_path: Path) -> None:
    layer = SpikingActivation(SoftLIF(max_rate=90.0), spiking_aware_training=False, name="spikes")
    model = keras.Sequential([keras.Input((12, 3)), layer, keras.layers.Flatten(name="flatten")])
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.layers[0].get_config() == layer.get_config()
    (found,) = check(tmp_path / "model.keras")
    assert found.layer == "flatten"
    assert "time axis" in found.why


def test_a_neuron_as_fused_activation_is_refused_with_the_remedy() -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation=ChipIF())])
    (found,) = check(model)
    assert "layer of its own" in found.remedy


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ChipLIF(max_rate=600.0), "500 Hz"),
        (lambda: ChipIF(1001.0), "1000 Hz"),
        (lambda: ChipIF(100.0, 1.0), "intercept is 1"),
        (lambda: ChipLIF(tau_rc=0.0), "tau_rc is 0"),
        (lambda: ChipLIF(smoothing=0.0), "smoothing is 0"),
        (lambda: ChipIF(tau_ref=-1.0), "tau_ref is -1"),
        (lambda: SpikingActivation("relu"), "got str"),
    ],
)
def test_numbers_out_of_range_are_refused(make: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        make()
