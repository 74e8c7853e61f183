"""Give a network that has none an input encoder: spiking neurons that the host computes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar

import numpy as np

from nmcompile.errors import UsageError
from nmcompile.ir import Network, evaluate
from nmcompile.ir.nodes import Affine, Conv2d, FloatArray, Node, ReLU, Reshape, Transpose
from nmcompile.passes.network_pass import NetworkPass
from nmcompile.passes.options import EncoderMode

#: Name of an encoder that is added; a number follows where the model has a layer of that name.
ENCODER = "encoder"


@dataclass(frozen=True)
class AddEncoder(NetworkPass):
    """Reads the nodes behind the input; adds an encoder where a leading 1x1 convolution is missing.

    Attributes
    ----------
    mode : "conv" insists on the network's own 1x1 convolution; "on" adds one neuron per
        channel, "on-off" two; "auto" takes the convolution, else "on", or "on-off" where the
        input has both signs
    host_layers : leading neuron layers that the host computes; with 1 or more none is added
    calibration : (samples, *input shape) float32, shows the signs of the input
    """

    name: ClassVar[str] = "add-encoder"
    purpose: ClassVar[str] = "add an input encoder where the network has none"

    mode: EncoderMode
    host_layers: int | None
    calibration: FloatArray

    def run(self, value: Network) -> Network:
        has_conv = leading_conv(value) is not None
        if self.mode == "conv" and not has_conv:
            raise UsageError(
                "--encoder conv: the network does not begin with a 1x1 convolution and ReLU; "
                "use --encoder on or on-off"
            )
        if self.mode in ("auto", "conv"):
            if self.host_layers or (has_conv and self.host_layers is None):
                return value
        elif self.host_layers:
            raise UsageError("--host-layers and --encoder on or on-off exclude each other")
        return self._insert(value)

    def _insert(self, network: Network) -> Network:
        source = behind_preprocessing(network)
        shape = network.shapes[source]
        kept = evaluate(network, self.calibration, keep=[source])[source]
        on_off = self.mode == "on-off" or (self.mode == "auto" and float(kept.min()) < 0)
        channels = shape[-1] if len(shape) == 3 else prod(shape)
        image = shape if len(shape) == 3 else (1, 1, channels)
        name = _free_name(network)
        new: list[Node] = []
        last = source
        if image != shape:
            new.append(Reshape(name=f"{name}/image", inputs=(last,), size=image))
            last = new[-1].name
        if on_off:
            signs = np.tile(np.array([1, -1], np.float32), channels)
            new.append(
                Conv2d(
                    name=f"{name}/on-off",
                    inputs=(last,),
                    weights=signs.reshape(1, 1, 1, -1),
                    groups=channels,
                )
            )
            last = new[-1].name
        new.append(ReLU(name=name, inputs=(last,)))
        last = name
        if on_off:
            back = np.tile(np.array([1, -1], np.float32).reshape(1, 1, 2, 1), (1, 1, 1, channels))
            new.append(
                Conv2d(name=f"{name}/difference", inputs=(last,), weights=back, groups=channels)
            )
            last = new[-1].name
        if image != shape:
            new.append(Reshape(name=f"{name}/flat", inputs=(last,), size=shape))
            last = new[-1].name
        changes: dict[str, Iterable[Node]] = {source: (network[source], *new)}
        for reader in network.consumers[source]:
            node = network[reader]
            inputs = tuple(last if each == source else each for each in node.inputs)
            changes[reader] = (replace(node, inputs=inputs),)
        return network.edit(changes)


def _free_name(network: Network) -> str:
    number, name = 1, ENCODER
    while any(name in (node.name, *node.origin) for node in network):
        number += 1
        name = f"{ENCODER}-{number}"
    return name


def leading_conv(network: Network) -> str | None:
    """Name of the ReLU behind a leading 1x1 convolution, or None."""
    name = behind_preprocessing(network)
    readers = network.consumers[name]
    if len(readers) != 1:
        return None
    conv = network[readers[0]]
    if not isinstance(conv, Conv2d) or conv.weights.shape[:2] != (1, 1) or conv.stride != (1, 1):
        return None
    behind = network.consumers[conv.name]
    relu = network[behind[0]]
    return relu.name if len(behind) == 1 and isinstance(relu, ReLU) else None


def behind_preprocessing(network: Network) -> str:
    """The last node of the input's rescaling and rearranging."""
    name = network.inputs[0].name
    while True:
        readers = network.consumers[name]
        if len(readers) != 1 or not isinstance(network[readers[0]], (Affine, Transpose, Reshape)):
            return name
        name = readers[0]
