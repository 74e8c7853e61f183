"""A connection as the connection processes that Lava has: Conv, or Dense and Sparse with delays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip.discrete import DiscreteConnection
from nmcompile.errors import CompileError
from nmcompile.ir.layers import Connection
from nmcompile.ir.linear import expand_groups
from nmcompile.ir.reference import pad, windows

#: Share of weights other than 0 from which a matrix is written whole.
DENSE = 0.25

Index = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Link:
    """One connection process of Lava.

    Attributes
    ----------
    kind : "conv", "dense" or "sparse"
    source, target : layers
    options : of the process, as plain JSON values; `exponent`, `bits`, `sign_mode` and `delay`
        are those of its synapse format
    arrays : for "conv" and "dense" `weights`, mantissas; for "sparse" `row`, `column`, `weights`
    """

    kind: str
    source: str
    target: str
    options: dict[str, Any]
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)


def lava_links(connection: DiscreteConnection, sizes: dict[str, int]) -> list[Link]:
    """The processes that do what a connection does.

    A convolution over the whole of its source is a Conv; everything else is a matrix, or several
    where two synapses join the same two neurons.

    Parameters
    ----------
    sizes : layer -> neurons

    Raises
    ------
    CompileError
        Weights that Lava's shift by a negative exponent would round in another way.
    """
    link = connection.link
    form = {
        "exponent": int(connection.exponent),
        "bits": int(connection.weight_bits),
        "sign_mode": int(connection.sign_mode),
        "delay": int(connection.delay),
    }
    if connection.exponent < 0 and np.any(link.weights % (1 << -connection.exponent)):
        raise CompileError(
            f"connection {link.name}: its weight exponent is {connection.exponent} and its "
            f"mantissas are no multiples of {1 << -connection.exponent}, so that Lava, which "
            "shifts sums of weights, would round in another way than the chip; build it again"
        )
    if is_convolution(connection, sizes[link.source]):
        return [_convolution(link, form)]
    row, column, weights = synapses(link)
    shape = sizes[link.target], sizes[link.source]
    made = []
    for part in _turns(row, column, shape[1]):
        share = len(part) / max(prod(shape), 1)
        options = {**form, "shape": list(shape)}
        if share >= DENSE:
            whole = np.zeros(shape, np.int16)
            whole[row[part], column[part]] = weights[part]
            made.append(Link("dense", link.source, link.target, options, {"weights": whole}))
        else:
            arrays: dict[str, NDArray[Any]] = {
                "row": row[part].astype(np.int32),
                "column": column[part].astype(np.int32),
                "weights": weights[part].astype(np.int16),
            }
            made.append(Link("sparse", link.source, link.target, options, arrays))
    return made


def is_convolution(connection: DiscreteConnection, neurons: int) -> bool:
    """Whether Lava's Conv can do it: over all of the source in its order, and without delay."""
    link = connection.link
    (top, bottom), (left, right) = link.window.padding
    return (
        link.view.size == neurons
        and np.array_equal(link.view.reshape(-1), np.arange(neurons))
        and prod(link.view.shape[:2]) > 1
        and (top, left) == (bottom, right)
        and min(top, left) >= 0
        and not connection.delay
    )


def _convolution(link: Connection, form: dict[str, Any]) -> Link:
    """As Conv takes it: (channels out, rows, columns, channels in), flipped in space."""
    window = link.window
    weights = link.weights[::-1, ::-1].transpose(3, 0, 1, 2)
    options = {
        **form,
        "input_shape": list(link.view.shape),
        "stride": list(window.stride),
        "padding": [window.padding[0][0], window.padding[1][0]],
        "dilation": list(window.dilation),
        "groups": window.groups,
    }
    arrays = {"weights": np.ascontiguousarray(weights, np.int16)}
    return Link("conv", link.source, link.target, options, arrays)


def synapses(link: Connection) -> tuple[Index, Index, Index]:
    """Target, source and mantissa of all synapses whose mantissa is not 0."""
    sources = _sources(link)
    kernel = expand_groups(link.weights.astype(np.int64), link.window.groups)
    rows, columns, channels = link.out_shape
    # (rows * columns, kernel rows, kernel columns, channels in), against the channels out.
    number = np.arange(rows * columns, dtype=np.int64)
    used = [np.nonzero(kernel[..., k]) for k in range(channels)]
    parts: list[tuple[Index, Index, Index]] = []
    for k, place in enumerate(used):
        source = sources[:, place[0], place[1], place[2]]
        target = np.broadcast_to((number * channels + k)[:, None], source.shape)
        weight = np.broadcast_to(kernel[(*place, k)], source.shape)
        there = source >= 0
        parts.append((target[there], source[there], weight[there]))
    target, source, weight = (np.concatenate(each) for each in zip(*parts, strict=True))
    return target, source, weight


def fan_out(link: Connection, neurons: int) -> Index:
    """(neurons,) synapses whose mantissa is not 0, of each source neuron."""
    sources = _sources(link)
    kernel = expand_groups(link.weights, link.window.groups)
    count = np.broadcast_to((kernel != 0).sum(axis=3), sources.shape)
    there = sources >= 0
    total = np.bincount(sources[there], count[there], minlength=neurons)
    return total.astype(np.int64)


def _sources(link: Connection) -> Index:
    """(places, kernel rows, kernel columns, channels) source neuron, -1 for none."""
    window = link.window
    view = pad(link.view[None].astype(np.int64) + 1, window.padding)
    patches = windows(view, window.kernel, window.stride, window.dilation)[0] - 1
    # From (rows, columns, channels, kernel rows, kernel columns).
    return patches.transpose(0, 1, 3, 4, 2).reshape(-1, *window.kernel, link.view.shape[2])


def _turns(row: Index, column: Index, sources: int) -> Iterator[Index]:
    """Numbers of synapses, in turns that have at most one between the same two neurons."""
    if not len(row):
        yield np.zeros(0, np.int64)
        return
    order = np.argsort(row * sources + column, kind="stable")
    key = (row * sources + column)[order]
    start = np.r_[True, key[1:] != key[:-1]]
    first = np.maximum.accumulate(np.where(start, np.arange(len(key)), 0))
    turn = np.arange(len(key)) - first
    for k in range(int(turn.max()) + 1):
        yield np.sort(order[turn == k])
