"""What a connection makes of the numbers that its source sends."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nmcompile.ir.layers import Connection, LayerGraph, NeuronLayer
from nmcompile.ir.nodes import Conv2d, FloatArray
from nmcompile.ir.reference import compute

#: Samples that are convolved at a time, and fewer where they unfold to more numbers than this.
CHUNK = 256
UNFOLDED = 1 << 25


def through(link: Connection, source: FloatArray) -> FloatArray:
    """(samples, targets) that a connection makes of (samples, source neurons)."""
    node = link.window.convolution(link.name, link.weights)
    return np.concatenate(list(_chunks(node, link, source)))


def _chunks(node: Conv2d, link: Connection, source: FloatArray) -> Iterator[FloatArray]:
    rows, cols, _ = link.out_shape
    unfolded = rows * cols * link.weights[..., 0].size * link.window.groups
    chunk = int(np.clip(UNFOLDED // max(unfolded, link.view.size), 1, CHUNK))
    for start in range(0, len(source), chunk):
        part = source[start : start + chunk]
        gathered = np.where(link.view >= 0, part[:, link.view], np.float32(0))
        yield compute(node, [gathered]).reshape(len(part), -1)


def activations(graph: LayerGraph, x: FloatArray) -> Iterator[tuple[NeuronLayer, FloatArray]]:
    """Each layer of a graph in float, and its (samples, neurons) activations.

    Parameters
    ----------
    x : (samples, *input shape)
    """
    values: dict[str, FloatArray] = {graph.input_name: x.reshape(len(x), -1)}
    for layer in graph.layers:
        links = graph.into(layer.name)
        drive = sum((through(link, values[link.source]) for link in links), start=layer.bias)
        values[layer.name] = compute(layer.neuron, [drive])
        yield layer, values[layer.name]
