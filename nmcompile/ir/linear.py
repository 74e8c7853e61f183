"""Algebra of convolutions: what two linear layers in a row amount to."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nmcompile.ir.nodes import AvgPool2d, Conv2d, FloatArray, Pad2d, Pool2d, Shape, SumPool2d


def expand_groups(weights: FloatArray, groups: int) -> FloatArray:
    """The same kernel with one group: (kh, kw, channels in, channels out), zeros between groups."""
    kh, kw, per_group, out = weights.shape
    full = np.zeros((kh, kw, per_group * groups, out), dtype=weights.dtype)
    step = out // groups
    for g in range(groups):
        rows, cols = slice(g * per_group, (g + 1) * per_group), slice(g * step, (g + 1) * step)
        full[:, :, rows, cols] = weights[:, :, :, cols]
    return full


def pool_as_conv(node: Pool2d, shape: Shape) -> Conv2d | None:
    """The depthwise convolution that equals a pooling layer on inputs of `shape`.

    None where there is none: an average whose windows hold different numbers of elements.
    """
    channels = shape[2]
    weight = 1.0
    if isinstance(node, AvgPool2d):
        if _padding_is_read(node, shape):
            return None
        weight = 1.0 / (node.size[0] * node.size[1])
    assert isinstance(node, (AvgPool2d, SumPool2d))
    return Conv2d(
        name=node.name,
        inputs=node.inputs,
        origin=node.origin,
        weights=np.full((*node.size, 1, channels), weight, dtype=np.float32),
        stride=node.stride,
        padding=node.padding,
        groups=channels,
    )


def _padding_is_read(node: Pool2d, shape: Shape) -> bool:
    out = node.shape([shape])
    for axis in (0, 1):
        before = node.padding[axis][0]
        last = (out[axis] - 1) * node.stride[axis] - before + node.size[axis] - 1
        if before > 0 or last >= shape[axis]:
            return True
    return False


@dataclass(frozen=True, eq=False)
class Composed:
    """Two convolutions as one, with a crop of the input where it must be exact at the edge."""

    crop: Pad2d | None
    conv: Conv2d


def compose(first: Conv2d, second: Conv2d, shape: Shape) -> Composed | None:
    """One convolution equal to `first` (without bias) and then `second`.

    Parameters
    ----------
    shape : (rows, columns, channels) that `first` reads

    Returns
    -------
    The result takes `second`'s name and bias and `first`'s input, or is None where no single
    convolution is equal: where `second` pads with zeros what `first` would not give as zero.
    """
    middle = first.shape([shape])
    out = second.shape([middle])
    padding: list[tuple[int, int]] = []
    crop: list[tuple[int, int]] = []
    spans: list[int] = []
    strides: list[int] = []
    for axis in (0, 1):
        span = (first.weights.shape[axis] - 1) * first.dilation[axis] + 1
        step, before = first.stride[axis], first.padding[axis][0]
        size = shape[axis]
        used = (middle[axis] - 1) * step - before + span
        top, bottom = second.padding[axis]
        cut = 0
        if bottom > 0:
            cut = max(0, size - used)
            if middle[axis] * step - before < size - cut:
                return None
        if top > 0 and -step - before + span > 0:
            return None
        reach = (second.weights.shape[axis] - 1) * second.dilation[axis] * step + span
        stride = step * second.stride[axis]
        lead = top * step + before
        tail = (out[axis] - 1) * stride + reach - (size - cut) - lead
        padding.append((lead, tail))
        crop.append((0, -cut))
        spans.append(reach)
        strides.append(stride)
    weights, groups = _compose_kernels(first, second, (spans[0], spans[1]))
    conv = replace(
        second,
        weights=weights,
        stride=(strides[0], strides[1]),
        padding=(padding[0], padding[1]),
        dilation=(1, 1),
        groups=groups,
        inputs=first.inputs,
        origin=first.origin + second.origin,
    )
    if crop == [(0, 0), (0, 0)]:
        return Composed(None, conv)
    edge = Pad2d(
        name=f"{first.name}/crop",
        inputs=first.inputs,
        origin=first.origin,
        padding=(crop[0], crop[1]),
    )
    return Composed(edge, replace(conv, inputs=(edge.name,)))


def _compose_kernels(
    first: Conv2d, second: Conv2d, spans: tuple[int, int]
) -> tuple[FloatArray, int]:
    """Kernel and groups of the composition, with dilation 1."""
    a, b = first.weights, second.weights
    channels = a.shape[2] * first.groups
    out = b.shape[3]
    if first.groups == channels == a.shape[3]:
        groups, per_group = second.groups, b.shape[2]
        # channel that weight (c, o) of the second kernel reads
        reads = (np.arange(out) // (out // groups)) * per_group + np.arange(per_group)[:, None]
    else:
        groups, per_group, reads = 1, channels, None
        a, b = expand_groups(a, first.groups), expand_groups(b, second.groups)
    weights = np.zeros((*spans, per_group, out), dtype=np.float64)
    for i in range(b.shape[0]):
        for j in range(b.shape[1]):
            row = i * second.dilation[0] * first.stride[0]
            col = j * second.dilation[1] * first.stride[1]
            for k in range(a.shape[0]):
                for m in range(a.shape[1]):
                    place = (row + k * first.dilation[0], col + m * first.dilation[1])
                    if reads is None:
                        weights[place] += a[k, m].astype(np.float64) @ b[i, j]
                    else:
                        weights[place] += a[k, m, 0, reads].astype(np.float64) * b[i, j]
    return weights.astype(np.float32), groups
