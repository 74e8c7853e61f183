"""Float evaluation of a network in NumPy: the yardstick that the chip is held to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import singledispatch
from math import prod

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from nmcompile.errors import DataError, VerifyError
from nmcompile.ir import nodes
from nmcompile.ir.network import Network
from nmcompile.ir.nodes import FloatArray, Node

#: Numbers that a batch may unfold to.
UNFOLDED = 1 << 26


def evaluate(
    network: Network, x: FloatArray, *, keep: Iterable[str] = (), batch: int = 256
) -> dict[str, FloatArray]:
    """Run the network on samples.

    A recurrent network has no value without time: then these are means over some steps in which
    the input stays as it is (`over_time.SETTLING`).

    Parameters
    ----------
    network : with ReLUs, not spikes
    x : (samples, *sample shape) float32
    keep : names of the nodes whose values to return, besides the outputs
    batch : samples computed at a time, and fewer where convolutions unfold to very much

    Returns
    -------
    node name -> (samples, *shape) float32, for every output and every kept node

    Raises
    ------
    DataError
        Where `x` does not have the network's input shape.
    """
    shape = network.sample_shape
    if x.shape[1:] != shape:
        raise DataError(f"samples have shape {x.shape[1:]}, the network takes {shape}")
    if network.recurrent:
        from nmcompile.ir.over_time import settled

        return settled(network, x, [*keep, *(node.name for node in network.outputs)], batch)
    wanted = {*keep, *(node.name for node in network.outputs)}
    pieces: dict[str, list[FloatArray]] = {name: [] for name in wanted}
    batch = int(np.clip(UNFOLDED // _unfolded(network), 1, batch))
    for start in range(0, len(x), batch):
        chunk = np.asarray(x[start : start + batch], dtype=np.float32)
        for name, value in _evaluate_batch(network, chunk, wanted).items():
            pieces[name].append(value)
    return {
        name: np.concatenate(parts)
        if parts
        else np.zeros((0, *network.shapes[name]), dtype=np.float32)
        for name, parts in pieces.items()
    }


def _unfolded(network: Network) -> int:
    """Numbers that the largest layer works on for one sample."""
    sizes = [1]
    for node in network:
        size = prod(network.shapes[node.name])
        if isinstance(node, nodes.Conv2d):
            size = size // node.weights.shape[3] * node.weights[..., 0].size * node.groups
        sizes.append(size)
    return max(sizes)


def _evaluate_batch(network: Network, x: FloatArray, wanted: set[str]) -> dict[str, FloatArray]:
    waiting = {name: len(readers) for name, readers in network.consumers.items()}
    given = input_values(network, x)
    values: dict[str, FloatArray] = {}
    result: dict[str, FloatArray] = {}
    for node in network:
        sources = [values[name] for name in node.inputs]
        value = given[node.name] if isinstance(node, nodes.Input) else compute(node, sources)
        values[node.name] = value
        if node.name in wanted:
            result[node.name] = value
        for name in node.inputs:
            waiting[name] -= 1
            if not waiting[name]:
                values.pop(name, None)
    return result


def input_values(network: Network, x: FloatArray) -> dict[str, FloatArray]:
    """Input -> (samples, *shape), from (samples, *sample shape)."""
    if len(network.inputs) == 1:
        return {network.inputs[0].name: x}
    sizes = [prod(node.size) for node in network.inputs]
    parts = np.split(x, np.cumsum(sizes)[:-1], axis=1)
    return {
        node.name: part.reshape(len(x), *node.size)
        for node, part in zip(network.inputs, parts, strict=True)
    }


@singledispatch
def compute(node: Node, inputs: Sequence[FloatArray]) -> FloatArray:
    """Value of one node from the values of its inputs, each (samples, *shape) float32."""
    raise VerifyError(f"layer {node.name!r}: {type(node).__name__} has no float value")


@compute.register
def _(node: nodes.Conv2d, inputs: Sequence[FloatArray]) -> FloatArray:
    x = pad(inputs[0], node.padding)
    kh, kw, per_group, out = node.weights.shape
    views = windows(x, (kh, kw), node.stride, node.dilation)
    samples, rows, cols = views.shape[:3]
    if node.groups == 1:
        patches = views.transpose(0, 1, 2, 4, 5, 3).reshape(-1, kh * kw * per_group)
        y = patches @ node.weights.reshape(-1, out)
        y = y.reshape(samples, rows, cols, out)
    else:
        split = views.reshape(samples, rows, cols, node.groups, per_group, kh, kw)
        kernel = node.weights.reshape(kh, kw, per_group, node.groups, out // node.groups)
        y = np.einsum("nrcgpij,ijpgo->nrcgo", split, kernel, optimize=True)
        y = y.reshape(samples, rows, cols, out)
    return y if node.bias is None else y + node.bias


@compute.register
def _(node: nodes.Dense, inputs: Sequence[FloatArray]) -> FloatArray:
    y = inputs[0] @ node.weights
    return y if node.bias is None else y + node.bias


@compute.register
def _(node: nodes.SumPool2d, inputs: Sequence[FloatArray]) -> FloatArray:
    x = pad(inputs[0], node.padding)
    views = windows(x, node.size, node.stride, (1, 1))
    return views.sum(axis=(-2, -1), dtype=np.float32)


@compute.register
def _(node: nodes.AvgPool2d, inputs: Sequence[FloatArray]) -> FloatArray:
    ones = np.ones((1, *inputs[0].shape[1:3], 1), dtype=np.float32)
    total, count = (
        windows(pad(value, node.padding), node.size, node.stride, (1, 1)).sum(
            axis=(-2, -1), dtype=np.float32
        )
        for value in (inputs[0], ones)
    )
    return total / count


@compute.register
def _(node: nodes.Affine, inputs: Sequence[FloatArray]) -> FloatArray:
    return inputs[0] * node.scale + node.shift


@compute.register
def _(node: nodes.ReLU, inputs: Sequence[FloatArray]) -> FloatArray:
    return np.clip(inputs[0], 0, node.max_value)


@compute.register
def _(node: nodes.Spiking, inputs: Sequence[FloatArray]) -> FloatArray:
    if not node.own:
        return np.clip(inputs[0], 0, node.max_value)
    drive = inputs[0]
    if node.registers is not None:
        drive = drive / np.float32(node.registers.lost_u)
    if node.bias is not None:
        drive = drive + node.bias
    return firing_rate(drive, node.threshold, node.leak, node.pause) * node.amplitude


def firing_rate(drive: FloatArray, threshold: float, leak: float, pause: int) -> FloatArray:
    """Spikes per step of neurons that a constant drive charges and a spike sets to zero.

    The voltage reaches ``drive * (1 - (1 - leak)**n) / leak`` in n steps; the first n at which
    it is strictly above the threshold, and the pause behind it, are the time between spikes.

    Parameters
    ----------
    drive : input per step, of any shape, in units of the threshold
    leak : share of the voltage that is lost in a step
    pause : steps after a spike in which the voltage stays zero
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = threshold / np.where(drive > leak * threshold, drive, np.float32(np.nan))
        steps = np.log1p(-leak * needed) / np.log1p(-leak) if leak else needed
        rate = 1 / (np.floor(steps) + (1 + pause))
    return np.nan_to_num(rate.astype(np.float32), nan=0.0)


