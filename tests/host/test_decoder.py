"""The decoder: exact rates give the float network's outputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nmcompile.analysis.evaluation import float_network
from nmcompile.host.decoder import decode
from nmcompile.ir import evaluate
from tests.chip.programs import compiled, random_program, samples, small_program
from tests.networks import small_cnn


@pytest.mark.parametrize("steps", [8, 32, 1000])
def test_exact_rates_give_the_float_networks_scores(steps: int) -> None:
    # Gains of channels would be in the weights.
    program = compiled(small_cnn(), gain_samples=0)
    network = float_network(program)
    assert program.read_out.layers == ("fc",)
    layer = program.layer("fc")
    values = evaluate(network, samples(program, 6), keep=["fc", "scores"])
    # Spikes in the steps that are left once the pipeline is full.
    counts = values["fc"] / layer.amplitude * (steps - layer.depth)
    assert counts.any()
    found = decode(program, counts, steps)  # type: ignore[arg-type]
    np.testing.assert_allclose(found, values["scores"], rtol=1e-5, atol=1e-5)


def test_silence_gives_the_bias() -> None:
    program = small_program()
    found = decode(program, np.zeros((3, 20), np.int64), 16)
    np.testing.assert_array_equal(found, np.tile(program.read_out.bias, (3, 1)))


def test_a_layer_that_no_step_reaches_does_not_divide_by_zero() -> None:
    program = small_program()
    depth = program.layer("fc").depth
    for steps in (1, depth):
        assert np.isfinite(decode(program, np.zeros((1, 20), np.int64), steps)).all()


def test_voltages_are_read_per_step_and_in_the_models_units() -> None:
    program = compiled(small_cnn(), steps=16, readout="chip")
    read = program.read_out
    assert read.kind == "voltage"
    layer = program.layer(read.layers[0])
    activations = np.linspace(-1, 1, layer.neurons)[None]
    steps = 40
    volts = activations * layer.voltage_scale * (steps - layer.depth)
    found = decode(program, volts, steps)  # type: ignore[arg-type]
    expected = activations @ read.weights.astype(np.float64) + read.bias
    np.testing.assert_allclose(found, expected)


def test_several_layers_are_read_in_their_order() -> None:
    program = random_program(0)
    first = program.layers[-1]
    read = replace(
        program.read_out,
        layers=(first.name, first.name),
        weights=np.ones((2 * first.neurons, 1), np.float32),
        bias=np.zeros(1, np.float32),
    )
    counts = np.arange(2 * first.neurons)[None]
    found = decode(replace(program, read_out=read), counts, 16)
    expected = counts.sum() * first.amplitude / (16 - first.depth)
    assert found[0, 0] == pytest.approx(expected)


@pytest.mark.parametrize("readout", ["host", "chip"])
def test_scores_do_not_depend_on_how_many_samples_are_read_at_a_time(readout: str) -> None:
    program = compiled(small_cnn(), steps=16, readout=readout)
    size = sum(program.layer(name).neurons for name in program.read_out.layers)
    top = 17 if readout == "host" else 1 << 22
    values = np.random.default_rng(0).integers(0, top, (50, size))
    whole = decode(program, values, 16)
    for count in (1, 2, 7):
        parts = [decode(program, values[k : k + count], 16) for k in range(0, 50, count)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
