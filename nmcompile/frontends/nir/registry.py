"""Which function converts which NIR node, and why others are refused."""

from __future__ import annotations

from nmcompile.frontends.nir import layers, neurons
from nmcompile.frontends.nir.step import Converter
from nmcompile.ir import nodes

CONVERTERS: dict[str, Converter] = {
    "Affine": layers.affine,
    "AvgPool2d": layers.pool(nodes.AvgPool2d),
    "Conv1d": layers.conv(1),
    "Conv2d": layers.conv(2),
    "CubaLIF": neurons.current_based,
    "Delay": layers.delay,
    "Flatten": layers.flatten,
    "I": neurons.integrator,
    "IF": neurons.integrate_and_fire,
    "LIF": neurons.leaky,
    "Linear": layers.linear,
    "Scale": layers.scale,
    "SumPool2d": layers.pool(nodes.SumPool2d),
    "Threshold": neurons.threshold,
}
_LEAKY = (
    "a voltage that leaks and never fires weighs recent steps more, which a network's read-out "
    "does not",
    "leave it out, and build with --read-synapse and its time constant",
)
#: Kind -> (why, what to do instead).
REFUSED: dict[str, tuple[str, str]] = {
    "CubaLI": _LEAKY,
    "LI": _LEAKY,
}
UNKNOWN = ("it is no node of NIR that is understood", "write it with the nodes of NIR 1.0")
