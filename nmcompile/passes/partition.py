"""Partition: cut every layer into tiles that fit a core."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil, prod
from typing import ClassVar

from nmcompile.chip.bill import RESOURCES, Bill, axon_slots
from nmcompile.chip.core import POP16, POP32
from nmcompile.chip.discrete import DiscreteGraph, DiscreteLayer
from nmcompile.chip.partition import Grid, Partition, Tiling
from nmcompile.errors import FitError
from nmcompile.hardware import HardwareModel
from nmcompile.passes.base import Pass
from nmcompile.passes.inputs import Inputs, tile_inputs


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
            bills: dict[str, list[Bill]] = {}
            for layer in value.layers:
                tilings[layer.name], bills[layer.name] = self._cut(
                    value, layer, tilings, least[layer.name]
                )
            crowded = self._charge_outputs(value, tilings, bills)
            if crowded is None:
                frozen = {name: tuple(each) for name, each in bills.items()}
                return Partition(graph=value, tilings=tilings, bills=frozen)
            least[crowded] = tilings[crowded].tiles + 1

    def _encoder_tiling(self, graph: DiscreteGraph) -> Tiling:
        grid = _grid(graph.encoder.shape)
        return Tiling(graph.encoder.name, grid, grid, self.hardware.axon.pop32_atoms.value)

    def _cut(
        self, graph: DiscreteGraph, layer: DiscreteLayer, tilings: dict[str, Tiling], least: int
    ) -> tuple[Tiling, list[Bill]]:
        """The tiling with the fewest tiles, at least `least`, all of which fit."""
        links = list(graph.into(layer.name))
        grid = _grid(layer.shape)
        if len(layer.shape) != 3:
            grid = next((c.link.out_shape for c in links if prod(c.link.out_shape) == layer.size))
        worst: tuple[str, int, int] | None = None
        for box in _boxes(grid, self.hardware.core.compartments.value):
            tiling = Tiling(layer.name, grid, box, self.hardware.axon.pop32_atoms.value)
            if tiling.tiles < least:
                continue
            bills = []
            for tile in range(tiling.tiles):
                inputs = [
                    tile_inputs(c, tilings[c.link.source], tiling, tile, self.hardware)
                    for c in links
                ]
                bill = input_bill(layer, tiling, tile, inputs, self.hardware)
                worst = bill.excess(self.hardware)
                if worst is not None:
                    break
                bills.append(bill)
            else:
                return tiling, bills
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
            f"layer {layer.name!r}: a single one of its neurons needs {used} {RESOURCES[resource]}, "
            f"a core has {limit}; no board helps, so give it fewer inputs or fewer weight bits",
            layer=layer.name,
            resource=resource,
            used=used,
            limit=limit,
        )

    def _charge_outputs(
        self, graph: DiscreteGraph, tilings: dict[str, Tiling], bills: dict[str, list[Bill]]
    ) -> str | None:
        """Add output axon slots to the bills; the name of a layer that has too many, or None."""
        slots = {name: [0] * tiling.tiles for name, tiling in tilings.items()}
        for connection in graph.connections:
            source, target = (
                tilings[connection.link.source],
                tilings[connection.link.target],
            )
            for tile in range(target.tiles):
                inputs = tile_inputs(connection, source, target, tile, self.hardware)
                for axon in inputs.axons:
                    owner = int(source.first_population.searchsorted(axon.population, "right")) - 1
                    size = int(source.population_sizes[axon.population])
                    slots[source.layer][owner] += axon_slots(
                        axon_kind(size, self.hardware), self.hardware
                    )
        limit = self.hardware.core.output_axon_slots.value
        for layer in graph.layers:
            if max(slots[layer.name]) > limit:
                return layer.name
            bills[layer.name] = [
                replace(bill, output_axon_slots=used)
                for bill, used in zip(bills[layer.name], slots[layer.name], strict=True)
            ]
        return None

    def changes(self, before: DiscreteGraph, after: Partition) -> str:
        return ", ".join(
            f"{layer.name} {after.tilings[layer.name].tiles} core(s)" for layer in before.layers
        )


def axon_kind(population: int, hardware: HardwareModel) -> int:
    """The narrowest axon type for a population of so many neurons."""
    if population == 1:
        return 0
    return POP16 if population <= hardware.axon.pop16_atoms.value else POP32


def input_bill(
    layer: DiscreteLayer,
    tiling: Tiling,
    tile: int,
    inputs: list[Inputs],
    hardware: HardwareModel,
) -> Bill:
    """The bill of a tile without its output axons."""
    return Bill(
        compartments=prod(len(range(s.start, s.stop)) for s in tiling.bounds(tile)),
        synapse_words=sum(each.words(hardware) for each in inputs),
        input_axons=sum(len(each.axons) for each in inputs),
        profiles=1,
        threshold_profiles=1,
        synapse_formats=sum(each.n_formats for each in inputs),
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
