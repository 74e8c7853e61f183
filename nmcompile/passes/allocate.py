"""Allocate: fill every core's tables, and tell the host where its spikes go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from nmcompile.chip.core import (
    DISCRETE,
    Blocks,
    Compartments,
    Core,
    Formats,
    InputAxons,
    OutputAxons,
    Profiles,
    Synapses,
    Thresholds,
)
from nmcompile.chip.discrete import DiscreteLayer
from nmcompile.chip.program import Injection, Layer
from nmcompile.chip.tiling import Tiling
from nmcompile.hardware import HardwareModel
from nmcompile.ir.text import table_text
from nmcompile.passes.base import Pass
from nmcompile.passes.inputs import Inputs, numbered_axons
from nmcompile.passes.partition import Partition


@dataclass(frozen=True, eq=False)
class Allocation:
    """Cores with their tables, not placed yet.

    Attributes
    ----------
    partition : what was allocated
    cores : in the partition's order
    injection : where encoder spikes enter
    layers : where neurons are
    """

    partition: Partition
    cores: tuple[Core, ...]
    injection: Injection
    layers: tuple[Layer, ...]

    def __str__(self) -> str:
        header = (
            "core",
            "layer",
            "compartments",
            "formats",
            "blocks",
            "synapses",
            "in axons",
            "out axons",
        )
        rows = [
            (
                number,
                f"{layer}[{tile}]",
                len(core.compartments),
                len(core.formats),
                len(core.blocks),
                len(core.synapses),
                len(core.input_axons),
                len(core.output_axons),
            )
            for number, ((layer, tile), core) in enumerate(
                zip(self.partition.cores(), self.cores, strict=True)
            )
        ]
        name = self.partition.graph.name
        return f"cores of {name}, {len(self.injection)} injections\n{table_text(header, rows)}\n"


@dataclass(frozen=True)
class Allocate(Pass[Partition, Allocation]):
    """Reads tiles and what enters them; makes core tables, axons and the host's injections."""

    name: ClassVar[str] = "allocate"
    purpose: ClassVar[str] = "fill core tables: synaptic memory, input and output axons"

    hardware: HardwareModel

    def run(self, value: Partition) -> Allocation:
        first_core: dict[str, int] = {}
        first_neuron: dict[str, int] = {}
        cores = neurons = 0
        for layer in value.graph.layers:
            first_core[layer.name], first_neuron[layer.name] = cores, neurons
            cores += value.tilings[layer.name].tiles
            neurons += layer.size
        drafts: list[Core] = []
        out: list[list[tuple[int, int, int, int]]] = [[] for _ in range(cores)]
        injected: list[tuple[int, int, int]] = []
        for layer_name, tile in value.cores():
            layer = value.graph.layer(layer_name)
            number = len(drafts)
            inputs = value.inputs[layer_name][tile]
            core, axons = _core_inputs(inputs, value.tilings, self.hardware)
            for axon, (source, population, kind) in enumerate(axons):
                tiling = value.tilings[source]
                if source == value.graph.encoder.name:
                    injected.append((population, number, axon))
                    continue
                owner = tiling.owner(population)
                local = population - int(tiling.first_population[owner])
                out[first_core[source] + owner].append((kind, local, number, axon))
            tiling = value.tilings[layer_name]
            drafts.append(_with_neurons(core, layer, tiling, tile, first_neuron[layer_name]))
        finished = tuple(_with_outputs(core, out[k]) for k, core in enumerate(drafts))
        layers = tuple(
            Layer(
                name=layer.name,
                shape=layer.shape,
                core=(first_core[layer.name] + value.tilings[layer.name].tile_of).astype(np.int32),
                compartment=value.tilings[layer.name].compartment,
                amplitude=layer.amplitude,
                voltage_scale=layer.voltage_scale,
                depth=layer.depth,
                origin=layer.origin,
            )
            for layer in value.graph.layers
        )
        encoder = value.tilings[value.graph.encoder.name]
        return Allocation(value, finished, _injection(encoder, injected), layers)

    def changes(self, before: Partition, after: Allocation) -> str:
        synapses = sum(len(core.synapses) for core in after.cores)
        return f"{len(after.cores)} cores, {synapses} stored synapses"