@compute.register
def _(node: nodes.Softmax, inputs: Sequence[FloatArray]) -> FloatArray:
    powers = np.exp(inputs[0] - inputs[0].max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


@compute.register(nodes.Output)
@compute.register(nodes.Integrator)
@compute.register(nodes.Delay)
@compute.register(nodes.Leaky)
def _(node: Node, inputs: Sequence[FloatArray]) -> FloatArray:
    return inputs[0]


@compute.register
def _(node: nodes.Add, inputs: Sequence[FloatArray]) -> FloatArray:
    total = inputs[0]
    for value in inputs[1:]:
        total = total + value
    return total


@compute.register(nodes.Flatten)
@compute.register(nodes.Reshape)
@compute.register(nodes.Transpose)
@compute.register(nodes.Pad2d)
@compute.register(nodes.Concat)
def _(node: Node, inputs: Sequence[FloatArray]) -> FloatArray:
    return move(node, inputs, 0)


def move(node: Node, inputs: Sequence[np.ndarray], fill: float) -> np.ndarray:
    """Apply a node that only moves numbers about to arrays with a leading sample axis.

    The same function serves values and the indices of the neurons they come from;
    `fill` is what padding holds.
    """
    x = inputs[0]
    if isinstance(node, nodes.Flatten):
        return x.reshape(len(x), -1)
    if isinstance(node, nodes.Reshape):
        return x.reshape(len(x), *node.size)
    if isinstance(node, nodes.Transpose):
        return x.transpose(0, *(axis + 1 for axis in node.axes))
    if isinstance(node, nodes.Pad2d):
        return pad(x, node.padding, fill)
    if isinstance(node, nodes.Concat):
        return np.concatenate(inputs, axis=node.axis + 1)
    raise VerifyError(f"layer {node.name!r}: {type(node).__name__} does more than move numbers")


def pad(x: np.ndarray, padding: nodes.Padding2d, fill: float = 0) -> np.ndarray:
    """Pad rows and columns of (samples, rows, columns, channels); negative values crop."""
    (top, bottom), (left, right) = padding
    rows, cols = x.shape[1:3]
    x = x[
        :,
        max(0, -top) : rows - max(0, -bottom),
        max(0, -left) : cols - max(0, -right),
    ]
    grown = ((0, 0), (max(0, top), max(0, bottom)), (max(0, left), max(0, right)), (0, 0))
    if any(n for pair in grown for n in pair):
        x = np.pad(x, grown, constant_values=fill)
    return x


def windows(
    x: np.ndarray, size: nodes.Pair, stride: nodes.Pair, dilation: nodes.Pair
) -> np.ndarray:
    """(samples, rows, columns, channels, kernel rows, kernel columns) view of all windows."""
    span = tuple((k - 1) * d + 1 for k, d in zip(size, dilation, strict=True))
    view = sliding_window_view(x, span, axis=(1, 2))
    return view[:, :: stride[0], :: stride[1], :, :: dilation[0], :: dilation[1]]
