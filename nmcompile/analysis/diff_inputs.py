"""The same inputs for two networks, though samples lie otherwise in each."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from nmcompile.errors import DataError
from nmcompile.ir import Network, nodes
from nmcompile.ir.nodes import FloatArray, Shape
from nmcompile.ir.text import shape_text

#: A first layer that multiplies by less takes numbers that go beyond 1, such as 0 to 255.
SMALL = 0.1


@dataclass(frozen=True, eq=False)
class Inputs:
    """The same samples for two networks.

    Attributes
    ----------
    a, b : (samples, *input shape), or (samples, frames, *input shape) float32
    """

    a: FloatArray
    b: FloatArray


def input_order(a: Network, b: Network) -> tuple[NDArray[np.intp] | None, list[str]]:
    """Place in B's sample of each value of A's, and what was assumed; None where sizes differ."""
    if len(a.inputs) != 1 or len(b.inputs) != 1:
        return None, ["a network with several inputs is compared without values"]
    one, two = a.inputs[0].size, b.inputs[0].size
    if prod(one) != prod(two):
        return None, []
    own = np.arange(prod(two), dtype=np.intp).reshape(two)
    if one == two:
        return own.reshape(-1), []
    shapes = f"{shape_text(one)} in A, {shape_text(two)} in B"
    rank = len(two)
    last_to_first = (rank - 1, *range(rank - 1))
    first_to_last = (*range(1, rank), 0)
    for axes, words in (
        (first_to_last, "channels come last in A and first in B"),
        (last_to_first, "channels come first in A and last in B"),
    ):
        if tuple(two[axis] for axis in axes) == one:
            return own.transpose(axes).reshape(-1), [f"samples are {shapes}: {words}"]
    return own.reshape(-1), [f"samples are {shapes}: the same values in the same order"]


def make_inputs(
    a: Network, b: Network, order: NDArray[np.intp], x: FloatArray | None, samples: int, seed: int
) -> Inputs:
    """Samples for both, from data in the layout of either, or drawn.

    Raises
    ------
    DataError
        Data of a shape that neither takes.
    """
    one, two = a.inputs[0].size, b.inputs[0].size
    if x is None:
        rng = np.random.default_rng(seed)
        largest = max(_largest(network) for network in (a, b))
        x = rng.uniform(0, largest, (samples, *one)).astype(np.float32)
    x = x[:samples]
    if _fits(x, one):
        first = x
    elif _fits(x, two):
        lead = x.shape[: x.ndim - len(two)]
        first = x.reshape(*lead, -1)[..., order].reshape(*lead, *one)
    else:
        wanted = " or ".join(dict.fromkeys(shape_text(size) for size in (one, two)))
        raise DataError(
            f"each sample has shape {shape_text(x.shape[1:])}, the networks take {wanted}"
        )
    lead = first.shape[: first.ndim - len(one)]
    second = np.empty((*lead, order.size), np.float32)
    second[..., order] = first.reshape(*lead, -1)
    return Inputs(np.ascontiguousarray(first), second.reshape(*lead, *two))


def _fits(x: FloatArray, shape: Shape) -> bool:
    """Whether data holds samples of a shape, or frames of it."""
    return shape in (x.shape[1:], x.shape[2:])


def _largest(network: Network) -> float:
    """The largest number that inputs are likely to hold: 1, or what is scaled to 1 at first."""
    for node in network:
        if isinstance(node, nodes.Affine) and node.inputs[0] == network.inputs[0].name:
            factor = float(np.abs(node.scale).max())
            return 1 / factor if 0 < factor < SMALL else 1.0
    return 1.0
