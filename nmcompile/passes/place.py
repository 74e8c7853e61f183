"""Place: give every core a chip of the board and a place on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from nmcompile.errors import FitError
from nmcompile.hardware import Target
from nmcompile.ir.text import table_text
from nmcompile.passes.allocate import Allocation
from nmcompile.passes.base import Pass


@dataclass(frozen=True, eq=False)
class Placement:
    """An allocation whose cores have places, and the board that they are on."""

    allocation: Allocation
    target: Target

    def __str__(self) -> str:
        names = self.allocation.partition.core_names()
        rows = [
            (number, names[number], core.chip, core.position)
            for number, core in enumerate(self.allocation.cores)
        ]
        table = table_text(("core", "pieces", "chip", "position"), rows)
        return f"placement on {self.target.name}\n{table}\n"


@dataclass(frozen=True)
class Place(Pass[Allocation, Placement]):
    """Reads the number of cores; changes chip and position of each, and chooses the board.

    Cores fill chips in layer order, so that layers that talk to each other are close.
    """

    name: ClassVar[str] = "place"
    purpose: ClassVar[str] = "place cores on chips"

    target: Target

    def run(self, value: Allocation) -> Placement:
        hardware = self.target.hardware
        per_chip = hardware.chip.cores.value
        needed = len(value.cores)
        smallest = hardware.smallest_board(needed)
        board = self.target.board or smallest
        if board is None or needed > board.chips * per_chip:
            largest = hardware.boards[-1]
            tried = board or largest
            taken = {name: len(set(c.tolist())) for name, c in value.partition.packing.core.items()}
            layer = max(taken, key=lambda name: taken[name])
            remedy = (
                f"the smallest board on which it would fit is {smallest.name} with "
                f"{smallest.chips} chips"
                if smallest
                else f"no {hardware.name} board is larger than {largest.name}, so make it smaller"
            )
            raise FitError(
                f"the network needs {needed} cores, {tried.name} has {tried.chips * per_chip} "
                f"({tried.chips} chips of {per_chip}); layer {layer!r} takes most, "
                f"{taken[layer]}; {remedy}",
                layer=layer,
                resource="cores",
                used=needed,
                limit=tried.chips * per_chip,
            )
        placed = tuple(
            replace(core, chip=number // per_chip, position=number % per_chip)
            for number, core in enumerate(value.cores)
        )
        target = Target(hardware=hardware, board=board)
        return Placement(replace(value, cores=placed), target)

    def changes(self, before: Allocation, after: Placement) -> str:
        chips = len({core.chip for core in after.allocation.cores})
        return f"{len(before.cores)} cores on {chips} chip(s) of {after.target.name}"
