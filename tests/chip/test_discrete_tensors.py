"""A Program carries the discretised layers that it was made of."""

from dataclasses import fields, replace

import numpy as np
import pytest

from nmcompile.api import build
from nmcompile.chip.discrete_tensors import discrete_graph
from nmcompile.chip.program import Program
from nmcompile.errors import DataError

MODEL = "examples/mnist/mnist.keras"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("discrete") / "net.nmc"
    build(MODEL, calibrate="examples/mnist/calibrate_500.npz").save(path)
    return Program.load(path)


def test_layers_hold_the_registers_of_the_tables(program):
    graph = discrete_graph(program)
    assert [layer.name for layer in graph.layers] == [layer.name for layer in program.layers]
    for layer in graph.layers:
        placed = program.layer(layer.name)
        assert layer.shape == placed.shape
        for number in (0, layer.size // 2, layer.size - 1):
            core = program.cores[placed.core[number]]
            row = placed.compartment[number]
            assert core.compartments.bias_mantissa[row] == layer.bias_mantissa[number]
            threshold = core.compartments.threshold[row]
            assert core.thresholds.mantissa[threshold] == layer.threshold_mantissa


def test_connections_come_back_as_they_were(program):
    graph = discrete_graph(program)
    assert all(link.link.weights.dtype == np.int16 for link in graph.connections)
    for link in graph.connections:
        source, target = link.link.source, link.link.target
        assert np.prod(link.link.out_shape) == graph.sizes()[target]
        assert link.link.view.max() < graph.sizes()[source]
        assert {field.name for field in fields(link)} >= {"exponent", "weight_bits"}


def test_a_program_without_them_says_so(program):
    with pytest.raises(DataError, match="build it again"):
        discrete_graph(replace(program, manifest={}))


def test_a_broken_structure_is_refused(program):
    manifest = {**program.manifest, "discrete": {"name": "x", "layers": [{}], "connections": []}}
    with pytest.raises(DataError, match="not whole"):
        discrete_graph(replace(program, manifest=manifest))
