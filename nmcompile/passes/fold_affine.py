"""Fold batch norm and other affine layers into the weights beside them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from nmcompile.ir import Network
from nmcompile.ir.nodes import NO_PADDING, Affine, Conv2d, Dense, FloatArray
from nmcompile.passes.network_pass import NetworkPass


@dataclass(frozen=True)
class FoldAffine(NetworkPass):
    """Reads Affine, Conv2d and Dense nodes; changes weights and biases, removes Affine nodes.

    An affine layer goes into the weighted layer before it, or into the one after it where
    that one does not pad. What is left (an affine layer after a sum, say) is folded later,
    when connections are made.
    """

    name: ClassVar[str] = "fold-affine"
    purpose: ClassVar[str] = "fold batch norm and other affine layers into weights"

    def run(self, value: Network) -> Network:
        for node in value:
            if isinstance(node, Affine):
                folded = _fold_back(value, node) or _fold_forward(value, node)
                if folded is not None:
                    return self.run(folded)
        return value


def _fold_back(network: Network, node: Affine) -> Network | None:
    """Fold into the only layer that feeds this one."""
    source = network[node.inputs[0]]
    if not isinstance(source, (Conv2d, Dense)) or len(network.consumers[source.name]) != 1:
        return None
    channels = source.weights.shape[-1]
    scale, shift = _per_channel(node.scale, channels), _per_channel(node.shift, channels)
    if scale is None or shift is None:
        return None
    bias = np.zeros(channels, np.float32) if source.bias is None else source.bias
    merged = replace(
        source,
        name=node.name,
        weights=(source.weights * scale).astype(np.float32),
        bias=(bias * scale + shift).astype(np.float32),
        origin=source.origin + node.origin,
    )
    return network.edit({source.name: (), node.name: (merged,)})


def _fold_forward(network: Network, node: Affine) -> Network | None:
    """Fold into the only layer that reads this one, where it does not pad."""
    if len(network.consumers[node.name]) != 1:
        return None
    target = network[network.consumers[node.name][0]]
    if not isinstance(target, (Conv2d, Dense)):
        return None
    groups = 1
    if isinstance(target, Conv2d):
        if target.padding != NO_PADDING:
            return None
        groups = target.groups
    channels = network.shapes[node.name][-1]
    scale, shift = _per_channel(node.scale, channels), _per_channel(node.shift, channels)
    if scale is None or shift is None:
        return None
    outputs = target.weights.shape[-1]
    bias = np.zeros(outputs, np.float32) if target.bias is None else target.bias
    axes = tuple(range(target.weights.ndim - 1))
    moved = (target.weights * _seen(shift, groups, outputs)).sum(axis=axes, dtype=np.float64)
    merged = replace(
        target,
        inputs=node.inputs,
        weights=(target.weights * _seen(scale, groups, outputs)).astype(np.float32),
        bias=(bias + moved).astype(np.float32),
        origin=node.origin + target.origin,
    )
    return network.edit({node.name: (), target.name: (merged,)})


def _seen(values: FloatArray, groups: int, outputs: int) -> FloatArray:
    """(channels,) values as (channels / groups, outputs): those of the channels an output reads."""
    return np.repeat(values.reshape(groups, -1), outputs // groups, axis=0).T


def _per_channel(value: FloatArray, channels: int) -> FloatArray | None:
    """`value` as (channels,), or None where it differs between places of a channel."""
    if value.size == 1:
        return np.broadcast_to(value.reshape(-1), (channels,))
    if value.shape[-1:] == (channels,) and value.size == channels:
        return value.reshape(channels)
    return None
