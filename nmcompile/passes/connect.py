"""Turn everything between neuron layers into connections."""

from __future__ import annotations

import warnings
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nmcompile.errors import CompileError
from nmcompile.ir import Network, nodes
from nmcompile.ir.layers import Connection, LayerGraph, NeuronLayer, Window
from nmcompile.ir.linear import expand_groups
from nmcompile.ir.nodes import FloatArray, Integrator, Node, ReLU, Shape, Spiking
from nmcompile.ir.reference import compute, move
from nmcompile.passes.base import NmcompileWarning, Pass

#: A path that no convolution expresses becomes a matrix of at most so many weights.
MATRIX_LIMIT = 1 << 26


@dataclass(frozen=True, eq=False)
class _Term:
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
class _Value:
    """What a node computes, as the sum of its terms and a constant of `shape`."""

    shape: Shape
    terms: tuple[_Term, ...]
    bias: FloatArray


class _NotAConvolution(Exception):
    """This path needs a matrix."""


@dataclass(frozen=True)
class Connect(Pass[Network, LayerGraph]):
    """Reads the split network with its rates; makes layers, connections and the read-out.

    Views gather what padding, cropping, reshaping, transposing and concatenation move about,
    so these cost nothing. A path that is no single convolution over a view becomes a matrix.
    """

    name: ClassVar[str] = "connect"
    purpose: ClassVar[str] = "turn everything between neuron layers into connections"

    def run(self, value: Network) -> LayerGraph:
        source = value.inputs[0]
        values: dict[str, _Value] = {}
        layers: list[NeuronLayer] = []
        connections: list[_Made] = []
        depth = {source.name: -1}
        output = value.outputs[0]
        read: _Value | None = None
        for node in value:
            shape = value.shapes[node.name]
            if isinstance(node, nodes.Input):
                values[node.name] = _source_value(node.name, shape)
                continue
            if isinstance(node, nodes.Back):
                (term,) = _source_value(node.source, shape).terms
                back = replace(term, late=1, back=True, origin=node.origin)
                values[node.name] = _Value(shape, (back,), np.zeros(shape, np.float32))
                continue
            inputs = [values[name] for name in node.inputs]
            if isinstance(node, (ReLU, Spiking, Integrator)):
                made = _connections(node, inputs[0])
                depth[node.name] = 1 + max((depth[c.source] for c in made if not c.back), default=0)
                connections.extend(made)
                bias = inputs[0].bias
                if isinstance(node, Spiking) and node.bias is not None:
                    bias, node = bias + node.bias, replace(node, bias=None)
                layers.append(
                    NeuronLayer(
                        name=node.name,
                        shape=shape,
                        neuron=node,
                        bias=np.ascontiguousarray(bias.reshape(-1)),
                        place=value.place[node.name],
                        depth=depth[node.name],
                        origin=node.origin,
                    )
                )
                values[node.name] = _source_value(node.name, shape)
            elif node is output:
                read = inputs[0]
            else:
                values[node.name] = _through(value, node, inputs)
        assert read is not None
        read_layers, read_weights, read_bias = _read_out(read, layers)
        places = {layer.name: layer.place for layer in layers}
        for name in read_layers:
            if places[name] != "chip":
                raise CompileError(
                    f"the output reads layer {name!r}, which is not on the chip, past the layers "
                    "that are; put a ReLU before the last layer, or use --readout chip"
                )
        offset = _encoder_depth(layers)
        own = {node.name for node in value if isinstance(node, Spiking) and node.own}
        return LayerGraph(
            name=value.name,
            dt_s=value.dt_s,
            input_name=source.name,
            input_shape=source.size,
            layers=tuple(replace(layer, depth=layer.depth - offset) for layer in layers),
            connections=tuple(each.connection(depth, own) for each in connections),
            read_layers=read_layers,
            read_weights=read_weights,
            read_bias=read_bias,
        )

    def changes(self, before: Network, after: LayerGraph) -> str:
        return f"{len(after.layers)} layers, {len(after.connections)} connections"


def _encoder_depth(layers: Sequence[NeuronLayer]) -> int:
    return max(layer.depth for layer in layers if layer.place == "host_in")


def _source_value(name: str, shape: Shape) -> _Value:
    view = np.arange(prod(shape), dtype=np.int32).reshape(shape)
    return _Value(shape, (_Term(name, view),), np.zeros(shape, np.float32))


def _through(network: Network, node: Node, inputs: Sequence[_Value]) -> _Value:
    """The value behind one node, as convolutions, or else as matrices."""
    shape = network.shapes[node.name]
    bias = compute(node, [value.bias[None] for value in inputs])[0]
    if isinstance(node, nodes.Add):
        return _Value(shape, tuple(term for value in inputs for term in value.terms), bias)
    if isinstance(node, nodes.Delay):
        late = tuple(part for term in inputs[0].terms for part in _delayed(node, term, shape))
        return _Value(shape, late, bias)
    terms: list[_Term] = []
    for k, value in enumerate(inputs):
        for term in value.terms:
            try:
                terms.append(_apply(node, k, term, inputs))
            except _NotAConvolution:
                terms.append(_matrix(node, k, term, inputs))
    return _Value(shape, tuple(terms), bias)


