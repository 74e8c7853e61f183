"""Placement: which chip of the board each core is on, and which place of that chip's mesh."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nmcompile.hardware import HardwareModel
from nmcompile.mapper.chips import assign_chips
from nmcompile.mapper.mesh import assign_positions
from nmcompile.mapper.traffic import Traffic


def place_cores(
    traffic: Traffic,
    chips: int,
    hardware: HardwareModel,
    seed: int = 0,
    per_chip: int | None = None,
    threads: int | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Chip and place of each core, with few messages between chips and few hops within them.

    Takes as few chips as hold the cores.

    Parameters
    ----------
    traffic : messages per time step from core to core
    chips : how many there are
    hardware : says how many cores a chip has and how they lie on its mesh
    seed : equal seeds give equal places
    per_chip : cores of a chip that may be used; None for all
    threads : None for all of the machine; makes no difference to the result

    Returns
    -------
    chip : (cores,) int32
    position : (cores,) int32, from 0 to less than a chip has cores, tile by tile

    Raises
    ------
    FitError
        Where the chips do not hold the cores.
    """
    per_chip = per_chip or hardware.chip.cores.value
    chip = assign_chips(traffic, chips, per_chip, seed, threads)
    return chip, assign_positions(traffic, chip, hardware, seed, threads, per_chip=per_chip)
