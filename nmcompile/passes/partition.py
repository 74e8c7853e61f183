"""Partition: cut every layer into tiles that fit a core."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, prod
from typing import ClassVar

import numpy as np

from nmcompile.chip.bill import RESOURCES, Bill, axon_slots
from nmcompile.chip.discrete import DiscreteConnection, DiscreteGraph, DiscreteLayer
from nmcompile.chip.tiling import Grid, Tiling
from nmcompile.errors import FitError
from nmcompile.hardware import HardwareModel
from nmcompile.ir.text import shape_text, table_text
from nmcompile.passes.base import Pass
from nmcompile.passes.inputs import Inputs, numbered_axons, tile_inputs


@dataclass(frozen=True, eq=False)
class Partition:
    """Tilings of all layers on the chip, what enters each tile, and what each tile costs.

    Attributes
    ----------
    graph : the layers that were cut
    tilings : layer name -> tiling, the encoder's included (its tiles are no cores)
    inputs : layer name -> for each tile, what enters it, a connection at a time
    bills : layer name -> bill of each tile
    """

    graph: DiscreteGraph
    tilings: Mapping[str, Tiling]
    inputs: Mapping[str, tuple[tuple[Inputs, ...], ...]]
    bills: Mapping[str, tuple[Bill, ...]]

    def cores(self) -> Iterator[tuple[str, int]]:
        """(layer, tile) of each core, in order."""
        for layer in self.graph.layers:
            for tile in range(self.tilings[layer.name].tiles):
                yield layer.name, tile

    @property
    def n_cores(self) -> int:
        return sum(self.tilings[layer.name].tiles for layer in self.graph.layers)

    def __str__(self) -> str:
        rows = []
        for layer in self.graph.layers:
            tiling = self.tilings[layer.name]
            bills = self.bills[layer.name]
            rows.append(
                (
                    layer.name,
                    shape_text(tiling.grid),
                    tiling.tiles,
                    shape_text(tiling.box),
                    max(bill.compartments for bill in bills),
                    max(bill.synapse_words for bill in bills),
                    max(bill.input_axons for bill in bills),
                    max(bill.output_axon_slots for bill in bills),
                )
            )
        header = (
            "layer",
            "grid",
            "cores",
            "tile",
            "compartments",
            "synapse words",
            "input axons",
            "output slots",
        )
        return f"partition of {self.graph.name}: {self.n_cores} cores\n{table_text(header, rows)}\n"


@dataclass(frozen=True)
class PartitionLayers(Pass[DiscreteGraph, Partition]):
    """Reads discretised layers; makes tilings, each with the fewest tiles that fit.

    Layers are cut in topological order. Output axons depend on how the next layers are cut,
    so where a layer's output axons do not fit it is cut finer and the work starts again.
    """

    name: ClassVar[str] = "partition"
    purpose: ClassVar[str] = "cut layers into tiles that fit a core"

    hardware: HardwareModel

    def run(self, value: DiscreteGraph) -> Partition:
        least = {layer.name: 1 for layer in value.layers}
        while True:
            tilings = {value.encoder.name: self._encoder_tiling(value)}
            inputs: dict[str, tuple[tuple[Inputs, ...], ...]] = {}
            for layer in value.layers:
                tilings[layer.name], inputs[layer.name] = self._cut(
                    value, layer, tilings, least[layer.name]
                )
            slots = self._output_slots(tilings, inputs)
            limit = self.hardware.core.output_axon_slots.value
            crowded = [layer.name for layer in value.layers if max(slots[layer.name]) > limit]
            if not crowded:
                bills = {
                    layer.name: tuple(
                        replace(
                            input_bill(tilings[layer.name], tile, entering, self.hardware),
                            output_axon_slots=slots[layer.name][tile],
                        )
                        for tile, entering in enumerate(inputs[layer.name])
                    )
                    for layer in value.layers
                }
                return Partition(graph=value, tilings=tilings, inputs=inputs, bills=bills)
            least[crowded[0]] = tilings[crowded[0]].tiles + 1

    def _encoder_tiling(self, graph: DiscreteGraph) -> Tiling:
        grid = _grid(graph.encoder.shape)
        return Tiling(graph.encoder.name, grid, grid, self.hardware.axon.pop32_atoms.value)

    def _cut(
        self, graph: DiscreteGraph, layer: DiscreteLayer, tilings: dict[str, Tiling], fewest: int
    ) -> tuple[Tiling, tuple[tuple[Inputs, ...], ...]]:
        """The tiling with the fewest tiles, at least `fewest`, all of which fit."""
        links = list(graph.into(layer.name))
        grid = _grid(layer.shape)
        if len(layer.shape) != 3:
            shapes = [c.link.out_shape for c in links if prod(c.link.out_shape) == layer.size]
            grid = shapes[0] if shapes else grid
        least = least_words(links, self.hardware)
        worst: tuple[str, int, int] | None = None
        for box in _boxes(grid, self.hardware.core.compartments.value):
            tiling = Tiling(layer.name, grid, box, self.hardware.axon.pop32_atoms.value)
            if tiling.tiles < fewest:
                continue
            least_bill = Bill(synapse_words=least[box[2]] if box[2] < len(least) else 0)
            worst = least_bill.excess(self.hardware)
            if worst is not None:
                continue
            entering: list[tuple[Inputs, ...]] = []
            for tile in range(tiling.tiles):
                inputs = tuple(
                    tile_inputs(c, tilings[c.link.source], tiling, tile, self.hardware)
                    for c in links
                )
                worst = input_bill(tiling, tile, inputs, self.hardware).excess(self.hardware)
                if worst is not None:
                    break
                entering.append(inputs)
            else:
                return tiling, tuple(entering)
        if worst is None:
            raise FitError(
                f"layer {layer.name!r}: cut into single neurons it still needs more output axon "
                f"slots than the {self.hardware.core.output_axon_slots.value} of a core; make the "
                "layers that it feeds smaller",
                layer=layer.name,
                resource="output_axon_slots",
                used=self.hardware.core.output_axon_slots.value + 1,
                limit=self.hardware.core.output_axon_slots.value,
            )
        resource, used, limit = worst
        raise FitError(
            f"layer {layer.name!r}: a single one of its neurons needs {used} "
            f"{RESOURCES[resource]}, a core has {limit}; no board helps, so give it fewer inputs "
            "or fewer weight bits",
            layer=layer.name,
            resource=resource,
            used=used,
            limit=limit,
        )

    def _output_slots(
        self,
        tilings: Mapping[str, Tiling],
        inputs: Mapping[str, tuple[tuple[Inputs, ...], ...]],
    ) -> dict[str, list[int]]:
        """Output axon slots that each tile of each layer needs."""
        slots = {name: [0] * tiling.tiles for name, tiling in tilings.items()}
        for entering in (each for tiles in inputs.values() for each in tiles):
            for number in numbered_axons(entering, tilings, self.hardware):
                source = tilings[entering[number.connection].connection.link.source]
                owner = source.owner(number.axon.population)
                slots[source.layer][owner] += axon_slots(number.kind, self.hardware)
        return slots

    def changes(self, before: DiscreteGraph, after: Partition) -> str:
        return ", ".join(
            f"{layer.name} {after.tilings[layer.name].tiles} core(s)" for layer in before.layers
        )


def least_words(links: Sequence[DiscreteConnection], hardware: HardwareModel) -> list[int]:
    """Synaptic memory that tiles of 1, 2, 3, … channels are unlikely to undercut.

    Every neuron needs its non-zero weights, counted once where places of the kernel are equal,
    as merged pooling makes them; at the edge some of them may read padding, so only connections
    without padding count. Weights that repeat from channel to channel could be stored for less.
    """
    channels = max((c.link.out_shape[2] for c in links), default=0)
    words = np.zeros(channels + 1, np.int64)
    for connection in links:
        link = connection.link
        if link.window.padding != ((0, 0), (0, 0)) or (link.view < 0).any():
            continue
        kernel = link.weights.reshape(-1, *link.weights.shape[2:])
        places = {place.tobytes(): np.count_nonzero(place, axis=0) for place in kernel}
        fan_in = np.cumsum(np.sort(np.sum(list(places.values()), axis=0)))
        bits = fan_in * connection.weight_bits
        words[1 : len(bits) + 1] += bits // hardware.synapse.word_bits.value
    return [int(each) for each in words]


def input_bill(
    tiling: Tiling, tile: int, inputs: Sequence[Inputs], hardware: HardwareModel
) -> Bill:
    """The bill of a tile without its output axons."""
    return Bill(
        compartments=prod(len(range(s.start, s.stop)) for s in tiling.bounds(tile)),
        synapse_words=sum(each.words(hardware) for each in inputs),
        input_axons=sum(len(each.axons) for each in inputs),
        profiles=1,
        threshold_profiles=1,
        synapse_formats=len({row for each in inputs for row in each.formats(hardware)}),
    )


def _grid(shape: tuple[int, ...]) -> Grid:
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else (1, 1, prod(shape))


def _boxes(grid: Grid, compartments: int) -> Iterator[Grid]:
    """Tile sizes in ascending order of tiles, whole rows and channels first."""
    found: dict[Grid, tuple[int, int, int]] = {}
    sizes = [sorted({ceil(n / k) for k in range(1, n + 1)}) for n in grid]
    for rows in sizes[0]:
        for cols in sizes[1]:
            if rows * cols > compartments:
                continue
            for channels in sizes[2]:
                if rows * cols * channels <= compartments:
                    box = (rows, cols, channels)
                    cuts = [ceil(n / b) for n, b in zip(grid, box, strict=True)]
                    found[box] = (prod(cuts), cuts[2], abs(rows - cols))
    yield from sorted(found, key=lambda box: found[box])
