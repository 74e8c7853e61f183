"""Make one input of several, and one output: the chip's host sends and reads one array."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from nmcompile.ir import Network
from nmcompile.ir.nodes import (
    Affine,
    Concat,
    Flatten,
    FloatArray,
    Input,
    Node,
    Output,
    Pad2d,
    Reshape,
    Shape,
)
from nmcompile.passes.split import without_ends

#: Names of the joined ends.
JOINED_INPUT, JOINED_OUTPUT = "inputs", "outputs"


def join_ends(network: Network, data: FloatArray) -> Network:
    """The network with one flat input and one flat output, where it has several.

    Numbers of the inputs follow each other in the order of the network, each input scaled by its
    largest value, as one encoder with one threshold serves all; numbers of the outputs likewise,
    without what only the host computes behind them. Networks with one of each stay as they are.

    Parameters
    ----------
    data : (samples, *sample shape) like the real input
    """
    if len(network.outputs) > 1:
        network = _one_output(without_ends(network))
    return _one_input(network, data) if len(network.inputs) > 1 else network


def ends(network: Network) -> dict[str, Any]:
    """What a Program remembers of several inputs and outputs: names, and shapes or sizes."""
    found: dict[str, Any] = {}
    if len(network.inputs) > 1:
        found["inputs"] = {name: list(size) for name, size in named_inputs(network).items()}
    if len(network.outputs) > 1:
        found["outputs"] = {
            name: prod(network.shapes[node.name])
            for name, node in zip(output_names(network), network.outputs, strict=True)
        }
    return found


def named_inputs(network: Network) -> dict[str, Shape]:
    """Names and shapes of the inputs where there are several, in order; else nothing."""
    several = network.inputs if len(network.inputs) > 1 else ()
    return {node.name: node.size for node in several}


def output_names(network: Network) -> list[str]:
    """Names of the outputs as the model has them: of the layers that give them."""
    names = [(node.origin or (node.name,))[-1] for node in network.outputs]
    return names if len(set(names)) == len(names) else [node.name for node in network.outputs]


def _one_output(network: Network) -> Network:
    flat: list[Node] = []
    for node in network.outputs:
        flat.append(Flatten(name=f"{node.name}/flat", inputs=node.inputs, origin=node.origin))
    names = tuple(node.name for node in flat)
    joined = Concat(name=_free(network, f"{JOINED_OUTPUT}/joined"), inputs=names, axis=0)
    last = Output(name=_free(network, JOINED_OUTPUT), inputs=(joined.name,))
    kept = [node for node in network if not isinstance(node, Output)]
    return Network.build([*kept, *flat, joined, last], name=network.name, dt_s=network.dt_s)


def _one_input(network: Network, data: FloatArray) -> Network:
    sizes = [prod(node.size) for node in network.inputs]
    edges = np.concatenate([[0], np.cumsum(sizes)]).tolist()
    flat = np.abs(data.reshape(len(data), -1))
    largest = [float(flat[:, a:b].max(initial=0)) or 1.0 for a, b in pairwise(edges)]
    first = Input(name=_free(network, JOINED_INPUT), size=(edges[-1],))
    made: list[Node] = [first]
    last = first.name
    if len(set(largest)) > 1:
        scale = np.repeat(1 / np.array(largest, np.float32), sizes).astype(np.float32)
        nothing = np.zeros(1, np.float32)
        made.append(Affine(name=f"{first.name}/scaled", inputs=(last,), scale=scale, shift=nothing))
        last = made[-1].name
    made.append(Reshape(name=f"{first.name}/rows", inputs=(last,), size=(edges[-1], 1, 1)))
    last = made[-1].name
    for node, (start, stop), factor in zip(network.inputs, pairwise(edges), largest, strict=True):
        crop = ((-start, stop - edges[-1]), (0, 0))
        part = Pad2d(name=f"{node.name}/part", inputs=(last,), padding=crop)
        made.append(part)
        if len(set(largest)) > 1:
            back = np.full(1, factor, np.float32)
            made.append(
                Affine(
                    name=f"{node.name}/unscaled", inputs=(part.name,), scale=back, shift=back * 0
                )
            )
        shaped = Reshape(name=node.name, inputs=(made[-1].name,), size=node.size)
        made.append(replace(shaped, origin=node.origin))
    kept = [node for node in network if not isinstance(node, Input)]
    return Network.build([*made, *kept], name=network.name, dt_s=network.dt_s)


def _free(network: Network, name: str) -> str:
    while any(name in (node.name, *node.origin) for node in network):
        name += "_"
    return name
