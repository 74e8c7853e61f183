"""Quantised weights, encoders, noise and rates do in training what the compiler does after it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras")
kl = keras.layers

import nmcompile  # noqa: E402
from nmcompile.chip.arithmetic import EXCITATORY, INHIBITORY, MIXED, mantissa_span  # noqa: E402
from nmcompile.errors import UnsupportedError, UsageError  # noqa: E402
from nmcompile.frontends import load  # noqa: E402
from nmcompile.frontends.keras.spiking import WEIGHT_BITS, quantised  # noqa: E402
from nmcompile.hardware import load_hardware  # noqa: E402
from nmcompile.ir import evaluate  # noqa: E402
from nmcompile.ir.layers import Connection, Window  # noqa: E402
from nmcompile.ir.nodes import Spiking  # noqa: E402
from nmcompile.passes.discretise import discretise_weights  # noqa: E402
from nmcompile.training import (  # noqa: E402
    ChipConv2D,
    ChipDense,
    ChipEncoder,
    ChipIF,
    ChipLIF,
    RateRange,
    SpikeNoise,
)
from nmcompile.training.quantise import quantise  # noqa: E402
from nmcompile.training.rates import upper_quantile  # noqa: E402
from tests.training.support import gradient, numbers  # noqa: E402

pytestmark = [pytest.mark.keras, pytest.mark.filterwarnings("default")]

SIGNS = {MIXED: lambda w: w, EXCITATORY: np.abs, INHIBITORY: lambda w: -np.abs(w)}
FORMATS = [(bits, mode) for bits in WEIGHT_BITS for mode in SIGNS if (bits, mode) != (1, MIXED)]


def weights_of(mode: int, seed: int = 0) -> np.ndarray:
    w = np.random.default_rng(seed).normal(0, 0.2, (3, 3, 5, 7)).astype(np.float32)
    return SIGNS[mode](w)


def mantissas(weights: np.ndarray, bits: int) -> tuple[np.ndarray, float]:
    """What the compiler makes of weights at the scale that it prefers, and weight per mantissa."""
    top = mantissa_span(bits, MIXED) or 255
    scale = (top << 6) / float(np.abs(weights).max())
    link = Connection("a", "b", np.zeros((5, 5, 5), np.int32), weights, Window((3, 3)))
    made = discretise_weights(link, scale, bits, load_hardware("loihi1"))
    return made.link.weights, 2.0**made.exponent * 64 / scale


@pytest.mark.parametrize(("bits", "mode"), FORMATS)
def test_trained_weights_are_those_that_the_compiler_makes(bits: int, mode: int) -> None:
    weights = weights_of(mode)
    found = numbers(quantise(weights, bits))
    mantissa, unit = mantissas(weights, bits)
    assert np.allclose(found, mantissa * unit, rtol=1e-5, atol=1e-7)
    assert np.array_equal(mantissas(found, bits)[0], mantissa)
    assert np.allclose(quantised(weights, bits), found, rtol=1e-6, atol=1e-7)
    assert len(np.unique(mantissa)) > 1


@pytest.mark.parametrize("bits", [2, 8])
def test_the_gradient_passes_through_rounding(bits: int) -> None:
    slope = gradient(lambda w: 3 * quantise(w, bits), weights_of(MIXED))
    assert np.allclose(slope, 3)


def test_one_bit_for_both_signs_is_refused() -> None:
    model = keras.Sequential([keras.Input((4,)), ChipDense(3, weight_bits=1, name="bit")])
    with pytest.raises(UnsupportedError, match=r"bit .*no positive weight beside negative"):
        load(model)
    model.layers[0].kernel.assign(np.abs(numbers(model.layers[0].kernel)))
    assert len(np.unique(load(model).network["bit"].weights)) <= 2


def test_quantised_layers_train_and_are_read_as_they_compute() -> None:
    model = keras.Sequential([
        keras.Input((6, 6, 2)), ChipConv2D(4, 3, weight_bits=3, activation="relu"), kl.Flatten(),
        ChipDense(3, weight_bits=3),
    ])  # fmt: skip
    rng = np.random.default_rng(0)
    x, y = rng.random((64, 6, 6, 2), dtype=np.float32), rng.integers(0, 3, 64)
    before = numbers(model.layers[0].kernel)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    losses = model.fit(x, y, epochs=8, verbose=0, shuffle=False).history["loss"]
    assert losses[-1] < losses[0]
    assert not np.array_equal(before, numbers(model.layers[0].kernel))
    network = load(model).network
    kernel = network[model.layers[0].name + "/linear"].weights
    assert len(np.unique(kernel)) <= 7
    (found,) = evaluate(network, x).values()
    assert np.allclose(found, numbers(model(x)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("encoder", "neurons"),
    [(ChipEncoder("on"), 3), (ChipEncoder("on-off"), 6), (ChipEncoder(filters=4), 4)],
    ids=["on", "on-off", "learnt"],
)
def test_the_compiler_takes_an_encoder_for_the_encoder(encoder: Any, neurons: int) -> None:
    x = np.random.default_rng(0).normal(0, 1, (32, 5, 4, 3)).astype(np.float32)
    model = keras.Sequential([
        keras.Input((5, 4, 3)), encoder, kl.Conv2D(3, 2, activation="relu"), kl.Flatten(),
        kl.Dense(2),
    ])  # fmt: skip
    program = nmcompile.build(model, calibrate=x)
    assert program.encoder.name == encoder.name
    assert program.encoder.shape == (5, 4, neurons)
    out = numbers(encoder(x))
    assert out.shape == encoder.compute_output_shape(x.shape)
    if encoder.mode == "on-off":
        assert np.array_equal(out[..., ::2] - out[..., 1::2], x)


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
def test_noise_has_the_variance_of_counted_spikes(rate: float) -> None:
    layer = SpikeNoise(steps=25, amplitude=0.002, seed=3)
    x = np.full(40_000, 2 * rate, np.float32)
    noisy = numbers(layer(x, training=True))
    counts = np.random.default_rng(0).binomial(25, rate, 40_000) / 25 * 2
    assert noisy.var() == pytest.approx(counts.var(), rel=0.05)
    assert noisy.mean() == pytest.approx(2 * rate, rel=0.01)
    assert np.array_equal(numbers(layer(x)), x)
    again = SpikeNoise.from_config(layer.get_config())
    assert np.array_equal(numbers(again(x, training=True)), noisy)


def test_noise_leaves_zero_alone_and_the_gradient_too() -> None:
    x = np.zeros((3, 4), np.float32)
    assert not numbers(SpikeNoise(8)(x, training=True)).any()
    slope = gradient(lambda v: SpikeNoise(8, seed=1)(v, training=True), x + 0.3)
    assert np.allclose(slope, 1)


def penalty(rates: RateRange, x: np.ndarray) -> float:
    """What a layer with this regulariser adds to the loss of a batch."""
    layer = kl.ReLU(activity_regularizer=rates)
    layer(x)
    return float(sum(layer.losses))


def test_the_penalty_is_the_distance_from_the_range() -> None:
    x = np.linspace(0, 0.5, 101, dtype=np.float32)[:, None] * np.float32([1.0, 2.0])
    whole = RateRange(200, 300, percentile=100, weight=2.0)
    assert penalty(whole, x) == pytest.approx(2 * (700 / 300) ** 2, rel=1e-5)
    each = RateRange(200, 300, percentile=100, weight=2.0, per="neuron")
    assert penalty(each, x) == pytest.approx(((200 / 300) ** 2 + (700 / 300) ** 2), rel=1e-5)
    pixels = np.stack([x, 0.1 * x], axis=1)
    channels = RateRange(200, 300, percentile=100, weight=2.0, per="channel")
    assert penalty(channels, pixels) == penalty(each, x)
    assert penalty(each, pixels) != penalty(each, x)
    assert penalty(RateRange(200, 300, percentile=50), x[:, :1]) == 0
    beside = RateRange(400, 500, percentile=50)
    assert penalty(beside, x[:, :1]) == pytest.approx(0.09, rel=1e-4)
    assert penalty(RateRange(2, 3, percentile=50, amplitude=0.1), x[:, :1]) == 0


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999, 1.0])
@pytest.mark.parametrize("shape", [(7, 1), (3, 1501)], ids=str)
def test_a_quantile_by_the_largest_numbers_is_the_usual_one(
    share: float, shape: tuple[int, int]
) -> None:
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    found = numbers(upper_quantile(keras.ops.convert_to_tensor(x), share))
    assert found == pytest.approx(np.quantile(x, share, axis=-1), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("kind", ["relu", "lif"])
def test_training_moves_rates_into_the_range(kind: str) -> None:
    rates = RateRange(200, 300, percentile=95, amplitude=0.01 if kind == "lif" else 0.001)
    if kind == "relu":
        neurons = kl.ReLU(activity_regularizer=rates)
    else:
        neurons = ChipLIF(0.02, 0.001, 100.0, amplitude=0.01, activity_regularizer=rates)
    model = keras.Sequential([keras.Input((5,)), kl.Dense(20, use_bias=False), neurons])
    model.compile(keras.optimizers.Adam(0.02), loss=None)
    x = np.random.default_rng(0).normal(0, 2 if kind == "lif" else 0.5, (64, 5)).astype(np.float32)
    hertz = lambda: float(np.percentile(numbers(model(x)) / rates.amplitude, 95))  # noqa: E731
    before = hertz()
    model.fit(x, np.zeros((64, 20)), epochs=150, batch_size=64, verbose=0, shuffle=False)
    assert not 200 <= before <= 300
    assert 190 <= hertz() <= 310


def test_a_model_with_all_of_it_is_saved_and_loaded(tmp_path: Path) -> None:
    model = keras.Sequential([
        keras.Input((6, 6, 2)),
        ChipEncoder(filters=4),
        ChipConv2D(4, 3, weight_bits=5),
        ChipIF(250.0, activity_regularizer=RateRange(100, 200, per="neuron")),
        SpikeNoise(32, seed=1),
        kl.Flatten(),
        ChipDense(3, weight_bits=4),
    ])  # fmt: skip
    x = np.random.default_rng(0).random((3, 6, 6, 2), dtype=np.float32)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert np.array_equal(numbers(again(x)), numbers(model(x)))
    assert again.layers[2].activity_regularizer.get_config()["per"] == "neuron"


def test_own_neurons_run_on_the_chip_as_trained() -> None:
    model = keras.Sequential([
        keras.Input((6, 6, 1)), ChipEncoder("on"), kl.Conv2D(6, 3),
        ChipLIF(0.02, 0.002, 150.0, amplitude=0.01, name="neurons"), kl.Flatten(), kl.Dense(3),
    ])  # fmt: skip
    x = np.random.default_rng(0).random((40, 6, 6, 1), dtype=np.float32)
    program = nmcompile.build(model, calibrate=x, steps=400)
    scores = nmcompile.Emulator().load(program).run(x).scores
    expected = numbers(model(x))
    assert np.corrcoef(scores.ravel(), expected.ravel())[0, 1] > 0.98
    (node,) = [n for n in load(model).network if isinstance(n, Spiking)]
    assert program.layer("neurons").amplitude == pytest.approx(node.amplitude, rel=0.2)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ChipDense(3, weight_bits=7), "weight_bits is 7"),
        (lambda: ChipConv2D(3, 1, weight_bits=16), "weight_bits is 16"),
        (lambda: ChipEncoder("off"), "mode is 'off'"),
        (lambda: ChipEncoder("on", filters=3), "filters"),
        (lambda: ChipEncoder(), "filters"),
        (lambda: ChipEncoder("on")(np.zeros((2, 5), np.float32)), "rows, columns"),
        (lambda: SpikeNoise(0), "steps is 0"),
        (lambda: RateRange(300, 200), "300..200"),
        (lambda: RateRange(2, 3, percentile=120), "percentile is 120"),
        (lambda: RateRange(2, 3, amplitude=0), "amplitude is 0"),
        (lambda: RateRange(2, 3, per="pixel"), "per is 'pixel'"),
    ],
)
def test_numbers_out_of_range_are_refused(make: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        make()
