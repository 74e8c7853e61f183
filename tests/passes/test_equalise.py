"""Channels are driven equally strongly, and the float network stays what it was."""

from dataclasses import replace

import numpy as np
import pytest

from nmcompile.ir import nodes
from nmcompile.ir.layers import LayerGraph
from nmcompile.ir.links import activations
from nmcompile.passes.equalise import Equalise
from tests.networks import random_network, small_cnn
from tests.passes.stages import Stages


def values(graph: LayerGraph, x: np.ndarray) -> dict[str, np.ndarray]:
    found = {layer.name: each for layer, each in activations(graph, x)}
    read = np.concatenate([found[name] for name in graph.read_layers], axis=1)
    return {**found, "read-out": read @ graph.read_weights + graph.read_bias}


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_the_read_out_is_the_same_and_channels_are_alike(strength: float) -> None:
    stages = Stages.of(small_cnn())
    before = stages.layers
    after = Equalise(stages.x, strength, 99.0).run(before)
    old, new = values(before, stages.x), values(after, stages.x)
    assert np.allclose(old["read-out"], new["read-out"], rtol=1e-4, atol=1e-4)

    def spread(found: np.ndarray) -> float:
        largest = np.percentile(found.reshape(-1, before.layer("conv").shape[-1]), 99, axis=0)
        return float(largest.std() / largest.mean())

    assert spread(new["conv"]) < (1 - 0.4 * strength) * spread(old["conv"])


@pytest.mark.parametrize("seed", range(20))
def test_networks_of_any_form_stay_what_they_were(seed: int) -> None:
    stages = Stages.of(random_network(seed))
    before = stages.layers
    after = Equalise(stages.x, 0.7, 99.0).run(before)
    old, new = (values(graph, stages.x)["read-out"] for graph in (before, after))
    assert np.allclose(old, new, rtol=1e-3, atol=1e-3 * float(np.abs(old).max()))


def test_clipped_channels_are_left_alone() -> None:
    network = small_cnn()
    clipped = {
        node.name: (replace(node, max_value=0.5),)
        for node in network
        if isinstance(node, nodes.ReLU) and node.name != "enc"
    }
    stages = Stages.of(network.edit(clipped))
    after = Equalise(stages.x, 1.0, 99.0).run(stages.layers)
    old, new = (values(graph, stages.x)["read-out"] for graph in (stages.layers, after))
    assert np.array_equal(old, new)


def test_no_strength_changes_nothing() -> None:
    stages = Stages.of(small_cnn())
    graph = stages.layers
    assert Equalise(stages.x, 0.0, 99.0).run(graph) is graph
