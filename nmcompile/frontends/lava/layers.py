"""lava-dl's layers: what lies between two layers of neurons, in units of the accumulator.

Images are ``(channels, rows, columns)`` in the file, as in PyTorch, and kernels
``(channels out, channels in, rows, columns)``, not mirrored; `netx` turns all of them around, for
Lava counts ``(columns, rows, channels)``, and so arrives at the same.
"""

from __future__ import annotations

import numpy as np

from nmcompile.chip.arithmetic import WEIGHT_SHIFT
from nmcompile.frontends.lava.file import Numbers
from nmcompile.frontends.lava.netx import changed
from nmcompile.frontends.lava.neurons import check_kind, fire
from nmcompile.frontends.lava.step import LavaStep
from nmcompile.frontends.layout import Refused, Tensor, plain
from nmcompile.ir import nodes
from nmcompile.ir.nodes import FloatArray

#: Steps that a synapse delays at most; `netx` clips longer delays.
MAX_DELAY = 62
#: Synapses, counted once for each different delay, beyond which a file asks for too much memory.
MAX_SYNAPSES = 1 << 24


def units(weights: Numbers) -> FloatArray:
    """Weights as they reach the accumulator, 64 times the file's; exact in float32."""
    return np.ascontiguousarray(weights * (1 << WEIGHT_SHIFT), np.float32)


def source(step: LavaStep) -> Tensor:
    """The network's input: spikes, or those of input neurons where the file has such."""
    layer = step.layer
    shape = layer.shape()
    if layer.has_neuron():
        check_kind(layer)
        step.note(
            f"{layer.name}: its neurons, which Lava drives through their bias, are not on the "
            "chip; the input is their spikes, 0 or 1 in each step, as "
            "nmcompile.frontends.lava.input_spikes makes them, or approximately rates in 0..1"
        )
    return Tensor(step.add(nodes.Input, [], size=shape), shape, plain(len(shape)))


def dense(step: LavaStep) -> Tensor:
    """A product with all inputs."""
    layer = step.layer
    x = flat(step, step.x)
    weights = dense_weights(step, "weight", x.shape[0])
    if step.final and not layer.has_neuron():
        return read_out(step, x, weights)
    note_changed(step, weights)
    if "delay" in layer:
        drive = delayed_product(step, x, weights)
    else:
        drive = step.product(x, units(weights.T), None, "synapse")
    return fire(step, drive, bias_of(step, weights.shape[0]))


def read_out(step: LavaStep, x: Tensor, weights: Numbers) -> Tensor:
    """A last layer without neurons: a weighted count of spikes, in lava-dl's units of weight."""
    bias = bias_of(step, len(weights))
    if "delay" in step.layer and step.layer.integers("delay").any():
        raise Refused("it has delays, but no neurons", "leave the delays of the last layer out")
    step.note(
        f"{step.name}: without neurons it is a read-out on the host: the mean per step of what "
        f"arrives, 1 for a weight of {1 << WEIGHT_SHIFT}"
    )
    scale = np.float32(2.0**-WEIGHT_SHIFT)
    return step.product(
        x, (weights.T * scale).astype(np.float32), None if bias is None else bias * scale
    )


def recurrent(step: LavaStep) -> Tensor:
    """A product with all inputs, and one with the layer's own spikes of the step before."""
    layer = step.layer
    if "delay" in layer:
        raise Refused(
            "it has delays, and Lava's NetX reads the weights of recurrent layers with delays at "
            "another scale",
            "train it without delays",
        )
    x = flat(step, step.x)
    weights = dense_weights(step, "weight", x.shape[0])
    size = weights.shape[0]
    back = step.add(nodes.Back, [], "back", source=step.name, size=(size,))
    own = dense_weights(step, "weight_rec", size)
    note_changed(step, weights, own)
    forward = step.product(x, units(weights.T), None, "synapse")
    around = step.product(Tensor(back, (size,), (0,)), units(own.T), None, "recurrent")
    both = step.add(nodes.Add, [forward.node, around.node], "sum")
    return fire(step, Tensor(both, (size,), (0,)), bias_of(step, size))


