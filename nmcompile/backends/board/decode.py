"""Cores from register fields alone: what a chip would make of an image.

Fields that our own images never use must say so, since the emulator has no equal for what else
they could mean: an image is refused rather than half understood.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.backends.board.image import RegisterImage, RegisterTable
from nmcompile.backends.board.read_core import CoreReader
from nmcompile.chip.core import (
    DISCRETE,
    Core,
)
from nmcompile.errors import BoardError


def decode(image: RegisterImage) -> tuple[Core, ...]:
    """The cores of all chips, in order.

    Raises
    ------
    BoardError
        Fields that contradict each other, or that say what the emulator cannot do.
    """
    image.check()
    starts = np.cumsum([0, *image.cores])
    split = [_by_core(table, starts) for table in image.tables]
    cores = []
    for chip, held in enumerate(image.cores):
        for position in range(held):
            number = int(starts[chip]) + position
            tables = [parts[number] for parts in split if number in parts]
            try:
                cores.append(CoreReader(tables, starts).core(chip, position))
            except BoardError as error:
                raise BoardError(f"core {position} of chip {chip}: {error}") from None
    for number, core in enumerate(cores):
        out = core.output_axons
        for k in range(len(out)):
            into = cores[out.core[k]].input_axons
            if out.axon[k] >= len(into) or into.kind[out.axon[k]] != out.kind[k]:
                raise BoardError(
                    f"core {number}: an output axon of kind {out.kind[k]} goes to input axon "
                    f"{out.axon[k]} of core {out.core[k]}, which has none such"
                )
    _check_atoms(cores)
    return tuple(cores)


def _by_core(table: RegisterTable, starts: NDArray[Any]) -> dict[int, RegisterTable]:
    """The rows of each core, by its number."""
    number = starts[table.chip] + table.core
    order = np.argsort(number, kind="stable")
    found, first = np.unique(number[order], return_index=True)
    ends = np.append(first[1:], len(order))
    return {
        int(k): table.rows(order[start:stop])
        for k, start, stop in zip(found, first, ends, strict=True)
    }


def _check_atoms(cores: list[Core]) -> None:
    """Refuse spikes whose atom the block that they reach does not have."""
    for number, core in enumerate(cores):
        out, comps = core.output_axons, core.compartments
        highest: dict[int, int] = {}
        for population, atom in zip(comps.population.tolist(), comps.atom.tolist(), strict=True):
            highest[population] = max(highest.get(population, 0), atom)
        for k in np.flatnonzero(out.kind != DISCRETE).tolist():
            into = cores[out.core[k]]
            atoms = int(into.blocks.atoms[into.input_axons.block[out.axon[k]]])
            if highest[int(out.source[k])] >= atoms:
                raise BoardError(
                    f"core {number}: population {out.source[k]} has an atom "
                    f"{highest[int(out.source[k])]}, axon {out.axon[k]} of core {out.core[k]} "
                    f"holds {atoms}"
                )