def _delayed(node: nodes.Delay, term: _Term, shape: Shape) -> Iterator[_Term]:
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
            term = _matrix(nodes.Flatten(name=node.name), 0, term, [_empty(shape)])
            each = steps.reshape(-1)
    for n in different:
        part = replace(term, late=term.late + n, origin=origin)
        if len(different) == 1:
            yield part
        elif term.weights is None:
            yield replace(part, view=np.where(steps == n, term.view, -1).astype(np.int32))
        else:
            yield replace(part, weights=np.where(each == n, term.weights, np.float32(0)))


def _empty(shape: Shape) -> _Value:
    return _Value(shape, (), np.zeros(shape, np.float32))


def _apply(node: Node, k: int, term: _Term, inputs: Sequence[_Value]) -> _Term:
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


def _is_image(shape: Shape, term: _Term) -> bool:
    """Whether the value still has the shape that the term's convolution gave it."""
    assert term.weights is not None
    assert term.window is not None
    rows, cols = term.window.positions(*term.view.shape[:2])
    out = (rows, cols, term.weights.shape[3])
    return shape == out or (shape == out[2:] and out[:2] == (1, 1))


def _per_channel(scale: FloatArray, shape: Shape, term: _Term) -> bool:
    if scale.size == 1:
        return True
    return scale.shape == shape[-1:] and _is_image(shape, term)


def _conv_term(
    term: _Term,
    view: NDArray[np.int32],
    weights: FloatArray,
    window: Window,
    origin: tuple[str, ...],
) -> _Term:
    view = np.ascontiguousarray(view)
    return replace(term, view=view, weights=weights, window=window, origin=origin)


def _matrix(node: Node, k: int, term: _Term, inputs: Sequence[_Value]) -> _Term:
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
            value = compute(_node_of(term), [value])
        value = value.reshape(len(part), *inputs[k].shape)
        others = [np.zeros((len(part), *each.shape), np.float32) for each in inputs]
        others[k] = value
        zero = np.zeros((1, *inputs[k].shape), np.float32)
        blank = [zero if j == k else each[:1] for j, each in enumerate(others)]
        columns.append((compute(node, others) - compute(node, blank)).reshape(len(part), out))
    weights = np.concatenate(columns)[None, None]
    view = sources.reshape(1, 1, -1)
    return _conv_term(term, view, weights, Window((1, 1)), origin)


def _node_of(term: _Term) -> nodes.Conv2d:
    assert term.weights is not None
    assert term.window is not None
    window = term.window
    return nodes.Conv2d(
        name="path",
        weights=term.weights,
        stride=window.stride,
        padding=window.padding,
        dilation=window.dilation,
        groups=window.groups,
    )


@dataclass(frozen=True, eq=False)
class _Made:
    """A connection before all layers' places in the pipeline are known."""

    source: str
    target: str
    back: bool
    late: int
    link: Connection

    def connection(self, depth: Mapping[str, int], own: Container[str]) -> Connection:
        """The connection with its synaptic delay.

        In the network a spike passes all layers in one step, on the chip it takes one for each.
        So the model's own neurons, which remember, see the chip's inputs as many steps later as
        they lie deep; paths that are shorter are delayed to keep pace.
        """
        ahead = depth[self.target] - depth[self.source] - 1 if self.target in own else -self.back
        delay = self.late + ahead
        if delay < 0:
            warnings.warn(
                f"the spikes of layer {self.source!r} come back to {self.target!r} {-delay} "
                "step(s) later on the chip than in the model, for each layer takes a step; train "
                "with the loop around one layer, or with a delay in it",
                NmcompileWarning,
                stacklevel=4,
            )
        return replace(self.link, delay=max(delay, 0))


def _connections(node: Node, value: _Value) -> list[_Made]:
    """Connections into a neuron layer; a bare view becomes weights of one."""
    made = []
    for term in value.terms:
        term = _with_weights(term)
        assert term.weights is not None
        assert term.window is not None
        link = Connection(
            source=term.source,
            target=node.name,
            view=term.view,
            weights=term.weights,
            window=term.window,
            origin=term.origin,
        )
        made.append(_Made(term.source, node.name, term.back, term.late, link))
    return made


def _with_weights(term: _Term) -> _Term:
    if term.weights is not None:
        return term
    view = _image(term.view)
    channels = view.shape[2]
    weights = np.ones((1, 1, 1, channels), np.float32)
    return _conv_term(term, view, weights, Window((1, 1), groups=channels), term.origin)


def _read_out(
    value: _Value, layers: Sequence[NeuronLayer]
) -> tuple[tuple[str, ...], FloatArray, FloatArray]:
    """Layers read, one matrix over their neurons, and its bias."""
    sizes = {layer.name: layer.size for layer in layers}
    outputs = prod(value.shape)
    parts: dict[str, FloatArray] = {}
    for term in value.terms:
        full = _with_weights(term)
        total = parts.setdefault(term.source, np.zeros((sizes[term.source], outputs), np.float32))
        identity = nodes.Flatten(name="read-out")
        shape = (*_node_of(full).shape([full.view.shape]),)
        flat = _matrix(identity, 0, full, [_empty(shape)])
        assert flat.weights is not None
        total[flat.view.reshape(-1)] += flat.weights[0, 0]
    names = tuple(parts)
    return names, np.concatenate([parts[name] for name in names]), value.bias.reshape(-1)
