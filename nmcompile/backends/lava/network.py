"""A Program's layers as Lava has them: LIF populations and connection processes, as plain values.

Lava maps networks to cores by itself, so that the Program's own placement is not used. What
Lava's LIF lacks is refused by layer and register.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.backends.lava.links import Link, fan_out, lava_links
from nmcompile.chip.arithmetic import CURRENT_BITS, voltage_ceiling, voltage_floor
from nmcompile.chip.discrete import DiscreteGraph, DiscreteLayer
from nmcompile.chip.discrete_tensors import discrete_graph
from nmcompile.chip.program import Program
from nmcompile.errors import CompileError

#: Lava's LIF clips voltages at ±(2^23 - 1), as the chip does at its widest limits.
LIMIT = (1 << CURRENT_BITS) - 1


@dataclass(frozen=True, eq=False)
class Population:
    """One LIF process.

    Attributes
    ----------
    name, shape : of the layer
    du, dv, vth : its decays, and the mantissa of its threshold
    bias_mant, bias_exp, v : (neurons,) biases, and voltages at which a sample begins
    """

    name: str
    shape: tuple[int, ...]
    du: int
    dv: int
    vth: int
    bias_mant: NDArray[np.int16]
    bias_exp: NDArray[np.uint8]
    v: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class LavaNetwork:
    """A network of Lava processes behind a source of spikes.

    Attributes
    ----------
    name : of the network
    source, source_shape : the encoder, whose spikes come from the host
    populations, links : LIF processes, and what connects them
    fan_out : layer -> (neurons,) synapses that a spike of each neuron reaches
    """

    name: str
    source: str
    source_shape: tuple[int, ...]
    populations: tuple[Population, ...]
    links: tuple[Link, ...]
    fan_out: dict[str, NDArray[np.int64]]


def lava_network(program: Program) -> LavaNetwork:
    """A Program's layers as Lava processes.

    Raises
    ------
    CompileError
        Something that Lava's LIF lacks, by layer and register.
    DataError
        The Program does not hold its layers.
    """
    noisy = any(core.profiles.noise.any() for core in program.cores)
    learns = any(len(core.learning) for core in program.cores)
    if noisy or learns:
        what = "noise" if noisy else "weights that learn"
        raise CompileError(
            f"the Program has {what}, which the export to Lava lacks; build it without"
        )
    graph = discrete_graph(program)
    sizes = graph.sizes()
    return LavaNetwork(
        name=graph.name,
        source=graph.encoder.name,
        source_shape=graph.encoder.shape,
        populations=tuple(_population(layer) for layer in graph.layers),
        links=tuple(link for each in graph.connections for link in lava_links(each, sizes)),
        fan_out=_fan_outs(graph),
    )


def _population(layer: DiscreteLayer) -> Population:
    if layer.refractory != 1:
        raise CompileError(
            f"layer {layer.name!r}: its refractory register is {layer.refractory}, and Lava's LIF "
            "has no refractory period; build it with --refractory 0"
        )
    limits = voltage_floor(layer.vmin_exponent), voltage_ceiling(layer.vmax_exponent)
    if limits != (-LIMIT, LIMIT):
        raise CompileError(
            f"layer {layer.name!r}: its vmin and vmax registers limit voltages to {limits[0]} to "
            f"{limits[1]}, and Lava's LIF to {-LIMIT} to {LIMIT} alone; build it with those"
        )
    return Population(
        name=layer.name,
        shape=layer.shape,
        du=layer.decay_u,
        dv=layer.decay_v,
        vth=layer.threshold_mantissa,
        bias_mant=layer.bias_mantissa.reshape(-1),
        bias_exp=layer.bias_exponent.reshape(-1),
        v=layer.initial_voltage.reshape(-1),
    )


def _fan_outs(graph: DiscreteGraph) -> dict[str, NDArray[np.int64]]:
    total = {name: np.zeros(size, np.int64) for name, size in graph.sizes().items()}
    for each in graph.connections:
        total[each.link.source] += fan_out(each.link, len(total[each.link.source]))
    return total


def described(network: LavaNetwork) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Structure as JSON values, and the arrays by name."""
    arrays: dict[str, NDArray[Any]] = {}
    layers = []
    for each in network.populations:
        for key in ("bias_mant", "bias_exp", "v"):
            arrays[f"layer/{each.name}/{key}"] = getattr(each, key)
        layers.append(
            {"name": each.name, "shape": each.shape, "neurons": prod(each.shape),
             "du": each.du, "dv": each.dv, "vth": each.vth}
        )  # fmt: skip
    links = []
    for k, link in enumerate(network.links):
        for key, array in link.arrays.items():
            arrays[f"link/{k}/{key}"] = array
        links.append(
            {"kind": link.kind, "source": link.source, "target": link.target, **link.options}
        )
    for name, counts in network.fan_out.items():
        arrays[f"fan_out/{name}"] = counts
    structure = {
        "name": network.name,
        "source": {"name": network.source, "shape": network.source_shape,
                   "neurons": prod(network.source_shape)},
        "layers": layers,
        "links": links,
    }  # fmt: skip
    return structure, arrays
