"""Allocate: fill every core's tables, and tell the host where its spikes go."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from nmcompile.chip.core import (
    DISCRETE,
    POP16,
    POP32,
    Blocks,
    Compartments,
    Core,
    Formats,
    InitialVoltages,
    InputAxons,
    OutputAxons,
    Profiles,
    Synapses,
    Thresholds,
)
from nmcompile.chip.program import Injection, Layer
from nmcompile.hardware import HardwareModel
from nmcompile.ir.text import table_text
from nmcompile.mapper.cut import Cut, IntArray
from nmcompile.mapper.entry import Filled, carries_few, format_row
from nmcompile.mapper.pack import register_rows
from nmcompile.mapper.problem import within_room
from nmcompile.passes.base import Pass
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
            "pieces",
            "compartments",
            "formats",
            "blocks",
            "synapses",
            "in axons",
            "out axons",
        )
        names = self.partition.core_names()
        rows = [
            (
                number,
                names[number],
                len(core.compartments),
                len(core.formats),
                len(core.blocks),
                len(core.synapses),
                len(core.input_axons),
                len(core.output_axons),
            )
            for number, core in enumerate(self.cores)
        ]
        name = self.partition.graph.name
        return f"cores of {name}, {len(self.injection)} injections\n{table_text(header, rows)}\n"


@dataclass(frozen=True, eq=False)
class _Arrivals:
    """Input axons of one core and the pieces and populations that they come from; all (axons,)."""

    kind: IntArray
    source: IntArray
    piece: IntArray
    population: IntArray


@dataclass(frozen=True)
class Allocate(Pass[Partition, Allocation]):
    """Reads pieces on cores; makes core tables, axons and the host's injections."""

    name: ClassVar[str] = "allocate"
    purpose: ClassVar[str] = "fill core tables: synaptic memory, input and output axons"

    hardware: HardwareModel

    def run(self, value: Partition) -> Allocation:
        problem, cuts, packing = value.problem, value.choice.cuts, value.packing
        names = [problem.encoder, *problem.layers]
        sizes = [layer.size for layer in value.graph.layers]
        # The last is the number of all neurons.
        first_neuron = dict(
            zip([*problem.layers, ""], np.cumsum([0, *sizes]).tolist(), strict=True)
        )
        members = {name: _members(cuts[name]) for name in problem.layers}
        first_population = _first_populations(value)
        cores: list[Core] = []
        arrivals: list[_Arrivals] = []
        for pieces in value.cores:
            filled: list[tuple[int, int, Filled]] = []
            for layer, piece in pieces:
                start = int(packing.start[layer][piece])
                for k in problem.into[layer]:
                    source, target = (cuts[name] for name in problem.ends(k))
                    split = value.choice.splits[k]
                    entering = problem.links[k].fill(source, target, piece, split, start)
                    filled.append((k, piece, entering))
            core, arrival = _core_inputs(value, filled, names)
            arrivals.append(arrival)
            cores.append(
                self._with_neurons(value, core, pieces, members, first_population, first_neuron)
            )
        finished, injected = _connect(value, cores, arrivals, names, first_population)
        layers = tuple(
            Layer(
                name=layer.name,
                shape=layer.shape,
                core=packing.core[layer.name][cuts[layer.name].maps[0]].astype(np.int32),
                compartment=(
                    packing.start[layer.name][cuts[layer.name].maps[0]] + cuts[layer.name].maps[1]
                ).astype(np.int32),
                amplitude=layer.amplitude,
                voltage_scale=layer.voltage_scale,
                depth=layer.depth,
                origin=layer.origin,
            )
            for layer in value.graph.layers
        )
        return Allocation(value, tuple(finished), injected, layers)

    def _with_neurons(
        self,
        value: Partition,
        core: Core,
        pieces: list[tuple[str, int]],
        members: dict[str, tuple[IntArray, IntArray]],
        first_population: dict[str, IntArray],
        first_neuron: dict[str, int],
    ) -> Core:
        """The core with the compartments of its pieces."""
        problem = value.problem
        layers = list(dict.fromkeys(layer for layer, _ in pieces))
        profiles = list(dict.fromkeys(register_rows(problem, layer)[0] for layer in layers))
        thresholds = list(dict.fromkeys(register_rows(problem, layer)[1] for layer in layers))
        tables = []
        initial = []
        first_seat = 0
        for name, piece in pieces:
            layer, cut = problem.layers[name], value.choice.cuts[name]
            order, edges = members[name]
            here = order[edges[piece] : edges[piece + 1]]
            seat = cut.maps[1][here]
            size = int(cut.compartments[piece])
            columns = {
                "profile": np.full(size, profiles.index(register_rows(problem, name)[0])),
                "threshold": np.full(size, thresholds.index(layer.threshold_mantissa)),
                "bias_mantissa": np.zeros(size, np.int64),
                "bias_exponent": np.zeros(size, np.int64),
                "population": np.full(size, -1),
                "atom": np.zeros(size, np.int64),
                # A compartment of the halo is no neuron of the network.
                "neuron": np.full(size, first_neuron[""]),
            }
            voltage = layer.initial_voltage[here]
            listed = np.flatnonzero(voltage)
            initial.append(
                InitialVoltages.of(compartment=first_seat + seat[listed], voltage=voltage[listed])
            )
            first_seat += size
            columns["bias_mantissa"][seat] = layer.bias_mantissa[here]
            columns["bias_exponent"][seat] = layer.bias_exponent[here]
            columns["population"][seat] = cut.maps[2][here] + first_population[name][piece]
            columns["atom"][seat] = cut.maps[3][here]
            columns["neuron"][seat] = first_neuron[name] + here
            tables.append(Compartments.of(**columns))
        first = problem.layers[layers[0]]
        return replace(
            core,
            profiles=Profiles.from_rows(profiles),
            thresholds=Thresholds.of(mantissa=thresholds),
            compartments=Compartments.join(tables),
            initial_voltages=InitialVoltages.join(initial),
            vmin_exponent=first.vmin_exponent,
            vmax_exponent=first.vmax_exponent,
        )

    def changes(self, before: Partition, after: Allocation) -> str:
        synapses = sum(len(core.synapses) for core in after.cores)
        return f"{len(after.cores)} cores, {synapses} stored synapses"


