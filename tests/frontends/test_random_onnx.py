"""Random ONNX models give the same numbers in ONNX' own evaluator and in our float reference."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
sys.path.insert(0, str(Path(__file__).parent))

from onnx import ModelProto
from onnx.reference import ReferenceEvaluator
from random_onnx import OPSETS, SAMPLES, random_onnx

from nmcompile.frontends import load
from nmcompile.frontends.onnx.registry import OPERATORS
from nmcompile.ir import evaluate
from nmcompile.ir.nodes import FloatArray

Run = Callable[[ModelProto, FloatArray], FloatArray]
#: Models in the tests that always run, and in all.
FAST, ALL = 60, 500
#: Operators that no exact comparison is possible for.
INEXACT = {"QuantizeLinear"}


def by_evaluator(model: ModelProto, x: FloatArray) -> FloatArray:
    return ReferenceEvaluator(model).run(None, {model.graph.input[0].name: x})[0]


def by_runtime(model: ModelProto, x: FloatArray) -> FloatArray:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    # Optimised, it rounds activations where weights are whole numbers.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {model.graph.input[0].name: x})[0]


def difference(model: ModelProto, seed: int, run: Run = by_evaluator) -> float:
    """Largest difference from another implementation, relative to its largest number."""
    network = load(model).network
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (SAMPLES, *network.inputs[0].size)).astype(np.float32)
    expected = run(model, x)
    result = evaluate(network, x)["output"]
    assert result.shape == expected.shape
    return float(np.abs(result - expected).max() / max(1e-2, float(np.abs(expected).max())))


@pytest.mark.parametrize("seed", range(FAST))
def test_a_random_model_agrees_with_onnx(seed: int) -> None:
    assert difference(random_onnx(seed), seed) <= 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("start", range(FAST, ALL, 40))
def test_hundreds_of_random_models_agree_with_onnx(start: int) -> None:
    differing = {
        seed: found
        for seed in range(start, min(start + 40, ALL))
        if not (found := difference(random_onnx(seed), seed)) <= 1e-4
    }
    assert not differing


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, ALL, 50))
def test_hundreds_of_random_models_agree_with_onnxruntime(start: int) -> None:
    pytest.importorskip("onnxruntime")
    found = {
        seed: difference(random_onnx(seed, wide=True), seed, by_runtime)
        for seed in range(start, start + 50)
    }
    assert {seed: value for seed, value in found.items() if not value <= 1e-4} == {}


def test_the_random_models_hold_every_operator_and_opset() -> None:
    models = [random_onnx(seed) for seed in range(150)]
    seen = Counter(node.op_type for model in models for node in model.graph.node)
    assert set(OPERATORS) - set(seen) == INEXACT
    assert {model.opset_import[0].version for model in models} == set(OPSETS)
