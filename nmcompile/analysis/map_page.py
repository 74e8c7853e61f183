"""Write one page that draws where a Program lies: chips, cores, their bills and their traffic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.analysis.pages import template
from nmcompile.analysis.resources import core_bills
from nmcompile.chip.bill import RESOURCES, Bill
from nmcompile.chip.program import Program
from nmcompile.files import write_atomically
from nmcompile.hardware import HardwareModel
from nmcompile.ir.text import shape_text

#: Pairs of cores that a page lists; beyond, each core keeps its heaviest, so that files stay small.
LISTED_PAIRS = 1_500_000
#: Units that a resource's words begin with and a button leaves out.
UNIT = "64-bit words of "

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class AxonCounts:
    """Which core sends to which, in ascending order of the sender and then the receiver.

    Attributes
    ----------
    source, target : (pairs,) numbers of cores
    axons : (pairs,) output axons from the one to the other
    """

    source: Integers
    target: Integers
    axons: Integers

    def heaviest(self, cores: int, pairs: int) -> AxonCounts:
        """The heaviest pairs of each sender, where all of them are more than `pairs`."""
        if len(self.source) <= pairs:
            return self
        order = np.lexsort((self.target, -self.axons, self.source))
        first = np.searchsorted(self.source, np.arange(cores))
        rank = np.arange(len(order)) - first[self.source]
        kept = np.sort(order[rank < max(pairs // cores, 1)])
        return AxonCounts(self.source[kept], self.target[kept], self.axons[kept])


def write_map_page(
    path: str | Path, program: Program, hardware: HardwareModel, name: str | None = None
) -> None:
    """Write the page of `map_page` to a file; equal arguments give equal bytes.

    Parameters
    ----------
    name : of the network, for people [default: the one in the Program's manifest]

    Raises
    ------
    UsageError
        The extra `report` is not installed, or the file cannot be written.
    """
    known = str(program.manifest.get("network", "network"))
    text = map_page(program, hardware, known if name is None else name)
    write_atomically(path, text.encode("utf-8", "replace"))


def map_page(program: Program, hardware: HardwareModel, name: str) -> str:
    """A self-contained HTML page of a Program's cores on their chips.

    Parameters
    ----------
    hardware : the model whose limits the cores are held against
    name : of the network, for people

    Raises
    ------
    UsageError
        The extra `report` is not installed.
    """
    page = template("map.html.jinja")
    bills = core_bills(program, hardware)
    traffic = axon_counts(program)
    return str(
        page.render(
            name=name,
            program=program,
            hardware=hardware,
            board=_board(program, hardware),
            neurons=sum(layer.neurons for layer in program.layers),
            fullest=_fullest(bills, hardware),
            reach=_reach(program, hardware, traffic),
            unverified=_unverified(hardware),
            data=_data(program, hardware, bills, traffic),
        )
    )


def axon_counts(program: Program) -> AxonCounts:
    """Count the output axons from each core to each other."""
    cores = len(program.cores)
    keys, axons = [], []
    for number, core in enumerate(program.cores):
        targets, counts = np.unique(core.output_axons.core.astype(np.int64), return_counts=True)
        keys.append(number * cores + targets)
        axons.append(counts)
    key = np.concatenate([np.zeros(0, np.int64), *keys])
    return AxonCounts(key // max(cores, 1), key % max(cores, 1), np.concatenate([key[:0], *axons]))


def _data(
    program: Program, hardware: HardwareModel, bills: Sequence[Bill], traffic: AxonCounts
) -> dict[str, Any]:
    """All that the page's script draws, as plain JSON."""
    cores = len(program.cores)
    chip = np.array([core.chip for core in program.cores], np.int64)
    numbers, place = np.unique(chip, return_inverse=True)
    crossing, axons = np.unique(
        place[traffic.source] * len(numbers) + place[traffic.target], return_inverse=True
    )
    between = np.bincount(axons, weights=traffic.axons, minlength=len(crossing))
    listed = traffic.heaviest(cores, LISTED_PAIRS)
    model = hardware.chip
    slots, columns = model.cores_per_tile.value, model.mesh_columns.value
    furthest = max((core.position for core in program.cores), default=0)
    rows = max(model.mesh_rows.value, furthest // slots // columns + 1)
    host = np.unique(
        program.injection.core.astype(np.int64) * 2**16 + program.injection.axon.astype(np.int64)
    )
    return {
        "mesh": {"columns": columns, "rows": rows, "slots": slots},
        "layers": _layers(program),
        "resources": [
            {
                "key": key,
                "title": words.removeprefix(UNIT),
                "words": words,
                **getattr(hardware.core, key).model_dump(),
            }
            for key, words in RESOURCES.items()
        ],
        "cores": {
            "chip": place.tolist(),
            "position": [core.position for core in program.cores],
            "used": [[getattr(bill, key) for bill in bills] for key in RESOURCES],
            "layers": _shares(program),
            "host": np.bincount(host >> 16, minlength=cores).tolist(),
        },
        "traffic": {
            "receivers": np.bincount(traffic.source, minlength=cores).tolist(),
            "senders": np.bincount(traffic.target, minlength=cores).tolist(),
            "sent": _sums(traffic.source, traffic.axons, cores),
            "received": _sums(traffic.target, traffic.axons, cores),
            "listed": np.bincount(listed.source, minlength=cores).tolist(),
            # Each core's receivers, all but the first as the step from the one before.
            "step": _steps(listed),
            "axons": listed.axons.tolist(),
            "whole": len(listed.source) == len(traffic.source),
        },
        "chips": {
            "number": numbers.tolist(),
            "from": (crossing // max(len(numbers), 1)).tolist(),
            "to": (crossing % max(len(numbers), 1)).tolist(),
            "axons": between.astype(np.int64).tolist(),
        },
    }


def _layers(program: Program) -> list[dict[str, Any]]:
    return [
        {
            "name": layer.name,
            "shape": shape_text(layer.shape),
            "neurons": layer.neurons,
            "cores": len(np.unique(layer.core)),
        }
        for layer in program.layers
    ]


def _shares(program: Program) -> list[list[int]]:
    """Of each core its layers, each followed by the number of its neurons there."""
    shares: list[list[int]] = [[] for _ in program.cores]
    for k, layer in enumerate(program.layers):
        numbers, counts = np.unique(layer.core, return_counts=True)
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            shares[number] += [k, count]
    return shares


def _sums(where: Integers, axons: Integers, cores: int) -> list[int]:
    return np.bincount(where, weights=axons, minlength=cores).astype(np.int64).tolist()


def _steps(traffic: AxonCounts) -> list[int]:
    steps = np.diff(traffic.target, prepend=0)
    first = np.diff(traffic.source, prepend=-1) != 0
    return np.where(first, traffic.target, steps).tolist()


def _fullest(bills: Sequence[Bill], hardware: HardwareModel) -> dict[str, Any] | None:
    """The resource that is closest to its limit on any core, and where."""
    rows = [
        (used / limit, -number, key, used, limit)
        for number, bill in enumerate(bills)
        for key, used, limit in bill.compared(hardware)
    ]
    if not rows:
        return None
    share, number, key, used, limit = max(rows, key=lambda row: row[:2])
    return {
        "share": share,
        "core": -number,
        "title": RESOURCES[key].removeprefix(UNIT),
        "used": used,
        "limit": limit,
        "verified": getattr(hardware.core, key).verified,
    }


def _reach(program: Program, hardware: HardwareModel, traffic: AxonCounts) -> dict[str, Any]:
    """How far spikes go: axons by what they cross, and mean hops of those that stay on a chip."""
    model = hardware.chip
    chip = np.array([core.chip for core in program.cores], np.int64)
    tile = np.array([core.position for core in program.cores], np.int64)
    tile //= model.cores_per_tile.value
    row, column = np.divmod(tile, model.mesh_columns.value)
    source, target, axons = traffic.source, traffic.target, traffic.axons
    same = chip[source] == chip[target]
    hops = np.abs(row[source] - row[target]) + np.abs(column[source] - column[target])
    on_chip = int(axons[same].sum())
    return {
        "axons": int(axons.sum()),
        "within": int(axons[source == target].sum()),
        "between": int(axons[~same].sum()),
        "hops": float((hops * axons)[same].sum() / on_chip) if on_chip else 0.0,
    }


def _unverified(hardware: HardwareModel) -> list[dict[str, str]]:
    """The numbers on the page that the hardware model does not call verified, and their source."""
    names = {
        "cores": "cores of a chip",
        "mesh_columns": "columns of the mesh",
        "mesh_rows": "rows of the mesh",
        "cores_per_tile": "cores of a tile",
    }
    numbers = [(words, getattr(hardware.chip, key)) for key, words in names.items()]
    numbers += [(words, getattr(hardware.core, key)) for key, words in RESOURCES.items()]
    return [
        {"what": words, "value": f"{number.value:,}", "source": number.source}
        for words, number in numbers
        if not number.verified
    ]


def _board(program: Program, hardware: HardwareModel) -> int:
    """Chips of the board that the Program was built for; those in use where none is named."""
    name = program.target.partition(":")[2]
    return next((b.chips for b in hardware.boards if b.name == name), program.chips)