def delayed_product(step: LavaStep, x: Tensor, weights: Numbers) -> Tensor:
    """A product whose spikes arrive late: by synapse, by output, or else by input, as in `netx`."""
    layer = step.layer
    delay = layer.integers("delay")
    if delay.size and (delay.min() < 0 or delay.max() > MAX_DELAY):
        raise Refused(
            f"its delays go from {delay.min():.0f} to {delay.max():.0f}, the chip's are "
            f"0..{MAX_DELAY} steps",
            f"train with delays of at most {MAX_DELAY} (slayer.axon.Delay, max_delay)",
        )
    outputs, inputs = weights.shape
    if delay.size == 1 or delay.shape in ((outputs,), (outputs, 1)):
        product = step.product(x, units(weights.T), None, "synapse")
        return _late(step, product, delay, "delay")
    if delay.shape in ((inputs,), (1, inputs)):
        return step.product(_late(step, x, delay, "delay"), units(weights.T), None, "synapse")
    if delay.shape != weights.shape:
        raise layer.bad(f"its delay of shape {delay.shape} does not fit weights {weights.shape}")
    different = np.unique(delay)
    if len(different) * weights.size > MAX_SYNAPSES:
        raise Refused(
            f"its {weights.size} synapses have {len(different)} different delays",
            "use a delay for each neuron",
        )
    parts = []
    for n in different:
        apart = units(np.where(delay == n, weights, 0).T)
        product = step.product(x, apart, None, f"synapse-{n:.0f}")
        parts.append(_late(step, product, np.array([n]), f"delay-{n:.0f}").node)
    node = parts[0] if len(parts) == 1 else step.add(nodes.Add, parts, "sum")
    return Tensor(node, (outputs,), (0,))


def _late(step: LavaStep, x: Tensor, delay: Numbers, suffix: str) -> Tensor:
    if not delay.any():
        return x
    steps = delay.reshape(-1).astype(np.float32)
    return Tensor(step.add(nodes.Delay, [x.node], suffix, steps=steps), x.shape, x.layout)


def flat(step: LavaStep, x: Tensor) -> Tensor:
    """The input of a dense layer."""
    if len(x.shape) != 1:
        raise Refused(
            f"it reads an image of shape {x.shape}", "put a flatten layer between the two"
        )
    return x


def dense_weights(step: LavaStep, key: str, inputs: int) -> Numbers:
    """(outputs, inputs) whole numbers."""
    layer = step.layer
    outputs = int(np.prod(layer.shape()))
    weights = layer.integers(key)
    if weights.ndim == 1 and weights.size == outputs * inputs:
        weights = weights.reshape(outputs, inputs)
    if weights.shape != (outputs, inputs):
        raise layer.bad(
            f"its {key} of shape {weights.shape} does not fit {inputs} inputs and {outputs} outputs"
        )
    return weights


def note_changed(step: LavaStep, *weights: Numbers) -> None:
    """Say where Lava itself would run other weights than the file's."""
    count = changed(*weights)
    if count:
        step.note(
            f"{step.name}: {count} of its weights stay as they are, which Lava's NetX changes when "
            "it chooses their bits and signs; there, Lava's voltages can be others"
        )


def bias_of(step: LavaStep, size: int) -> FloatArray | None:
    """(neurons or channels,) bias, or None."""
    if "bias" not in step.layer:
        return None
    bias = step.layer.integers("bias").reshape(-1)
    if bias.shape != (size,):
        raise step.layer.bad(f"its bias has {bias.size} numbers, expected {size}")
    return bias.astype(np.float32) if bias.any() else None


def conv(step: LavaStep) -> Tensor:
    """A convolution over rows and columns."""
    layer = step.layer
    weights = layer.integers("weight")
    if weights.ndim == 5 and weights.shape[4] == 1:
        weights = weights[..., 0]
    if weights.ndim != 4 or not weights.size:
        raise layer.bad(f"its weight of shape {weights.shape} has no 4 axes")
    if "delay" in layer and layer.integers("delay").any():
        raise Refused(
            "it has delays, which Lava's NetX leaves out of convolutions", "train it without delays"
        )
    (rows, cols), groups = layer.whole("padding", 2, 0), layer.whole("groups", 1, 1)[0]
    image, layout = step.image(step.x, 2, channels_first=True)
    node = step.add(
        nodes.Conv2d, [image], "synapse", weights=units(weights.transpose(2, 3, 1, 0)),
        stride=layer.whole("stride", 2, 1), dilation=layer.whole("dilation", 2, 1),
        padding=((rows, rows), (cols, cols)), groups=groups,
    )  # fmt: skip
    drive = step.tensor(node, layout)
    if "shape" in layer and drive.shape != layer.shape():
        raise layer.bad(f"its shape is {layer.shape()}, but its result has {drive.shape}")
    return fire(step, drive, bias_of(step, weights.shape[0]))


def flatten(step: LavaStep) -> Tensor:
    """Channels, rows and columns as one axis, the columns fastest."""
    return step.flattened(step.x, plain(len(step.x.shape)))
