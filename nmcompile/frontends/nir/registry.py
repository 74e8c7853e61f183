"""Which function converts which NIR node."""

from __future__ import annotations

from nmcompile.frontends.nir import layers, neurons, read_outs
from nmcompile.frontends.nir.step import Converter
from nmcompile.ir import nodes

CONVERTERS: dict[str, Converter] = {
    "Affine": layers.affine,
    "AvgPool2d": layers.pool(nodes.AvgPool2d),
    "Conv1d": layers.conv(1),
    "Conv2d": layers.conv(2),
    "CubaLI": read_outs.leaky_with_current,
    "CubaLIF": neurons.current_based,
    "Delay": layers.delay,
    "Flatten": layers.flatten,
    "I": read_outs.integrator,
    "IF": neurons.integrate_and_fire,
    "LI": read_outs.leaky,
    "LIF": neurons.leaky,
    "Linear": layers.linear,
    "Scale": layers.scale,
    "SumPool2d": layers.pool(nodes.SumPool2d),
    "Threshold": neurons.threshold,
}
UNKNOWN = ("it is no node of NIR that is understood", "write it with the nodes of NIR 1.0")
