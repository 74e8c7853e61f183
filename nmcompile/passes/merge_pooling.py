"""Merge average pooling, and other linear layers without neurons behind them, into what follows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from nmcompile.ir import Network
from nmcompile.ir.linear import compose, expand_groups, pool_as_conv
from nmcompile.ir.nodes import Conv2d, Dense, Flatten, FloatArray, Node, Pool2d, Reshape
from nmcompile.passes.network_pass import NetworkPass

#: A merged kernel may have at most so many times the weights of its two parts.
GROWTH_LIMIT = 64


@dataclass(frozen=True)
class MergePooling(NetworkPass):
    """Reads Pool2d, Conv2d, Flatten and Dense nodes; changes weights, removes Pool2d nodes.

    A neuron costs compartments, a synapse only memory, so two linear layers in a row are one:
    pooling and convolution, pooling and dense layer, depthwise and pointwise convolution.
    Pooling that cannot be merged becomes a depthwise convolution.
    """

    name: ClassVar[str] = "merge-pooling"
    purpose: ClassVar[str] = "merge average pooling and other linear layers into what follows"

    def run(self, value: Network) -> Network:
        while True:
            after = _dense_to_conv(value) or _pool_to_conv(value) or _merge_one(value)
            if after is None:
                return value
            value = after


def _dense_to_conv(network: Network) -> Network | None:
    """Turn pooling, flatten, dense into pooling, convolution over the whole image, flatten."""
    for node in network:
        if not isinstance(node, Dense):
            continue
        flat = network[node.inputs[0]]
        if not isinstance(flat, (Flatten, Reshape)):
            continue
        shape = network.shapes[flat.inputs[0]]
        if len(shape) != 3 or not isinstance(network[flat.inputs[0]], (Pool2d, Conv2d)):
            continue
        conv = Conv2d(
            name=f"{node.name}/conv",
            inputs=flat.inputs,
            origin=node.origin,
            weights=node.weights.reshape(*shape, -1),
            bias=node.bias,
        )
        size = (node.weights.shape[1],)
        tail = Reshape(name=node.name, inputs=(conv.name,), origin=node.origin, size=size)
        changes: dict[str, Iterable[Node]] = {node.name: (conv, tail)}
        return network.edit(changes)
    return None


def _pool_to_conv(network: Network) -> Network | None:
    for node in network:
        if isinstance(node, Pool2d):
            conv = pool_as_conv(node, network.input_shapes(node.name)[0])
            if conv is not None:
                return network.edit({node.name: (conv,)})
    return None


def _merge_one(network: Network) -> Network | None:
    for second in network:
        if not isinstance(second, Conv2d):
            continue
        first = network[second.inputs[0]]
        if not isinstance(first, Conv2d) or len(network.consumers[first.name]) != 1:
            continue
        carried = first.bias is not None and bool(first.bias.any())
        if carried and any(n > 0 for pair in second.padding for n in pair):
            continue
        merged = compose(first, second, network.input_shapes(first.name)[0])
        if merged is None:
            continue
        if merged.conv.weights.size > GROWTH_LIMIT * (first.weights.size + second.weights.size):
            continue
        conv = merged.conv
        if first.bias is not None and carried:
            shift = _bias_through(second, first.bias)
            conv = replace(conv, bias=shift if conv.bias is None else conv.bias + shift)
        nodes = (conv,) if merged.crop is None else (merged.crop, conv)
        return network.edit({first.name: (), second.name: nodes})
    return None


def _bias_through(conv: Conv2d, bias: FloatArray) -> FloatArray:
    """What a constant per channel becomes behind a convolution that does not pad."""
    kernel = expand_groups(conv.weights, conv.groups).sum(axis=(0, 1), dtype=np.float64)
    return (bias @ kernel).astype(np.float32)
