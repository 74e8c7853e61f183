"""Makes dense layers read images channels-last, whatever lies between, so that layers can merge."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from nmcompile.ir import Network, nodes
from nmcompile.ir.nodes import Node
from nmcompile.ir.reference import move

_ARRANGING = (nodes.Flatten, nodes.Reshape, nodes.Transpose)


def straighten(network: Network) -> Network:
    """The network with transposes before dense layers moved into their weights."""
    changes: dict[str, Iterable[Node]] = {}
    for node in network:
        if not isinstance(node, nodes.Dense):
            continue
        moves: list[Node] = []
        source = network[node.inputs[0]]
        while isinstance(source, _ARRANGING):
            moves.append(source)
            source = network[source.inputs[0]]
        if not any(isinstance(each, nodes.Transpose) for each in moves):
            continue
        size = network.shapes[source.name]
        order = np.arange(int(np.prod(size))).reshape(1, *size)
        for each in reversed(moves):
            order = move(each, [order], -1)
        weights = np.empty_like(node.weights)
        weights[order.reshape(-1)] = node.weights
        flat = nodes.Flatten(name=f"{node.name}/flat", inputs=(source.name,))
        changes[node.name] = (flat, replace(node, inputs=(flat.name,), weights=weights))
    return network.edit(changes) if changes else network
