"""What lies between neuron layers, as sums of terms: views of a source behind a convolution.

A view gathers what moves numbers about, so that padding, cropping, reshaping, transposing and
joining cost nothing. A path that is no single convolution over a view becomes a matrix.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from nmcompile.errors import CompileError
from nmcompile.ir import Network, nodes
from nmcompile.ir.layers import Window
from nmcompile.ir.linear import expand_groups
from nmcompile.ir.nodes import FloatArray, Node, Shape
from nmcompile.ir.reference import compute, move

#: A path that no convolution expresses becomes a matrix of at most so many weights.
MATRIX_LIMIT = 1 << 26


@dataclass(frozen=True, eq=False)
class Term:
    """Part of a value: a view of a source, behind a convolution where `weights` are given.

    `late` counts the steps of the network between a spike and its arrival: those of delays, and
    one where a recurrent connection brings it back.
    """

    source: str
    view: NDArray[np.int32]
    weights: FloatArray | None = None
    window: Window | None = None
    origin: tuple[str, ...] = ()
    late: int = 0
    back: bool = False


@dataclass(frozen=True, eq=False)
class Value:
    """What a node computes, as the sum of its terms and a constant of `shape`."""

    shape: Shape
    terms: tuple[Term, ...]
    bias: FloatArray


class _NotAConvolution(Exception):
    """This path needs a matrix."""


def source_value(name: str, shape: Shape) -> Value:
    """A layer's own values."""
    view = np.arange(prod(shape), dtype=np.int32).reshape(shape)
    return Value(shape, (Term(name, view),), np.zeros(shape, np.float32))


def through(network: Network, node: Node, inputs: Sequence[Value]) -> Value:
    """The value behind one node, as convolutions, or else as matrices."""
    shape = network.shapes[node.name]
    bias = compute(node, [value.bias[None] for value in inputs])[0]
    if isinstance(node, nodes.Add):
        return Value(shape, tuple(term for value in inputs for term in value.terms), bias)
    if isinstance(node, nodes.Delay):
        late = tuple(part for term in inputs[0].terms for part in _delayed(node, term, shape))
        return Value(shape, late, bias)
    terms: list[Term] = []
    for k, value in enumerate(inputs):
        for term in value.terms:
            try:
                terms.append(_apply(node, k, term, inputs))
            except _NotAConvolution:
                terms.append(matrix(node, k, term, inputs))
    return Value(shape, tuple(terms), bias)


def _delayed(node: nodes.Delay, term: Term, shape: Shape) -> Iterator[Term]:
    """The term behind delays; a term for each of them."""
    steps = np.broadcast_to(node.steps, shape)
    different = np.unique(steps).astype(int).tolist()
    origin = term.origin + node.origin
    if len(different) > 1 and term.weights is not None:
        each = node.steps.reshape(-1)
        if each.size != shape[-1] or node.steps.shape[-1:] != shape[-1:]:
            raise CompileError(
                f"layer {node.name!r}: its delays differ between places of a channel, and it reads "
                "weights; delay the spikes before them, or give a delay for each channel"
            )
        if not _is_image(shape, term):
            term = matrix(nodes.Flatten(name=node.name), 0, term, [empty(shape)])
            each = steps.reshape(-1)
    for n in different:
        part = replace(term, late=term.late + n, origin=origin)
        if len(different) == 1:
            yield part
        elif term.weights is None:
            yield replace(part, view=np.where(steps == n, term.view, -1).astype(np.int32))
        else:
            yield replace(part, weights=np.where(each == n, term.weights, np.float32(0)))


def empty(shape: Shape) -> Value:
    """Zeros."""
    return Value(shape, (), np.zeros(shape, np.float32))


