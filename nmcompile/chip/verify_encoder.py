"""Check that an encoder's layers fit each other and that its integers stay exact."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite, prod

import numpy as np

from nmcompile.chip.program import INPUT_LIMIT, Encoder, HostConv

#: Whole numbers up to here are exact in float64, in which host layers are computed.
EXACT = 2**53


def encoder_faults(encoder: Encoder) -> Iterator[str]:
    """Every fault as a sentence without its end."""
    if not 1 <= encoder.threshold < EXACT or not encoder.layers:
        yield "the encoder has no threshold or no layer"
        return
    if not (isfinite(encoder.input_scale) and encoder.input_scale > 0):
        yield f"the encoder's input scale is {encoder.input_scale}"
    size, bound = prod(encoder.input_shape), INPUT_LIMIT
    for number, conv in enumerate(encoder.layers):
        fault = _fault(conv, size)
        if fault:
            yield f"encoder layer {number}: {fault}"
            return
        drive = int(np.abs(conv.weights.astype(np.int64)).sum(axis=(0, 1, 2)).max())
        reach = drive * bound + max(int(conv.bias.max()), -int(conv.bias.min()))
        if reach >= EXACT:
            yield (
                f"encoder layer {number}: its sums can reach {reach}, the limit is {EXACT - 1}; "
                "put fewer layers on the host"
            )
        size, bound = len(conv.bias), min(reach, conv.ceiling) >> conv.shift
    if size != prod(encoder.shape):
        yield f"the encoder gives {size} currents for {prod(encoder.shape)} neurons"
    if bound > encoder.threshold:
        yield f"the encoder's currents reach {bound}, its threshold is {encoder.threshold}"


def _fault(conv: HostConv, inputs: int) -> str | None:
    """What makes a layer unusable behind so many inputs."""
    if min(*conv.stride, *conv.dilation, conv.groups) < 1:
        return f"stride {conv.stride}, dilation {conv.dilation} or {conv.groups} groups below 1"
    if conv.ceiling < 0:
        return f"ceiling {conv.ceiling} is negative"
    if not 0 <= conv.shift < 63:
        return f"shift {conv.shift} is outside 0..62"
    if not conv.view.size or not conv.weights.size:
        return "it has no inputs or no weights"
    if conv.view.min() < -1 or conv.view.max() >= inputs:
        return f"its view names inputs {conv.view.min()}..{conv.view.max()} of {inputs}"
    *sides, channels = conv.view.shape
    *kernel, depth, out = conv.weights.shape
    crops = [sum(min(0, amount) for amount in pad) for pad in conv.padding]
    if min(side + crop for side, crop in zip(sides, crops, strict=True)) < 1:
        return f"padding {conv.padding} crops all of {sides[0]} x {sides[1]}"
    if depth * conv.groups != channels or out % conv.groups:
        return f"weights of shape {conv.weights.shape} do not fit {channels} channels"
    places = [
        (side + sum(pad) - dilation * (k - 1) - 1) // stride + 1
        for side, pad, dilation, k, stride in zip(
            sides, conv.padding, conv.dilation, kernel, conv.stride, strict=True
        )
    ]
    if min(places) < 1 or len(conv.bias) != prod(places) * out:
        return f"{len(conv.bias)} biases for an output of {places[0]} x {places[1]} x {out}"
    return None
