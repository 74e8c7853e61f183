"""A network in a form in which two tools' versions of it are alike: only layers that compute.

What moves numbers about (reshaping, transposing, padding, joining) is no layer here. Each layer
says instead which values of which other layers it reads, and values are numbered alike wherever
they lie: those of a layer that works value by value like those that it reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.ir import Network, nodes
from nmcompile.ir.linear import expand_groups
from nmcompile.ir.nodes import NO_PADDING, FloatArray, Node, Shape
from nmcompile.ir.reference import move

View = NDArray[np.int64]
#: A value by number: its layer, counted in the network's order, times this, and its place there.
STRIDE = 1 << 40
#: Layers that work value by value, so that the order of values does not matter to them.
BY_VALUE = (nodes.ReLU, nodes.Spiking, nodes.Integrator, nodes.Output)
#: Nodes whose arrays broadcast against the value that they change.
_BROADCAST = ("Affine", "Delay")
#: Fields of a node that say what it is called, or name others, not what it computes.
_NAMES = {"name", "inputs", "origin", "source"}


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer that computes.

    Attributes
    ----------
    node : in the network
    kind : for matching; all that have weights are of one kind, all that fire of another
    shape : of its result, as the network has it
    sources : names of the layers that it reads, each once
    views : for each of its inputs, the numbers of the values that it reads; -1 is a zero
    order : (values,) place in the network's array of each value
    options : what it is set to, by name
    arrays : its numbers by name; ``weights`` and ``bias`` among them
    """

    node: Node
    kind: str
    shape: Shape
    sources: tuple[str, ...]
    views: tuple[View, ...]
    order: NDArray[np.intp]
    options: Mapping[str, Any]
    arrays: Mapping[str, FloatArray]

    @property
    def name(self) -> str:
        """The node's name, or the model's layers that it was folded from."""
        origin = tuple(dict.fromkeys(self.node.origin))
        return "+".join(origin) if len(origin) > 1 else self.node.name


def canonical_layers(
    network: Network, input_order: NDArray[np.intp] | None = None
) -> dict[str, Layer]:
    """Name of its node -> layer, in the network's order.

    Parameters
    ----------
    input_order : (values,) for each value of the other network's input, its place in this one's
    """
    views: dict[str, View] = {}
    layers: dict[str, Layer] = {}
    names: list[str] = []
    for node in network:
        inputs = [views[name] for name in node.inputs]
        shape = network.shapes[node.name]
        if isinstance(node, nodes.MOVES):
            views[node.name] = move(node, [view[None] for view in inputs], -1)[0]
            continue
        sources = tuple(dict.fromkeys(names[k] for view in inputs for k in _layers_of(view)))
        layer = _layer(node, shape, sources, inputs)
        if isinstance(node, nodes.Input) and input_order is not None:
            layer = replace(layer, order=input_order)
        layers[node.name] = layer
        place = np.empty(layer.order.size, np.int64)
        place[layer.order] = np.arange(layer.order.size)
        views[node.name] = (place + STRIDE * len(names)).reshape(shape)
        names.append(node.name)
    return layers