def _apply(node: Node, k: int, term: Term, inputs: Sequence[Value]) -> Term:
    """`term`, part of input `k`, behind `node`."""
    shape = inputs[k].shape
    origin = term.origin + node.origin
    if term.weights is None:
        if isinstance(node, nodes.MOVES):
            views = [np.full((1, *value.shape), -1, np.int32) for value in inputs]
            views[k] = term.view[None]
            return replace(term, view=move(node, views, -1)[0], origin=origin)
        if isinstance(node, nodes.Affine):
            if node.scale.size == 1:
                weights = np.full((1, 1, 1, shape[-1]), node.scale, np.float32)
            elif node.scale.shape[-1:] == shape[-1:] and node.scale.size == shape[-1]:
                weights = node.scale.reshape(1, 1, 1, -1)
            else:
                raise _NotAConvolution
            view = term.view if term.view.ndim == 3 else term.view.reshape(-1, 1, shape[-1])
            return _conv_term(term, view, weights, Window((1, 1), groups=shape[-1]), origin)
        if isinstance(node, nodes.Conv2d):
            window = Window(
                node.weights.shape[:2], node.stride, node.padding, node.dilation, node.groups
            )
            return _conv_term(term, term.view, node.weights, window, origin)
        if isinstance(node, nodes.Dense):
            weights = node.weights[None, None]
            return _conv_term(term, _image(term.view), weights, Window((1, 1)), origin)
        raise _NotAConvolution
    assert term.window is not None
    if isinstance(node, (nodes.Flatten, nodes.Reshape)):
        return replace(term, origin=origin)
    if isinstance(node, nodes.Affine) and _per_channel(node.scale, shape, term):
        return replace(term, weights=(term.weights * node.scale).astype(np.float32), origin=origin)
    if isinstance(node, nodes.Concat) and node.axis == len(shape) - 1 and _is_image(shape, term):
        widths = [value.shape[-1] for value in inputs]
        full = expand_groups(term.weights, term.window.groups)
        before, after = sum(widths[:k]), sum(widths[k + 1 :])
        grown = np.pad(full, ((0, 0), (0, 0), (0, 0), (before, after)))
        return replace(term, weights=grown, window=replace(term.window, groups=1), origin=origin)
    raise _NotAConvolution


def _image(view: NDArray[np.int32]) -> NDArray[np.int32]:
    return view if view.ndim == 3 else view.reshape(1, 1, -1)


def _is_image(shape: Shape, term: Term) -> bool:
    """Whether the value still has the shape that the term's convolution gave it."""
    assert term.weights is not None
    assert term.window is not None
    rows, cols = term.window.positions(*term.view.shape[:2])
    out = (rows, cols, term.weights.shape[3])
    return shape == out or (shape == out[2:] and out[:2] == (1, 1))


def _per_channel(scale: FloatArray, shape: Shape, term: Term) -> bool:
    if scale.size == 1:
        return True
    return scale.shape == shape[-1:] and _is_image(shape, term)


def _conv_term(
    term: Term,
    view: NDArray[np.int32],
    weights: FloatArray,
    window: Window,
    origin: tuple[str, ...],
) -> Term:
    view = np.ascontiguousarray(view)
    return replace(term, view=view, weights=weights, window=window, origin=origin)


def matrix(node: Node, k: int, term: Term, inputs: Sequence[Value]) -> Term:
    """`term` behind `node` as a full matrix, by sending unit vectors through both."""
    sources = np.unique(term.view[term.view >= 0]).astype(np.int32)
    out = prod(node.shape([value.shape for value in inputs]))
    origin = term.origin + node.origin
    if len(sources) * out > MATRIX_LIMIT:
        raise CompileError(
            f"layers {', '.join(origin)} have no neurons between them and "
            f"together are no convolution; as a matrix they would have {len(sources) * out} "
            f"weights, more than {MATRIX_LIMIT}; put a ReLU between them"
        )
    if not len(sources):
        # Cropped away whole; a weight of zero on nothing keeps the shape.
        nothing = np.full((1, 1, 1), -1, np.int32)
        return _conv_term(
            term, nothing, np.zeros((1, 1, 1, out), np.float32), Window((1, 1)), origin
        )
    columns: list[FloatArray] = []
    for start in range(0, len(sources), 256):
        part = sources[start : start + 256]
        value = (term.view[None] == part.reshape(-1, *(1,) * term.view.ndim)).astype(np.float32)
        if term.weights is not None:
            value = compute(node_of(term), [value])
        value = value.reshape(len(part), *inputs[k].shape)
        others = [np.zeros((len(part), *each.shape), np.float32) for each in inputs]
        others[k] = value
        zero = np.zeros((1, *inputs[k].shape), np.float32)
        blank = [zero if j == k else each[:1] for j, each in enumerate(others)]
        columns.append((compute(node, others) - compute(node, blank)).reshape(len(part), out))
    weights = np.concatenate(columns)[None, None]
    view = sources.reshape(1, 1, -1)
    return _conv_term(term, view, weights, Window((1, 1)), origin)


def node_of(term: Term) -> nodes.Conv2d:
    """The term's convolution as a node, without a bias."""
    assert term.weights is not None
    assert term.window is not None
    return term.window.convolution("path", term.weights)


def with_weights(term: Term) -> Term:
    """The term behind a convolution: one with weights of 1 where it has none."""
    if term.weights is not None:
        return term
    view = _image(term.view)
    channels = view.shape[2]
    weights = np.ones((1, 1, 1, channels), np.float32)
    return _conv_term(term, view, weights, Window((1, 1), groups=channels), term.origin)
