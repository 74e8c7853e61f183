"""Compares two float networks layer by layer, whatever tools they come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from nmcompile.analysis.canonical import Layer, canonical_layers
from nmcompile.analysis.diff_inputs import input_order, make_inputs
from nmcompile.analysis.diff_layers import LayerComparer
from nmcompile.analysis.diff_result import Comparison
from nmcompile.analysis.diff_values import with_values
from nmcompile.analysis.flattening import straighten
from nmcompile.analysis.matching import Pair, match_layers
from nmcompile.ir import Network, nodes
from nmcompile.ir.nodes import FloatArray
from nmcompile.passes.fold_affine import FoldAffine
from nmcompile.passes.merge_pooling import MergePooling

#: Largest difference, relative to the largest number beside it, that is no difference.
TOLERANCE = 1e-4
#: Samples on which values are compared.
SAMPLES = 16


def compare_networks(
    a: Network,
    b: Network,
    *,
    names: tuple[str, str] = ("A", "B"),
    x: FloatArray | None = None,
    tolerance: float = TOLERANCE,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare two networks, whatever tools they come from.

    Layers are matched by what they read and not by name. Where the networks as they are do not
    match, batch norms are folded in both, and then pooling is merged in both.

    Parameters
    ----------
    x : (samples, *input shape) in the layout of either, or with frames before the shape; None
        for random numbers
    tolerance : relative difference up to which numbers are equal
    samples : how many to take, or to draw
    seed : of random numbers
    """
    (a, a_last), (b, b_last) = _without_softmax(a), _without_softmax(b)
    order, assumed = input_order(a, b)
    if a_last != b_last:
        assumed = [*assumed, f"the softmax at the end of {'A' if a_last else 'B'} is left out"]
    one, other, pairs, done = _matched(a, b, order)
    inputs = None if order is None else make_inputs(a, b, order, x, samples, seed)
    layers = LayerComparer(one, other, pairs, tolerance).layers()
    if inputs is not None:
        layers = with_values((a, b), (one, other), pairs, layers, inputs, tolerance)
    return Comparison(
        names[0], names[1], tolerance, tuple(layers), (*assumed, *done),
        0 if inputs is None else len(inputs.a),
    )  # fmt: skip


def _without_softmax(network: Network) -> tuple[Network, bool]:
    """The network up to its scores, and whether a softmax was behind them."""
    output = network.outputs[0]
    last = network[output.inputs[0]]
    if not isinstance(last, nodes.Softmax) or len(network.outputs) > 1:
        return network, False
    if network.consumers[last.name] != (output.name,):
        return network, False
    return network.rewire(last.name, last.inputs[0], {last.name: ()}), True


_LEVELS: tuple[tuple[str, Callable[[Network], Network]], ...] = (
    ("", lambda network: network),
    ("batch norm and other scales are folded into weights", FoldAffine().run),
    (
        "pooling is merged into what follows",
        lambda network: MergePooling().run(straighten(network)),
    ),
)


def _matched(
    a: Network, b: Network, order: NDArray[np.intp] | None
) -> tuple[dict[str, Layer], dict[str, Layer], list[Pair], list[str]]:
    """Layers of both in the form in which most of them match, and how that was reached."""
    best: tuple[dict[str, Layer], dict[str, Layer], list[Pair], list[str]] | None = None
    done: list[str] = []
    fewest = 0
    for words, change in _LEVELS:
        a, b = change(a), change(b)
        done = [*done, words] if words else done
        one, other = canonical_layers(a), canonical_layers(b, order)
        pairs = match_layers(one, other)
        alone = sum(_unlike(one, other, pair) for pair in pairs)
        if best is None or alone < fewest:
            best, fewest = (one, other, pairs, done), alone
        if not alone:
            break
    assert best is not None
    return best


def _unlike(a: Mapping[str, Layer], b: Mapping[str, Layer], pair: Pair) -> bool:
    """Whether a pair lacks one side, or is of two shapes."""
    if pair[0] is None or pair[1] is None:
        return True
    one, other = a[pair[0]].arrays, b[pair[1]].arrays
    return any(key in other and value.shape != other[key].shape for key, value in one.items())
