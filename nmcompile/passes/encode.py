"""Discretise the part of the network before the chip: an encoder in integers."""

from __future__ import annotations

from dataclasses import replace
from math import floor, log2

import numpy as np

from nmcompile.chip.program import INPUT_LIMIT, Encoder, HostConv
from nmcompile.errors import CompileError
from nmcompile.ir.layers import LayerGraph, NeuronLayer
from nmcompile.ir.nodes import ReLU, Spiking

WEIGHT_BITS = 15
#: Values between host layers; products of them stay below 2^53, exact in float64 as well.
VALUE_BITS = 24


def discrete_encoder(graph: LayerGraph, input_range: tuple[float, float]) -> Encoder:
    """The integer encoder for the layers on the host before the chip.

    Parameters
    ----------
    graph : with the rates of its encoder layer chosen
    input_range : (smallest, largest) input value on calibration data

    Raises
    ------
    CompileError
        Where these layers are no chain.
    """
    largest = max(abs(input_range[0]), abs(input_range[1])) or 1.0
    if any(isinstance(each.neuron, Spiking) and each.neuron.registers for each in graph.layers):
        largest = max(largest, 1.0)  # what a spike stands for, whatever the data
    # Room for inputs twice as large as any seen; a power of two keeps round inputs exact.
    scale = 2.0 ** floor(log2(INPUT_LIMIT / (2 * largest)))
    input_scale = scale
    bound = float(INPUT_LIMIT)
    layers: list[HostConv] = []
    chain = [layer for layer in graph.layers if layer.place == "host_in"]
    before = graph.input_name
    threshold = 0
    for layer in chain:
        conv, scale, bound = _host_conv(graph, layer, before, scale, bound)
        if layer is chain[-1]:
            assert isinstance(layer.neuron, Spiking)
            scale *= 2.0**conv.shift
            threshold = max(1, round(layer.neuron.amplitude * scale))
            conv = replace(conv, ceiling=min(threshold, conv.ceiling), shift=0)
        layers.append(conv)
        before = layer.name
    encoder = chain[-1]
    return Encoder(
        name=encoder.name,
        input_shape=graph.input_shape,
        shape=encoder.shape,
        input_scale=input_scale,
        layers=tuple(layers),
        threshold=threshold,
        mode="conv" if encoder.origin else _added_mode(layers[-1]),
    )


def _added_mode(conv: HostConv) -> str:
    return "on-off" if (conv.weights < 0).any() else "on"


def _host_conv(
    graph: LayerGraph, layer: NeuronLayer, before: str, scale: float, bound: float
) -> tuple[HostConv, float, float]:
    """One layer in integers, the scale of its result, and a bound on it.

    `scale` is integer units per unit of the layer's input, `bound` the largest input.
    """
    links = list(graph.into(layer.name))
    if len(links) != 1 or links[0].source != before:
        sources = ", ".join(link.source for link in links) or "nothing"
        raise CompileError(
            f"layer {layer.name!r} on the host reads {sources}; host layers must form a chain, "
            "so use fewer --host-layers"
        )
    link = links[0]
    largest = float(np.abs(link.weights).max(initial=0))
    weight_scale = 2.0 ** floor(log2((2**WEIGHT_BITS - 1) / largest)) if largest else 1.0
    weights = np.rint(link.weights.astype(np.float64) * weight_scale).astype(np.int32)
    full = scale * weight_scale
    bias = np.rint(layer.bias.astype(np.float64) * full).astype(np.int64)
    drive = float(np.abs(weights).sum(axis=(0, 1, 2), dtype=np.float64).max(initial=0))
    reach = drive * bound + float(np.abs(bias).max(initial=0)) + 1
    shift = max(0, floor(log2(reach)) + 1 - VALUE_BITS)
    ceiling = 2**62
    assert isinstance(layer.neuron, (ReLU, Spiking))
    if layer.neuron.max_value is not None:
        ceiling = round(layer.neuron.max_value * full)
    conv = HostConv(
        view=link.view,
        weights=weights,
        bias=bias,
        stride=link.window.stride,
        padding=link.window.padding,
        dilation=link.window.dilation,
        groups=link.window.groups,
        ceiling=ceiling,
        shift=shift,
    )
    return conv, full / 2.0**shift, reach / 2.0**shift
