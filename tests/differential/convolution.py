"""Random convolutions between grids, as blocks that places of the source share.

Each place of the source has a population axon; its block has a row for each channel, with a
synapse for every tap of the kernel that falls on the target. Places whose taps fall alike share
a block, at different bases.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from dialects import Dialect
from dice import Dice
from draft import Draft, random_format
from numpy.typing import NDArray
from wiring import add_block, random_mantissas

from nmcompile.chip.core import POP16, POP32

#: Tap (row, column) of the kernel, and the place (row, column) of the target that it falls on.
Tap = tuple[int, int, int, int]


def convolve(
    dice: Dice, dialect: Dialect, source: Draft, number: int, target: Draft
) -> dict[str, Any]:
    """Connect two grids by a convolution; what it is, in plain numbers.

    Returns
    -------
    `kernel` (rows, columns, source channels, target channels) nested lists of mantissas,
    `exponent` of their format, `stride`, `padding` (rows, columns), `target` core and its
    input `axons`
    """
    tall, wide = (_geometry(dice, source.shape[k], target.shape[k]) for k in (0, 1))
    form = random_format(dice, target, dense=0)
    target.formats.append(form)
    channels = source.shape[2], target.shape[2]
    shape = (tall[0], wide[0], *channels)
    kernel = random_mantissas(dice, dialect, form, int(np.prod(shape))).reshape(shape)
    delays = (0,) if dice.often(1, 2) else target.delays
    kind = dice.pick((POP16, POP32))
    step = 4 if kind == POP16 else 1
    blocks: dict[tuple[tuple[int, ...], tuple[tuple[int, int], ...]], int] = {}
    axons = []
    for row, column in product(*map(range, source.shape[:2])):
        taps = _taps(row, column, tall, wide, target.shape)
        if not taps:
            continue
        targets = np.concatenate([_compartments(target, to[2], to[3]) for to in taps])
        base = int(targets.min()) // step * step
        key = tuple((targets - base).tolist()), tuple((k, m) for k, m, _, _ in taps)
        if key not in blocks:
            rows = [
                (targets - base, np.concatenate([kernel[k, m, channel] for k, m, _, _ in taps]))
                for channel in range(channels[0])
            ]
            blocks[key] = add_block(dice, target, len(target.formats) - 1, rows, delays)
        target.input_axons.append((kind, blocks[key], base))
        axons.append(len(target.input_axons) - 1)
        population = row * source.shape[1] + column
        source.output_axons.append((kind, population, number, axons[-1]))
    return {
        "kernel": kernel.tolist(),
        "exponent": form[0],
        "stride": [tall[1], wide[1]],
        "padding": [tall[2], wide[2]],
        "target": number,
        "axons": axons,
    }


def _geometry(dice: Dice, size: int, result: int) -> tuple[int, int, int]:
    """Kernel size, stride and padding that lead from one size to the other."""
    fitting = [
        (kernel, stride, padding)
        for kernel, stride, padding in product((1, 2, 3), (1, 2), (0, 1, 2))
        if size + 2 * padding >= kernel and (size + 2 * padding - kernel) // stride + 1 == result
    ]
    return dice.pick(fitting)


def _taps(
    row: int,
    column: int,
    tall: tuple[int, int, int],
    wide: tuple[int, int, int],
    shape: tuple[int, ...],
) -> list[Tap]:
    """Taps by which a place of the source reaches a target of this shape."""
    down = _reached(row, tall, shape[0])
    across = _reached(column, wide, shape[1])
    return [(k, m, to_row, to_column) for k, to_row in down for m, to_column in across]


def _reached(place: int, geometry: tuple[int, int, int], size: int) -> list[tuple[int, int]]:
    """(tap, target) of all taps that carry a place to a target in 0..size - 1."""
    kernel, stride, padding = geometry
    offsets = [(tap, place + padding - tap) for tap in range(kernel)]
    return [
        (tap, offset // stride)
        for tap, offset in offsets
        if offset % stride == 0 and 0 <= offset // stride < size
    ]


def _compartments(draft: Draft, row: int, column: int) -> NDArray[np.int64]:
    """All channels of a place."""
    rows, columns, channels = draft.shape
    place = row * columns + column
    if draft.channels_last:
        return place * channels + np.arange(channels)
    return place + rows * columns * np.arange(channels)