def _layers_of(view: View) -> list[int]:
    """Numbers of the layers that a view reads, in the order in which they come."""
    found, first = np.unique(view[view >= 0] // STRIDE, return_index=True)
    return [int(k) for k in found[np.argsort(first)]]


def _layer(node: Node, shape: Shape, sources: tuple[str, ...], inputs: list[View]) -> Layer:
    plain = Layer(
        node, type(node).__name__, shape, sources, tuple(inputs),
        np.arange(int(np.prod(shape)), dtype=np.intp), _options(node), _arrays(node),
    )  # fmt: skip
    if isinstance(node, nodes.Input):
        return replace(plain, options={"values": plain.order.size})
    if isinstance(node, nodes.Dense):
        return _with_weights(plain, inputs[0], node.weights, node.bias, {})
    if isinstance(node, nodes.Conv2d):
        return _convolution(plain, node, inputs[0])
    if isinstance(node, nodes.Pool2d):
        return _pooling(plain, node, inputs[0])
    if plain.kind in _BROADCAST:
        whole = {key: np.broadcast_to(value, shape) for key, value in plain.arrays.items()}
        return _by_value(replace(plain, arrays=whole))
    if isinstance(node, BY_VALUE):
        fires = isinstance(node, (nodes.ReLU, nodes.Spiking, nodes.Integrator))
        made = replace(plain, kind="neurons" if fires else plain.kind)
        return made if isinstance(node, nodes.Output) and len(shape) == 1 else _by_value(made)
    return _by_value(plain) if isinstance(node, nodes.Add) else plain


def _by_value(layer: Layer) -> Layer:
    """The layer with its values in the order of those that it reads, where they are one layer's."""
    first = layer.views[0].reshape(-1)
    order = np.argsort(first, kind="stable")
    inner = first[order]
    whole = inner[0] >= 0 and inner[-1] - inner[0] == inner.size - 1
    aligned = all(
        np.array_equal(view.reshape(-1) % STRIDE, first % STRIDE) for view in layer.views[1:]
    )
    if not whole or not aligned or inner[0] % STRIDE or np.any(np.diff(inner) != 1):
        return layer
    return replace(
        layer,
        views=tuple(view.reshape(-1)[order] for view in layer.views),
        order=order,
        arrays={key: value.reshape(-1)[order] for key, value in layer.arrays.items()},
    )


def _convolution(layer: Layer, node: nodes.Conv2d, view: View) -> Layer:
    """A convolution without padding; one with a single place is a dense layer."""
    view = _padded(view, node.padding)
    kernel, out = node.weights.shape[:2], layer.shape[:2]
    view = _used(view, kernel, out, node.stride, node.dilation)
    if out == (1, 1):
        seen = view[:: node.dilation[0], :: node.dilation[1]]
        full = expand_groups(node.weights, node.groups)
        return _with_weights(layer, seen, full.reshape(-1, full.shape[-1]), node.bias, {})
    options = {
        "stride": _along(node.stride, out),
        "dilation": _along(node.dilation, kernel),
        "groups": node.groups,
    }
    return _with_weights(layer, view, node.weights, node.bias, options)


def _pooling(layer: Layer, node: nodes.Pool2d, view: View) -> Layer:
    mean = isinstance(node, nodes.AvgPool2d)
    padding = node.padding if mean else NO_PADDING
    if not mean:
        view = _padded(view, node.padding)
    if padding == NO_PADDING:
        view = _used(view, node.size, layer.shape[:2], node.stride, (1, 1))
    options = {"size": node.size, "stride": _along(node.stride, layer.shape[:2])}
    return replace(layer, views=(view,), options={**options, "padding": padding})


def _padded(view: View, padding: nodes.Padding2d) -> View:
    pad = nodes.Pad2d(name="pad", padding=padding)
    return np.asarray(move(pad, [view[None]], -1)[0])


def _used(view: View, kernel: Shape, out: Shape, stride: nodes.Pair, dilation: nodes.Pair) -> View:
    """The rows and columns that windows reach."""
    rows, cols = (
        (n - 1) * step + (k - 1) * apart + 1
        for n, k, step, apart in zip(out, kernel, stride, dilation, strict=True)
    )
    return view[:rows, :cols]


def _along(steps: nodes.Pair, count: Shape) -> nodes.Pair:
    """Steps between places, 1 where there is one place only."""
    rows, cols = (step if n > 1 else 1 for step, n in zip(steps, count, strict=True))
    return rows, cols


def _with_weights(
    layer: Layer, view: View, weights: FloatArray, bias: FloatArray | None, options: dict[str, Any]
) -> Layer:
    """A layer of weights; without a bias it is zero, and what reads zeros does not count."""
    if weights.ndim == 2:
        view = view.reshape(-1)
        view, weights = view[view >= 0], weights[view >= 0]
    outputs = int(weights.shape[-1])
    return replace(
        layer,
        kind="weights",
        views=(view,),
        options=options,
        arrays={
            "weights": weights,
            "bias": np.zeros(outputs, np.float32) if bias is None else bias,
        },
    )


def _options(node: Node) -> dict[str, Any]:
    found = {field.name: getattr(node, field.name) for field in fields(node)}
    return {
        key: value for key, value in found.items()
        if key not in _NAMES and not isinstance(value, np.ndarray)
    }  # fmt: skip


def _arrays(node: Node) -> dict[str, FloatArray]:
    found = {field.name: getattr(node, field.name) for field in fields(node)}
    return {key: value for key, value in found.items() if isinstance(value, np.ndarray)}