def _members(cut: Cut) -> tuple[IntArray, IntArray]:
    """Neurons by piece and compartment, and (pieces + 1,) where each piece begins among them."""
    piece, compartment = cut.maps[:2]
    order = np.lexsort((compartment, piece))
    return order, np.concatenate([[0], np.cumsum(cut.sizes)])


def _first_populations(value: Partition) -> dict[str, IntArray]:
    """Layer -> (pieces,) number of each piece's first population on its core."""
    found = {
        name: np.zeros(value.choice.cuts[name].pieces, np.int64) for name in value.problem.layers
    }
    for pieces in value.cores:
        number = 0
        for layer, piece in pieces:
            found[layer][piece] = number
            number += value.choice.cuts[layer].populations(piece)
    return found


def _core_inputs(
    value: Partition, filled: list[tuple[int, int, Filled]], names: list[str]
) -> tuple[Core, _Arrivals]:
    """A core with formats, blocks, synapses and input axons; and where its axons come from."""
    problem = value.problem
    formats: list[tuple[int, ...]] = []
    blocks: list[tuple[int, int, int, int]] = []
    targets: list[np.ndarray] = []
    mantissas: list[np.ndarray] = []
    delays: list[np.ndarray] = []
    columns: list[np.ndarray] = []
    start = 0
    for k, piece, each in filled:
        first_block = len(blocks)
        for (block_targets, block_mantissas), dense in zip(each.blocks, each.dense, strict=True):
            row = format_row(each.connection, dense, each.sparse_bits)
            if row not in formats:
                formats.append(row)
            blocks.append((start, *block_targets.shape, formats.index(row)))
            targets.append(block_targets.reshape(-1))
            mantissas.append(block_mantissas.reshape(-1))
            delays.append(np.full(block_targets.size, each.connection.delay, np.uint8))
            start += block_targets.size
        columns.append(
            np.stack(
                [
                    _kinds(value, k, piece, each),
                    np.full(len(each.source), names.index(problem.ends(k)[0])),
                    each.source,
                    each.population,
                    each.base,
                    each.block + first_block,
                ]
            )
        )
    table = np.concatenate(columns, axis=1) if columns else np.zeros((6, 0), np.int64)
    # A pop16 axon is named with few bits, so these come first; discrete ones come last.
    rank = np.select([table[0] == POP16, table[0] == POP32], [0, 1], 2)
    kind, source, owner, population, base, block = table[:, np.argsort(rank, kind="stable")]
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
        input_axons=InputAxons.of(kind=kind, block=block, base=base),
        output_axons=OutputAxons.empty(),
    )
    return core, _Arrivals(kind, source, owner, population)


