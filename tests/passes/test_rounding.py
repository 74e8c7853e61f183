"""Weights are rounded so that the layer's output changes least."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nmcompile.backends.emulator import Emulator
from nmcompile.hardware import parse_target
from nmcompile.ir import evaluate
from nmcompile.passes.discretise import Discretise
from nmcompile.passes.pipeline import compile_network
from nmcompile.passes.rounding import best_cut, feedback_rounding, round_for_output, second_moments
from tests.networks import small_cnn
from tests.passes.stages import Stages


def output_error(weights: np.ndarray, wanted: np.ndarray, moments: np.ndarray) -> float:
    lost = (weights - wanted).reshape(-1, wanted.shape[-1])
    return float((lost * (moments @ lost)).sum())


@pytest.mark.parametrize("seed", range(5))
def test_feedback_loses_less_output_than_the_nearest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs = rng.random((200, 30)) @ rng.normal(size=(30, 30))
    moments = inputs.T @ inputs / 200
    wanted = rng.uniform(-3, 3, (30, 8))
    nothing = np.zeros(wanted.shape, bool)
    whole = feedback_rounding(wanted, moments, -4, 3, nothing)
    nearest = np.clip(np.rint(wanted), -4, 3)
    assert np.array_equal(whole, np.rint(whole))
    assert whole.min() >= -4
    assert whole.max() <= 3
    assert output_error(whole, wanted, moments) < 0.5 * output_error(nearest, wanted, moments)


def test_fixed_weights_are_the_nearest() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.random((50, 12))
    wanted = rng.uniform(-3, 3, (12, 4))
    fixed = rng.random(wanted.shape) < 0.3
    whole = feedback_rounding(wanted, inputs.T @ inputs, -4, 3, fixed)
    assert np.array_equal(whole[fixed], np.clip(np.rint(wanted), -4, 3)[fixed])


@pytest.mark.parametrize("bits", [3, 4, 8])
def test_what_was_rounded_discretises_to_the_chosen_mantissas(bits: int) -> None:
    stages = Stages.of(small_cnn(), weight_bits=bits)
    graph = stages.layers
    discretise: Discretise = stages.discretise
    layer = graph.layer("conv")
    link = next(iter(graph.into("conv")))
    rates = np.random.default_rng(1).random((24, graph.layer(link.source).size), dtype=np.float32)
    moments = second_moments(link, rates)
    assert moments is not None
    made = discretise.layer(graph, layer)[1][0]
    chosen = round_for_output(link, made, moments)
    again = replace(graph, connections=tuple(chosen if c is link else c for c in graph.connections))
    found = discretise.layer(again, layer)[1][0]
    unit = np.abs(link.weights).max() / np.abs(made.link.weights).max()
    assert np.allclose(found.link.weights * unit, chosen.weights, atol=unit / 100)
    nearest = made.link.weights * unit
    assert output_error(chosen.weights, link.weights, moments) <= output_error(
        nearest, link.weights, moments
    )


def test_an_outlier_is_cut_where_few_bits_would_go_to_it() -> None:
    stages = Stages.of(small_cnn(), weight_bits=3)
    graph = stages.layers
    link = next(iter(graph.into("conv")))
    link.weights[0, 0, 0, 0] = 8 * np.abs(link.weights).max()
    rates = np.random.default_rng(1).random((24, graph.layer(link.source).size), dtype=np.float32)
    moments = second_moments(link, rates)
    assert moments is not None
    moments[0] *= 1e-3
    moments[:, 0] *= 1e-3
    made = stages.discretise.layer(graph, graph.layer("conv"))[1][0]
    cut = best_cut(link, made, moments)
    assert np.abs(cut.weights).max() < 0.8 * np.abs(link.weights).max()


def score_error(**options: Any) -> float:
    stages = Stages.of(small_cnn(), steps=128, **options)
    program = compile_network(stages.network, parse_target(None), stages.options, stages.x)
    wanted = evaluate(stages.network, stages.x)["output"]
    found = Emulator().load(program).run(stages.x, 128).scores
    return float(np.sqrt(((found - wanted) ** 2).mean()) / wanted.std())


def test_with_few_bits_scores_come_closer_to_the_float_network() -> None:
    assert score_error(weight_bits=3, rounding="output") < 0.8 * score_error(weight_bits=3)
