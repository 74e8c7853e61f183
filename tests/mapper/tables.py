"""What the tables of all cores together connect, compared with the layers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nmcompile.chip.arithmetic import shift as shifted
from nmcompile.chip.bill import core_bill
from nmcompile.chip.discrete import DiscreteGraph
from nmcompile.hardware import HardwareModel
from nmcompile.ir.layers import Connection
from nmcompile.ir.nodes import Conv2d
from nmcompile.ir.reference import compute
from nmcompile.passes.allocate import Allocate, Allocation
from nmcompile.passes.partition import Partition, PartitionLayers


def through(link: Connection, source: np.ndarray) -> np.ndarray:
    """(samples, targets) of a connection, in float64."""
    gathered = np.where(link.view >= 0, source[:, link.view], 0)
    window = link.window
    node = Conv2d(
        name="c",
        weights=link.weights,
        stride=window.stride,
        padding=window.padding,
        dilation=window.dilation,
        groups=window.groups,
    )
    return compute(node, [gathered]).reshape(len(source), -1)


def effective_weights(allocation: Allocation, graph: DiscreteGraph) -> dict[str, np.ndarray]:
    """Layer -> (neurons of all layers, neurons) sums over the tables, axon by axon."""
    sizes = graph.sizes()
    starts = dict(zip(sizes, np.cumsum([0, *sizes.values()]), strict=False))
    total = sum(sizes.values())
    layers = {layer.name: layer for layer in allocation.layers}
    columns: dict[tuple[int, int], int] = {}
    for name, layer in layers.items():
        for k, place in enumerate(
            zip(layer.core.tolist(), layer.compartment.tolist(), strict=True)
        ):
            columns[place] = int(starts[name]) + k
    matrix = np.zeros((total, total), np.int64)

    def add(row: int, number: int, axon: int, atom: int) -> None:
        core = allocation.cores[number]
        block = core.input_axons.block[axon]
        length = int(core.blocks.length[block])
        first = int(core.blocks.start[block]) + atom * length
        exponent = int(core.formats.exponent[core.blocks.format[block]])
        for k in range(first, first + length):
            target = int(core.input_axons.base[axon]) + int(core.synapses.target[k])
            assert target < len(core.compartments)
            if (number, target) not in columns:
                # A compartment of a halo, which is no neuron: it has no population to send with.
                assert core.compartments.population[target] == -1
                assert core.compartments.neuron[target] == total - sizes[graph.encoder.name]
            else:
                weight = shifted(int(core.synapses.mantissa[k]), exponent)
                matrix[row, columns[number, target]] += weight

    table = allocation.injection
    for neuron, number, axon, atom in zip(
        table.neuron.tolist(),
        table.core.tolist(),
        table.axon.tolist(),
        table.atom.tolist(),
        strict=True,
    ):
        add(int(starts[graph.encoder.name]) + neuron, number, axon, atom)
    for number, core in enumerate(allocation.cores):
        out, comps = core.output_axons, core.compartments
        for k in range(len(out)):
            members = (
                [int(out.source[k])]
                if out.kind[k] == 0
                else np.flatnonzero(comps.population == out.source[k]).tolist()
            )
            for member in members:
                atom = 0 if out.kind[k] == 0 else int(comps.atom[member])
                add(columns[number, member], int(out.core[k]), int(out.axon[k]), atom)
    return {name: matrix[:, starts[name] : starts[name] + size] for name, size in sizes.items()}


def assert_tables_hold(graph: DiscreteGraph, hardware: HardwareModel) -> None:
    """Map a graph, and compare what its cores hold with its layers."""
    assert_partition_holds(PartitionLayers(hardware).run(graph))


def assert_partition_holds(partition: Partition) -> None:
    """Tables of a partition's cores against the layers, and its bills against the tables."""
    graph, hardware = partition.graph, partition.problem.hardware
    allocation = Allocate(hardware).run(partition)
    found = effective_weights(allocation, graph)
    sizes = graph.sizes()
    starts = dict(zip(sizes, np.cumsum([0, *sizes.values()]), strict=False))
    for layer in graph.layers:
        wanted = np.zeros_like(found[layer.name])
        for connection in graph.into(layer.name):
            source = connection.link.source
            unit = np.eye(sizes[source])
            weights = connection.link.weights.astype(np.int64)
            exponent = connection.exponent
            scaled = weights << exponent if exponent >= 0 else weights >> -exponent
            link = replace(connection.link, weights=scaled.astype(np.float64))
            rows = slice(starts[source], starts[source] + sizes[source])
            wanted[rows] += through(link, unit).astype(np.int64)
        assert np.array_equal(found[layer.name], wanted)
    assert all(bill.excess(hardware) is None for bill in partition.bills)
    assert [core_bill(core, hardware) for core in allocation.cores] == partition.bills
