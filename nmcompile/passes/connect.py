"""Turn everything between neuron layers into connections."""

from __future__ import annotations

import warnings
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar

import numpy as np

from nmcompile.errors import CompileError
from nmcompile.ir import Network, nodes
from nmcompile.ir.layers import Connection, LayerGraph, NeuronLayer
from nmcompile.ir.nodes import FloatArray, Integrator, Node, ReLU, Spiking
from nmcompile.passes.base import NmcompileWarning, Pass
from nmcompile.passes.terms import (
    Value,
    empty,
    matrix,
    node_of,
    source_value,
    through,
    with_weights,
)


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
        values: dict[str, Value] = {}
        layers: list[NeuronLayer] = []
        connections: list[_Made] = []
        depth = {source.name: -1}
        output = value.outputs[0]
        read: Value | None = None
        for node in value:
            shape = value.shapes[node.name]
            if isinstance(node, nodes.Input):
                values[node.name] = source_value(node.name, shape)
                continue
            if isinstance(node, nodes.Back):
                (term,) = source_value(node.source, shape).terms
                back = replace(term, late=1, back=True, origin=node.origin)
                values[node.name] = Value(shape, (back,), np.zeros(shape, np.float32))
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
                values[node.name] = source_value(node.name, shape)
            elif node is output:
                read = inputs[0]
            else:
                values[node.name] = through(value, node, inputs)
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


def _connections(node: Node, value: Value) -> list[_Made]:
    """Connections into a neuron layer; a bare view becomes weights of one."""
    made = []
    for term in value.terms:
        term = with_weights(term)
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


def _read_out(
    value: Value, layers: Sequence[NeuronLayer]
) -> tuple[tuple[str, ...], FloatArray, FloatArray]:
    """Layers read, one matrix over their neurons, and its bias."""
    sizes = {layer.name: layer.size for layer in layers}
    outputs = prod(value.shape)
    parts: dict[str, FloatArray] = {}
    for term in value.terms:
        full = with_weights(term)
        total = parts.setdefault(term.source, np.zeros((sizes[term.source], outputs), np.float32))
        identity = nodes.Flatten(name="read-out")
        shape = (*node_of(full).shape([full.view.shape]),)
        flat = matrix(identity, 0, full, [empty(shape)])
        assert flat.weights is not None
        total[flat.view.reshape(-1)] += flat.weights[0, 0]
    names = tuple(parts)
    return names, np.concatenate([parts[name] for name in names]), value.bias.reshape(-1)
