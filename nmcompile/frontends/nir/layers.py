"""NIR's nodes without state: weights, windows, and what only changes shapes.

Images are ``(channels, rows, columns)`` in the file, as in PyTorch; `image` lays them out anew.
"""

from __future__ import annotations

import numpy as np

from nmcompile.frontends.layout import Refused, Tensor, plain
from nmcompile.frontends.nir.step import Converter, NirStep
from nmcompile.frontends.step import aligned, same_padding
from nmcompile.ir import nodes
from nmcompile.ir.nodes import NO_PADDING, Node, Padding2d, Pair

#: Share of a step by which a delay may miss a whole number of them.
WHOLE = 1e-3


def linear(step: NirStep) -> Tensor:
    return _product(step, biased=False)


def affine(step: NirStep) -> Tensor:
    return _product(step, biased=True)


def _product(step: NirStep, *, biased: bool) -> Tensor:
    weights = step.parameters.weights("weight", 2)
    if weights.shape[1] != step.x.shape[-1]:
        raise step.parameters.bad(
            f"its weight of shape {weights.shape} does not fit an input of shape {step.x.shape}"
        )
    bias = step.parameters.bias(weights.shape[0]) if biased else None
    return step.product(step.x, weights.T, bias)


def scale(step: NirStep) -> Tensor:
    return step.affine(step.x, step.per_value("scale", step.x), np.zeros(()))


def delay(step: NirStep) -> Tensor:
    """Spikes some steps later; a delay is in seconds."""
    seconds = step.per_value("delay", step.x)
    dt_s = step.context.step_s
    if dt_s is None:
        raise Refused("the file does not say how long a time step is", "give it with --dt")
    steps = np.rint(seconds / dt_s)
    if np.any(seconds < 0) or np.any(np.abs(seconds / dt_s - steps) > WHOLE):
        raise Refused(
            f"its delays of {seconds.min():g} to {seconds.max():g} s are no whole steps of "
            f"{dt_s:g} s",
            "round them, or give the step of the training with --dt",
        )
    node = step.add(nodes.Delay, [step.x.node], steps=aligned(steps, step.x))
    return Tensor(node, step.x.shape, step.x.layout)


def conv(spatial: int) -> Converter:
    """A convolution over one or two axes; one axis becomes an image of one row."""

    def convert(step: NirStep) -> Tensor:
        p = step.parameters
        weights = p.weights("weight", spatial + 2)
        groups = p.whole("groups", 1)[0]
        kernel = weights.transpose(*range(2, spatial + 2), 1, 0)
        kernel = kernel.reshape(*(1,) * (2 - spatial), *kernel.shape)
        stride, dilation = _pair(step, "stride", spatial), _pair(step, "dilation", spatial)
        bias = p.bias(weights.shape[0])
        source, layout = step.image(step.x, spatial, channels_first=True)
        rows, cols, _ = step.builder.shapes[source]
        node = step.add(
            nodes.Conv2d, [source], weights=np.ascontiguousarray(kernel), groups=groups,
            bias=bias if bias.any() else None, stride=stride, dilation=dilation,
            padding=_padding(step, spatial, (rows, cols), kernel.shape[:2], stride, dilation),
        )  # fmt: skip
        return step.tensor(node, layout)

    return convert


def pool(kind: type[Node]) -> Converter:
    """Sums or means over windows; zeros around them count, as in PyTorch."""

    def convert(step: NirStep) -> Tensor:
        size = _pair(step, "kernel_size", 2)
        before = step.parameters.whole("padding", 2, 0)
        padding: Padding2d = ((before[0], before[0]), (before[1], before[1]))
        source, layout = step.image(step.x, 2, channels_first=True)
        if padding != NO_PADDING:
            source = step.add(nodes.Pad2d, [source], "pad", padding=padding)
        node = step.add(kind, [source], size=size, stride=_pair(step, "stride", 2))
        return step.tensor(node, layout)

    return convert


def flatten(step: NirStep) -> Tensor:
    """All axes, or some of them, as one; NIR counts axes without the samples."""
    x, p = step.x, step.parameters
    rank = len(x.shape)
    first, last = (int(p.numbers(key).reshape(-1)[0]) for key in ("start_dim", "end_dim"))
    if not -rank <= first < rank or not -rank <= last < rank or first % rank > last % rank:
        raise Refused(
            f"it flattens axes {first} to {last} of a sample of {rank} axes",
            "flatten all axes, start_dim=0 and end_dim=-1; NIR does not count the samples",
        )
    first, last = first % rank, last % rank
    if (first, last) == (0, rank - 1):
        return step.flattened(x, plain(rank))
    joined = int(np.prod(x.shape[first : last + 1]))
    return step.reshaped(x, (*x.shape[:first], joined, *x.shape[last + 1 :]))


def _pair(step: NirStep, key: str, spatial: int) -> Pair:
    """Numbers for rows and columns; those of one axis are for the columns."""
    found = step.parameters.whole(key, spatial)
    return (1, found[0]) if spatial == 1 else (found[0], found[1])


def _padding(
    step: NirStep, spatial: int, length: Pair, window: Pair, stride: Pair, dilation: Pair
) -> Padding2d:
    """Zeros around, given as numbers or as ``same`` or ``valid``."""
    given = step.parameters.file.value(step.parameters.node.group, "padding", step.parameters.place)
    if isinstance(given, str) and given == "valid":
        return NO_PADDING
    if isinstance(given, str):
        if given != "same":
            raise step.parameters.bad(f"its padding is {given[:20]!r}, not same, valid or numbers")
        if stride != (1, 1):
            raise Refused("its padding is same with a stride", "give the padding in numbers")
        return (
            same_padding(length[0], window[0], 1, dilation[0]),
            same_padding(length[1], window[1], 1, dilation[1]),
        )
    around = step.parameters.whole("padding", spatial, 0)
    rows, cols = (0, around[0]) if spatial == 1 else (around[0], around[1])
    return (rows, rows), (cols, cols)
