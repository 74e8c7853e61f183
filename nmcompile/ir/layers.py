"""The layer graph: neuron layers and the connections between them, still in floats.

Everything between two neuron layers (padding, reshaping, sums, convolutions) has become
connections, each a convolution over a gathered view of its source.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.ir.nodes import (
    Conv2d,
    FloatArray,
    Integrator,
    Padding2d,
    Pair,
    ReLU,
    Shape,
    Spiking,
    window_size,
)
from nmcompile.ir.text import shape_text, table_text

#: Spikes of a neuron in a step where nothing better is known.
USUAL_RATE = 0.1


@dataclass(frozen=True, eq=False)
class Window:
    """The geometry of a convolution over a view.

    Attributes
    ----------
    kernel, stride, dilation : rows, columns
    padding : ((top, bottom), (left, right))
    groups : of channels
    """

    kernel: Pair
    stride: Pair = (1, 1)
    padding: Padding2d = ((0, 0), (0, 0))
    dilation: Pair = (1, 1)
    groups: int = 1

    def positions(self, rows: int, cols: int) -> Pair:
        """Rows and columns of the result for a view of so many."""
        return (
            window_size(rows, self.kernel[0], self.stride[0], self.dilation[0], self.padding[0]),
            window_size(cols, self.kernel[1], self.stride[1], self.dilation[1], self.padding[1]),
        )

    def convolution(self, name: str, weights: FloatArray) -> Conv2d:
        """The node with this geometry, without a bias."""
        return Conv2d(
            name=name,
            weights=weights,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )


@dataclass(frozen=True, eq=False)
class Connection:
    """Synapses from one layer to another: a convolution over a view of the source.

    Attributes
    ----------
    source, target : layer names
    view : (rows, columns, channels) int32; number of the source neuron in each place, -1 none
    weights : (kernel rows, kernel columns, channels / groups, channels out); float32, or
        integer mantissas once discretised
    window : geometry; the result in row-major order is the target layer's neurons
    origin : model layers that it stands for
    delay : synaptic delay, steps beyond the one that every spike takes
    """

    source: str
    target: str
    view: NDArray[np.int32]
    weights: NDArray[Any]
    window: Window
    origin: tuple[str, ...] = ()
    delay: int = 0

    @property
    def out_shape(self) -> tuple[int, int, int]:
        """(rows, columns, channels) of the result."""
        rows, cols = self.window.positions(*self.view.shape[:2])
        return rows, cols, int(self.weights.shape[3])

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.source} -> {self.target}"

    def describe(self) -> str:
        """Geometry in a few words."""
        kh, kw, per_group, out = self.weights.shape
        words = f"{kh}x{kw}x{per_group} -> {out}"
        if self.window.stride != (1, 1):
            words += f", stride {self.window.stride[0]}x{self.window.stride[1]}"
        if self.window.groups != 1:
            words += f", groups {self.window.groups}"
        if self.delay:
            words += f", delay {self.delay}"
        return words


@dataclass(frozen=True, eq=False)
class NeuronLayer:
    """Neurons with common time constants.

    Attributes
    ----------
    name, shape : of the layer
    neuron : the node it comes from; a ReLU only on the host, before the encoder
    bias : (neurons,) float32 in units of the activation, per step
    place : "host_in" or "chip"
    depth : steps until its first input arrives; 0 for the encoder
    rate : mean spikes of a neuron in a step, as expected
    initial : (neurons,) float32, voltage at which a sample begins in units of the activation, or
        None for zero
    gain : (neurons,) float32, what a neuron's spikes stand for by the layer's amplitude, as the
        weights behind have it; None for 1
    correction : (neurons,) float32, part of the bias that makes up for what sources lose in the
        mean; None for none
    equalised : (neurons,) float32, how many times the network's own activations are; None for 1
    """

    name: str
    shape: Shape
    neuron: Spiking | ReLU | Integrator
    bias: FloatArray
    place: str
    depth: int
    origin: tuple[str, ...] = ()
    rate: float = USUAL_RATE
    initial: FloatArray | None = None
    gain: FloatArray | None = None
    correction: FloatArray | None = None
    equalised: FloatArray | None = None

    @property
    def size(self) -> int:
        """Number of neurons."""
        return prod(self.shape)


@dataclass(frozen=True, eq=False)
class LayerGraph:
    """Neuron layers in topological order, their connections, and the linear read-out.

    Attributes
    ----------
    input_shape : of a sample
    layers, connections : on the host before the chip, and on the chip
    read_layers : names of the layers that are read out
    read_weights : (read neurons, outputs) float32, per activation
    read_bias : (outputs,) float32
    read_correction : (outputs,) float32, part of it that makes up for what the read layers lose
    """

    name: str
    dt_s: float
    input_name: str
    input_shape: Shape
    layers: tuple[NeuronLayer, ...]
    connections: tuple[Connection, ...]
    read_layers: tuple[str, ...]
    read_weights: FloatArray
    read_bias: FloatArray
    read_correction: FloatArray | None = None

    def with_layer(self, layer: NeuronLayer) -> LayerGraph:
        """The graph with another layer in place of that of the same name."""
        layers = tuple(layer if each.name == layer.name else each for each in self.layers)
        return replace(self, layers=layers)

    def layer(self, name: str) -> NeuronLayer:
        """A layer by name."""
        return next(layer for layer in self.layers if layer.name == name)

    def into(self, name: str) -> Iterator[Connection]:
        """Connections that end in a layer."""
        return (c for c in self.connections if c.target == name)

    def on_chip(self) -> Iterator[NeuronLayer]:
        """Layers that run on the chip."""
        return (layer for layer in self.layers if layer.place == "chip")

    @property
    def recurrent(self) -> bool:
        """Whether a layer reads one that is not before it."""
        order = {layer.name: k for k, layer in enumerate(self.layers)}
        order[self.input_name] = -1
        return any(order[c.source] >= order[c.target] for c in self.connections)

    @property
    def encoder(self) -> NeuronLayer:
        """The last layer on the host, whose spikes enter the chip."""
        return [layer for layer in self.layers if layer.place == "host_in"][-1]

    def __str__(self) -> str:
        layers = table_text(
            ("place", "layer", "shape", "depth", "neuron"),
            [(x.place, x.name, shape_text(x.shape), x.depth, _neuron_text(x)) for x in self.layers],
        )
        links = table_text(
            ("source", "target", "view", "window"),
            [
                (c.source, c.target, shape_text(c.view.shape), c.describe())
                for c in self.connections
            ],
        )
        read = f"read-out of {', '.join(self.read_layers)}: {shape_text(self.read_weights.shape)}"
        return f"layers of {self.name}\n{layers}\n\n{links}\n\n{read}\n"


def _neuron_text(layer: NeuronLayer) -> str:
    return f"{type(layer.neuron).__name__} {layer.neuron.describe()}".rstrip()