def _core_inputs(
    inputs: tuple[Inputs, ...], tilings: Mapping[str, Tiling], hardware: HardwareModel
) -> tuple[Core, list[tuple[str, int, int]]]:
    """A core with formats, blocks, synapses and input axons; and each axon's source.

    A source is (layer, population of the layer, kind).
    """
    formats: list[tuple[int, ...]] = []
    blocks: list[tuple[int, int, int, int]] = []
    targets: list[np.ndarray] = []
    mantissas: list[np.ndarray] = []
    delays: list[np.ndarray] = []
    first_block: list[int] = []
    start = 0
    for each in inputs:
        connection = each.connection
        first_block.append(len(blocks))
        for block, row in zip(each.blocks, each.formats(hardware), strict=True):
            if row not in formats:
                formats.append(row)
            atoms, length = block.targets.shape
            blocks.append((start, atoms, length, formats.index(row)))
            targets.append(block.targets.reshape(-1))
            mantissas.append(block.mantissas.reshape(-1))
            delays.append(np.full(block.targets.size, connection.delay, np.uint8))
            start += block.targets.size
    numbered = numbered_axons(inputs, tilings, hardware)
    block_of = [first_block[n.connection] + n.axon.block for n in numbered]
    core = Core(
        profiles=Profiles.empty(),
        thresholds=Thresholds.empty(),
        formats=Formats.from_rows(formats),
        compartments=Compartments.empty(),
        blocks=Blocks.from_rows(blocks),
        synapses=Synapses.of(
            target=np.concatenate(targets) if targets else [],
            mantissa=np.concatenate(mantissas) if mantissas else [],
            delay=np.concatenate(delays) if delays else [],
        ),
        input_axons=InputAxons.of(
            kind=[n.kind for n in numbered],
            block=block_of,
            base=[n.axon.base for n in numbered],
        ),
        output_axons=OutputAxons.empty(),
    )
    sources = [
        (inputs[n.connection].connection.link.source, n.axon.population, n.kind) for n in numbered
    ]
    return core, sources


def _with_neurons(
    core: Core, layer: DiscreteLayer, tiling: Tiling, tile: int, first_neuron: int
) -> Core:
    """The core with the compartments of one tile."""
    here = np.flatnonzero(tiling.tile_of == tile)
    here = here[np.argsort(tiling.compartment[here])]
    zeros = np.zeros(len(here), np.int64)
    return replace(
        core,
        profiles=Profiles.of(
            decay_u=[layer.decay_u],
            decay_v=[layer.decay_v],
            refractory=[layer.refractory],
            noise=[0],
        ),
        thresholds=Thresholds.of(mantissa=[layer.threshold_mantissa]),
        compartments=Compartments.of(
            profile=zeros,
            threshold=zeros,
            bias_mantissa=layer.bias_mantissa[here],
            bias_exponent=layer.bias_exponent[here],
            population=tiling.population[here],
            atom=tiling.atom[here],
            neuron=first_neuron + here,
        ),
        vmin_exponent=layer.vmin_exponent,
        vmax_exponent=layer.vmax_exponent,
    )


def _with_outputs(core: Core, axons: list[tuple[int, int, int, int]]) -> Core:
    """The core with output axons; compartments that have none lose their population.

    `axons` are (kind, population, target core, target axon); a discrete one becomes that of
    its population's only compartment.
    """
    population = core.compartments.population
    rows = []
    for kind, source, target, axon in axons:
        if kind == DISCRETE:
            source = int(np.flatnonzero(population == source)[0])
        rows.append((kind, source, target, axon))
    wide = {source for kind, source, _, _ in rows if kind != DISCRETE}
    kept = np.where(np.isin(population, list(wide)), population, -1).astype(np.int16)
    compartments = replace(core.compartments, population=kept)
    return replace(core, compartments=compartments, output_axons=OutputAxons.from_rows(rows))


def _injection(encoder: Tiling, injected: list[tuple[int, int, int]]) -> Injection:
    """One row for each encoder neuron and axon of its population, sorted by neuron."""
    members = np.argsort(encoder.layer_population, kind="stable")
    ends = np.cumsum(encoder.population_sizes)
    starts = ends - encoder.population_sizes
    neuron, core, axon = [], [], []
    for population, target, number in injected:
        part = members[starts[population] : ends[population]]
        neuron.append(part)
        core.append(np.full(len(part), target))
        axon.append(np.full(len(part), number))
    if not neuron:
        return Injection.empty()
    neurons = np.concatenate(neuron)
    order = np.argsort(neurons, kind="stable")
    return Injection.of(
        neuron=neurons[order],
        core=np.concatenate(core)[order],
        axon=np.concatenate(axon)[order],
        atom=encoder.atom[neurons[order]],
    )