def _kinds(value: Partition, link: int, piece: int, filled: Filled) -> IntArray:
    """(axons,) discrete for single neurons, pop16 where allowed and there is room, else pop32."""
    hardware = value.problem.hardware
    aligned = filled.base % hardware.axon.pop16_base_multiple.value == 0
    eligible = carries_few(filled.size, hardware) & aligned
    pieces, where = np.unique(filled.source, return_inverse=True)
    count = np.bincount(where, weights=eligible, minlength=len(pieces)).astype(np.int64)
    granted = within_room(count, value.problem.room(link), piece) > 0
    narrow = eligible & granted[where]
    return np.select([filled.size == 1, narrow], [DISCRETE, POP16], POP32)


def _connect(
    value: Partition,
    cores: list[Core],
    arrivals: list[_Arrivals],
    names: list[str],
    first_population: dict[str, IntArray],
) -> tuple[list[Core], Injection]:
    """Output axons of every core, and the host's injections, from what arrives where."""
    lengths = [len(each.kind) for each in arrivals]
    kind, source, piece, population = (
        np.concatenate([getattr(each, name) for each in arrivals])
        for name in ("kind", "source", "piece", "population")
    )
    core = np.repeat(np.arange(len(cores)), lengths)
    axon = np.concatenate([np.arange(length) for length in lengths])
    outside = source == 0
    injection = _injection(
        value.choice.cuts[names[0]], population[outside], core[outside], axon[outside]
    )
    sender = np.full(len(kind), -1)
    local = np.zeros(len(kind), np.int64)
    for number, name in enumerate(names[1:], start=1):
        here = source == number
        sender[here] = value.packing.core[name][piece[here]]
        local[here] = population[here] + first_population[name][piece[here]]
    order = np.lexsort((axon, core, sender))
    edges = np.searchsorted(sender[order], np.arange(len(cores) + 1))
    finished = [
        _with_outputs(
            each,
            *(column[order[edges[k] : edges[k + 1]]] for column in (kind, local, core, axon)),
        )
        for k, each in enumerate(cores)
    ]
    return finished, injection


def _with_outputs(
    core: Core, kind: IntArray, source: IntArray, target: IntArray, axon: IntArray
) -> Core:
    """The core with output axons; compartments that have none lose their population.

    `source` is a population; a discrete axon becomes that of its only compartment.
    """
    population = core.compartments.population
    single = kind == DISCRETE
    if single.any():
        order = np.argsort(population, kind="stable")
        only = order[np.searchsorted(population[order], source[single])]
        source = source.copy()
        source[single] = only
    wide = np.zeros(int(population.max(initial=-1)) + 1, bool)
    wide[source[~single]] = True
    kept = np.where((population >= 0) & wide[population], population, -1).astype(np.int16)
    return replace(
        core,
        compartments=replace(core.compartments, population=kept),
        output_axons=OutputAxons.of(kind=kind, source=source, core=target, axon=axon),
    )


def _injection(encoder: Cut, population: IntArray, core: IntArray, axon: IntArray) -> Injection:
    """One row for each encoder neuron and axon of its population, sorted by neuron."""
    _, _, owner, atom = encoder.maps
    members = np.argsort(owner, kind="stable")
    sizes = np.bincount(owner)
    starts = np.cumsum(sizes) - sizes
    count = sizes[population]
    if not count.sum():
        return Injection.empty()
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    neuron = members[np.repeat(starts[population], count) + within]
    order = np.argsort(neuron, kind="stable")
    return Injection.of(
        neuron=neuron[order],
        core=np.repeat(core, count)[order],
        axon=np.repeat(axon, count)[order],
        atom=atom[neuron[order]],
    )
