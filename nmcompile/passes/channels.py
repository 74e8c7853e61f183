"""Give the channels of a layer factors of their own, folded into what reads them."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from nmcompile.ir.layers import Connection, LayerGraph
from nmcompile.ir.nodes import FloatArray


def scale_outputs(graph: LayerGraph, name: str, factor: FloatArray) -> LayerGraph:
    """The graph in which all that reads a layer takes its neurons times a factor.

    Parameters
    ----------
    factor : (neurons,); equal for neurons that a kernel's weight reads in different places, as
        `shared_weights` has them
    """
    if (factor == 1).all():
        return graph
    links = tuple(
        _scaled(link, factor) if link.source == name else link for link in graph.connections
    )
    return replace(graph, connections=links, read_weights=_read_weights(graph, name, factor))


def shared_weights(graph: LayerGraph, name: str) -> NDArray[np.int64]:
    """(neurons,) group of each neuron: neurons of a group share weights of something that reads.

    Groups are the channels of an image that convolutions read, or single neurons where only
    dense layers and the read-out do.
    """
    size = graph.layer(name).size
    group = np.arange(size)
    for link in graph.connections:
        if link.source != name or link.view.shape[:2] == (1, 1):
            continue
        for column in link.view.reshape(-1, link.view.shape[2]).T:
            members = np.unique(group[column[column >= 0]])
            if len(members) > 1:
                group[np.isin(group, members)] = members[0]
    return np.unique(group, return_inverse=True)[1]


def _scaled(link: Connection, factor: FloatArray) -> Connection:
    view = link.view.reshape(-1, link.view.shape[2])
    first = view[(view >= 0).argmax(axis=0), np.arange(view.shape[1])]
    of_channel = np.where(first >= 0, factor[first], np.float32(1)).astype(np.float32)
    groups, (_, _, per_group, out) = link.window.groups, link.weights.shape
    if groups == 1:
        weights = link.weights * of_channel[:, None]
    else:
        owner = np.arange(out) // (out // groups)
        source = owner[None, :] * per_group + np.arange(per_group)[:, None]
        weights = link.weights * of_channel[source]
    return replace(link, weights=weights.astype(np.float32))


def _read_weights(graph: LayerGraph, name: str, factor: FloatArray) -> FloatArray:
    if name not in graph.read_layers:
        return graph.read_weights
    start = sum(
        graph.layer(each).size for each in graph.read_layers[: graph.read_layers.index(name)]
    )
    weights = graph.read_weights.copy()
    weights[start : start + len(factor)] *= factor[:, None]
    return weights


def scale_inputs(graph: LayerGraph, name: str, factor: FloatArray) -> LayerGraph:
    """The graph in which a layer's channels are driven by a factor more.

    Parameters
    ----------
    factor : (channels,), or (neurons,) where the layer is no image
    """
    layer = graph.layer(name)
    links = tuple(
        replace(link, weights=(link.weights * _spread(factor, link)).astype(np.float32))
        if link.target == name
        else link
        for link in graph.connections
    )
    bias = layer.bias * np.tile(factor, prod(layer.shape) // len(factor))
    layers = tuple(replace(x, bias=bias) if x.name == name else x for x in graph.layers)
    return replace(graph, connections=links, layers=layers)


def _spread(factor: FloatArray, link: Connection) -> FloatArray:
    """Factors for a connection's outputs, which may be an image's pixels in one row."""
    return np.tile(factor, link.weights.shape[-1] // len(factor))
