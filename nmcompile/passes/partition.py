"""Partition: cut every layer into pieces, and pack the pieces into cores."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from nmcompile.chip.bill import RESOURCES, Bill, neuron_words
from nmcompile.chip.discrete import DiscreteGraph
from nmcompile.errors import FitError
from nmcompile.hardware import Board, HardwareModel
from nmcompile.ir.text import shape_text, table_text
from nmcompile.mapper.bounds import network_bound
from nmcompile.mapper.cut import Cut, IntArray
from nmcompile.mapper.entry import Split
from nmcompile.mapper.objective import Goal, Objective
from nmcompile.mapper.pack import Packing, register_rows
from nmcompile.mapper.pieces import measure, measure_some
from nmcompile.mapper.problem import Choice, Problem
from nmcompile.mapper.search import Search
from nmcompile.passes.base import Pass

#: Prices of a core that are tried in turn, in what a core is worth.
PRICES = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)


@dataclass(frozen=True, eq=False)
class Partition:
    """Which pieces the layers are cut into, and which core each piece is on.

    Attributes
    ----------
    problem : layers, links and limits
    choice : cuts, and splits of links
    packing : cores of the pieces, and where each begins there
    """

    problem: Problem
    choice: Choice
    packing: Packing

    @property
    def graph(self) -> DiscreteGraph:
        """The layers that were cut."""
        return self.problem.graph

    @property
    def n_cores(self) -> int:
        """Number of cores."""
        return self.packing.cores

    @cached_property
    def cores(self) -> list[list[tuple[str, int]]]:
        """For each core the (layer, piece) pairs on it, in the order of their compartments."""
        return self.packing.on_cores()

    @cached_property
    def bills(self) -> list[Bill]:
        """What each core's contents cost."""
        slots = {name: self.problem.slots(self.choice, name) for name in self.problem.layers}
        return [
            core_pieces_bill(self.problem, self.choice, self.packing, pieces, slots)
            for pieces in self.cores
        ]

    def excess(self) -> list[tuple[int, tuple[str, int, int]]]:
        """Cores that hold too much, each with (resource, used, limit)."""
        rows = ((core, bill.excess(self.problem.hardware)) for core, bill in enumerate(self.bills))
        return [(core, over) for core, over in rows if over is not None]

    def core_names(self) -> list[str]:
        """What is on each core, such as ``conv1[3] fc[0]``."""
        return [" ".join(f"{layer}[{piece}]" for layer, piece in core) for core in self.cores]

    def __str__(self) -> str:
        rows = []
        for name in self.problem.layers:
            cut = self.choice.cuts[name]
            cores = sorted(set(self.packing.core[name].tolist()))
            bills = [self.bills[core] for core in cores]
            rows.append(
                (
                    name,
                    shape_text(cut.grid),
                    cut.pieces,
                    shape_text(cut.box),
                    len(cores),
                    max(bill.compartments for bill in bills),
                    max(bill.memory_words for bill in bills),
                    max(bill.input_axons for bill in bills),
                    max(bill.output_axon_slots for bill in bills),
                )
            )
        header = (
            "layer",
            "grid",
            "pieces",
            "largest",
            "cores",
            "compartments",
            "memory words",
            "input axons",
            "output slots",
        )
        return f"partition of {self.graph.name}: {self.n_cores} cores\n{table_text(header, rows)}\n"


def core_pieces_bill(
    problem: Problem,
    choice: Choice,
    packing: Packing,
    pieces: list[tuple[str, int]],
    slots: dict[str, IntArray],
) -> Bill:
    """The bill of a core with some pieces."""
    hardware = problem.hardware
    formats: set[tuple[int, ...]] = set()
    compartments = words = axons = out = 0
    for layer, piece in pieces:
        start = int(packing.start[layer][piece])
        compartments += int(choice.cuts[layer].compartments[piece])
        out += int(slots[layer][piece])
        for entry in problem.entries(choice, layer, piece):
            words += entry.words(start, hardware)
            axons += entry.axons
            formats |= entry.formats(start, hardware)
    layers = {layer for layer, _ in pieces}
    return Bill(
        compartments=compartments,
        memory_words=words + neuron_words(compartments, hardware),
        input_axons=axons,
        output_axon_slots=out,
        profiles=len({register_rows(problem, layer)[0] for layer in layers}),
        threshold_profiles=len({register_rows(problem, layer)[1] for layer in layers}),
        synapse_formats=len(formats),
    )


