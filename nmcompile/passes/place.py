"""Place: give every core a chip of the board and a place on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nmcompile.errors import FitError
from nmcompile.hardware import Board, Target
from nmcompile.ir.text import table_text
from nmcompile.mapper.bounds import network_bound
from nmcompile.mapper.core_traffic import core_traffic
from nmcompile.mapper.place import place_cores
from nmcompile.mapper.summary import mapping_summary
from nmcompile.mapper.traffic import Traffic
from nmcompile.passes.allocate import Allocation
from nmcompile.passes.base import Pass


@dataclass(frozen=True, eq=False)
class Placement:
    """An allocation whose cores have places.

    Attributes
    ----------
    target : with the board that they are on
    traffic : messages expected between cores
    """

    allocation: Allocation
    target: Target
    traffic: Traffic

    def summary(self) -> dict[str, Any]:
        """What the mapper did, for the manifest; see `mapper.summary`.

        Adds `messages` expected in a step: of all cores, those `between_chips`, and the `hops`
        of those that stay on their chip.
        """
        partition = self.allocation.partition
        chip, position = self.places()
        return {
            **mapping_summary(partition.problem, partition.choice, partition.packing),
            "messages": {
                "total": round(float(self.traffic.messages.sum()), 3),
                "between_chips": round(self.traffic.between_chips(chip), 3),
                "hops": round(self.traffic.hops(chip, position, self.target.hardware), 3),
            },
        }

    def places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(cores,) chip and position of each core."""
        cores = self.allocation.cores
        return (
            np.array([core.chip for core in cores]),
            np.array([core.position for core in cores]),
        )

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
    """Reads cores and the messages expected between them; changes chip and position of each.

    Chooses the smallest board with room where none is given, takes as few chips of it as hold
    the cores, and puts cores that talk to each other on one chip, and close together there.

    Attributes
    ----------
    seed : of the search for places; equal seeds give equal places
    """

    name: ClassVar[str] = "place"
    purpose: ClassVar[str] = "place cores on chips, near those that they talk to"

    target: Target
    seed: int = 0

    def run(self, value: Allocation) -> Placement:
        hardware = self.target.hardware
        needed = len(value.cores)
        board = self.target.board or hardware.smallest_board(needed)
        if board is None or needed > board.cores(hardware):
            raise self._misfit(value, board)
        partition = value.partition
        traffic = core_traffic(partition.problem, partition.choice, partition.packing)
        chip, position = place_cores(
            traffic, board.chips, hardware, self.seed, board.usable_cores(hardware)
        )
        placed = tuple(
            replace(core, chip=at, position=place)
            for core, at, place in zip(value.cores, chip.tolist(), position.tolist(), strict=True)
        )
        target = Target(hardware=hardware, board=board)
        return Placement(replace(value, cores=placed), target, traffic)

    def _misfit(self, value: Allocation, board: Board | None) -> FitError:
        hardware, needed = self.target.hardware, len(value.cores)
        largest = hardware.largest_board
        tried = board or largest
        smallest = hardware.smallest_board(needed)
        least = network_bound(value.partition.problem).cores
        taken = {name: len(set(c.tolist())) for name, c in value.partition.packing.core.items()}
        layer = max(taken, key=lambda name: taken[name])
        remedy = (
            f"the smallest board on which it would fit is {smallest.name} with "
            f"{smallest.chips} chips"
            if smallest
            else f"no {hardware.name} board is larger than {largest.name}, so make it smaller"
        )
        return FitError(
            f"the network takes {needed} cores (at least {least}), {tried.name} has "
            f"{tried.cores(hardware)} ({tried.chips} chips of {tried.usable_cores(hardware)}); "
            f"layer {layer!r} takes most, {taken[layer]}; {remedy}",
            layer=layer,
            resource="cores",
            used=needed,
            limit=tried.cores(hardware),
            taken=taken,
        )

    def changes(self, before: Allocation, after: Placement) -> str:
        chip, position = after.places()
        words = f"{len(chip)} cores on {chip.max() + 1} chip(s) of {after.target.name}"
        total = float(after.traffic.messages.sum())
        if not total:
            return words
        hops = after.traffic.hops(chip, position, after.target.hardware) / total
        between = after.traffic.between_chips(chip) / total
        return f"{words}, {between:.1%} of messages between chips, {hops:.2f} hops a message"