@dataclass(frozen=True)
class PartitionLayers(Pass[DiscreteGraph, Partition]):
    """Reads discretised layers; makes cuts of all layers together, and packs their pieces.

    Attributes
    ----------
    goal : what is made small first: cores, traffic, energy or latency
    board : whose cores may all be used for the goal; None for the smallest that fits
    """

    name: ClassVar[str] = "partition"
    purpose: ClassVar[str] = "cut layers into pieces and pack them into cores"

    hardware: HardwareModel
    goal: Goal = "cores"
    board: Board | None = None

    def run(self, value: DiscreteGraph) -> Partition:
        problem = Problem(value, self.hardware)
        choice, packing = Search(problem, Objective()).run()
        board = self.board or self.hardware.smallest_board(packing.cores)
        if self.goal != "cores" and board is not None:
            choice, packing = self._for_goal(problem, board, choice, packing)
        partition = Partition(problem, choice, packing)
        over = partition.excess()
        if over:
            raise self._misfit(partition, over)
        return partition

    def _for_goal(
        self, problem: Problem, board: Board, choice: Choice, packing: Packing
    ) -> tuple[Choice, Packing]:
        """The mapping for another goal than cores that a board has room for.

        Where what serves the goal takes too many cores, a price is put on them, ever higher, in
        parts of what a core of the mapping with fewest cores is worth.
        """
        most = board.cores(self.hardware)
        parts = [measure(problem, choice, name) for name in problem.layers]
        best = Objective(self.goal, most).of_packing(problem, parts, packing)
        worth = best[1] / packing.cores
        for price in PRICES:
            found = Search(problem, Objective(self.goal, most, price * worth)).run()
            if found[1].cores <= most and not Partition(problem, *found).excess():
                parts = [measure(problem, found[0], name) for name in problem.layers]
                if Objective(self.goal, most).of_packing(problem, parts, found[1]) < best:
                    return found
        return choice, packing

    def _misfit(
        self, partition: Partition, over: list[tuple[int, tuple[str, int, int]]]
    ) -> FitError:
        """About a neuron that fits no core, if there is one, or else the first core."""
        core, (resource, used, limit) = over[0]
        layer, piece = partition.cores[core][0]
        part = f"a piece of {int(partition.choice.cuts[layer].sizes[piece])} neurons"
        hope = "no smaller pieces were found to fit"
        seen = dict.fromkeys(
            (name, what, most)
            for number, (what, _, most) in over
            for name, _ in partition.cores[number]
        )
        for name, what, most in seen:
            single = self._of_one_neuron(partition, name).get(what, 0)
            if single > most:
                layer, resource, used, limit = name, what, single, most
                part, hope = "a single one of its neurons", "no board helps"
                break
        return FitError(
            f"layer {layer!r}: {part} needs {used} {RESOURCES[resource]}, a core has {limit}; "
            f"{hope}, so give it fewer inputs or outputs, or fewer weight bits",
            layer=layer,
            resource=resource,
            used=used,
            limit=limit,
        )

    def _of_one_neuron(self, partition: Partition, layer: str) -> dict[str, int]:
        """Resource -> what a piece of a single neuron takes."""
        problem = partition.problem
        cut = Cut(layer, problem.grids[layer], (1, 1, 1), 1)
        splits = dict.fromkeys(problem.into[layer], Split.NONE)
        pieces = measure_some(problem, partition.choice.with_layer(cut, splits), layer, edges=False)
        return {
            "memory_words": int(pieces.words[0]),
            "input_axons": int(pieces.axons[0]),
            "output_axon_slots": int(pieces.slots[0]),
            "synapse_formats": int(pieces.formats[0]),
        }

    def changes(self, before: DiscreteGraph, after: Partition) -> str:
        bound = network_bound(after.problem).cores
        shared = sum(len(pieces) > 1 for pieces in after.cores)
        return f"{after.n_cores} cores, at least {bound} needed; {shared} shared by pieces"
