"""The rows of all blocks as runs of weights for consecutive targets.

A row is one atom's synapses in a block; a spike adds whole rows. Rows are cut into runs core by
core, since on a full chip temporary arrays of all synapses would outweigh the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip.core import Core, IntArray

#: So many targets that a row leaves out are bridged with zeros.
BRIDGED = 8


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of all blocks, core by core: one for each atom of each block.

    Attributes
    ----------
    run_start : (rows + 1,) number of each row's first run
    synapses : (rows,) how many synapses they hold with a weight other than 0
    first_row : for each core, (blocks + 1,) number of each block's first row
    target, step, length, first, delay : (runs,) weights[first:first + length] go to every
        `step`-th compartment from `target` on, counted from an axon's base, `delay` steps later
        than otherwise
    weights : int16, in units of 2^6; int32 where there are finer bits
    places : for each core that learns, place of each of its synapses among the weights, in the
        order of blocks
    """

    run_start: NDArray[np.int64]
    synapses: NDArray[np.int64]
    first_row: list[NDArray[np.int64]]
    target: NDArray[np.int64]
    step: NDArray[np.int64]
    length: NDArray[np.int64]
    first: NDArray[np.int64]
    delay: NDArray[np.int64]
    weights: NDArray[Any]
    places: dict[int, NDArray[np.int64]]


def block_rows(cores: Sequence[Core], fine: int = 0) -> Rows:
    """All rows of all cores; `fine` bits below the chip's unit are kept."""
    parts = [_core_rows(core, fine) for core in cores]
    weights = _starts([len(part.weights) for part in parts])
    runs = _starts([len(part.first) for part in parts])
    rows = _starts([len(part.synapses) for part in parts])
    return Rows(
        run_start=np.append(
            np.concatenate(
                [part.run_start[:-1] + start for part, start in zip(parts, runs, strict=False)]
            ),
            runs[-1],
        ),
        synapses=np.concatenate([part.synapses for part in parts]),
        first_row=[part.first_row[0] + start for part, start in zip(parts, rows, strict=False)],
        target=np.concatenate([part.target for part in parts]),
        step=np.concatenate([part.step for part in parts]),
        length=np.concatenate([part.length for part in parts]),
        first=np.concatenate(
            [part.first + start for part, start in zip(parts, weights, strict=False)]
        ),
        delay=np.concatenate([part.delay for part in parts]),
        weights=np.concatenate([part.weights for part in parts]),
        places={
            number: part.places[0] + int(weights[number])
            for number, part in enumerate(parts)
            if part.places
        },
    )


def ranges(start: IntArray, sizes: IntArray) -> NDArray[np.int64]:
    """Indices start[0], start[0] + 1, …, sizes[0] of them, then those of the next."""
    begins = np.cumsum(sizes) - sizes
    return np.arange(int(sizes.sum())) + np.repeat(start.astype(np.int64) - begins, sizes)


def shifted(mantissa: NDArray[Any], exponent: Any) -> NDArray[Any]:
    """`chip.arithmetic.shift` of arrays."""
    return np.where(
        exponent >= 0, mantissa << np.maximum(exponent, 0), mantissa >> np.maximum(-exponent, 0)
    )


def _starts(sizes: Sequence[int]) -> NDArray[np.int64]:
    return np.cumsum([0, *sizes]).astype(np.int64)


def _core_rows(core: Core, fine: int) -> Rows:
    """Cut a core's rows where the next target is not a step ahead, or the delay changes.

    The step is that which is most frequent in a block. Where weights learn it is 1, and targets
    that are left out are bridged; else runs of zeros only are dropped.
    """
    blocks = core.blocks
    sizes = blocks.atoms.astype(np.int64) * blocks.length
    order = ranges(blocks.start, sizes)
    exponent = fine + np.repeat(core.formats.exponent[blocks.format].astype(np.int32), sizes)
    kind = np.int32 if fine else np.int16
    weights = shifted(core.synapses.mantissa[order].astype(np.int32), exponent).astype(kind)
    target = core.synapses.target[order].astype(np.int32)
    delay = core.synapses.delay[order].astype(np.int32)
    lengths = np.repeat(blocks.length, blocks.atoms).astype(np.int64)
    rows = np.append(0, np.cumsum(lengths))
    total = len(weights)
    ahead = np.diff(target)
    fresh = np.zeros(total + 1, bool)
    learns = bool(len(core.learning))
    step = np.repeat(np.ones(len(blocks), np.int64) if learns else _steps(core), sizes)
    fresh[1:total] = (ahead < step[1:]) | (ahead > step[1:] + BRIDGED * learns)
    fresh[1:total] |= np.diff(delay) != 0
    fresh[rows] = True
    first = np.flatnonzero(fresh[:total])
    held = np.diff(np.append(first, total)) if total else first
    if total and not learns:
        live = np.logical_or.reduceat(weights != 0, first)
        first, held = first[live], held[live]
    last = first + held - 1
    span = ((target[last] - target[first]) // step[first] + 1).astype(np.int64)
    begins = np.cumsum(span) - span
    kept = ranges(first, held)
    within = (target[kept] - np.repeat(target[first], held)) // step[kept]
    places = (np.repeat(begins, held) + within).astype(np.int64)
    filled = np.zeros(int(span.sum()), kind)
    filled[places] = weights[kept]
    run_start = np.searchsorted(first, rows).astype(np.int64)
    return Rows(
        run_start=run_start,
        synapses=np.diff(np.append(0, np.cumsum(weights != 0))[rows]),
        first_row=[np.append(0, np.cumsum(blocks.atoms, dtype=np.int64))],
        target=target[first].astype(np.int64),
        step=step[first],
        length=span,
        first=begins.astype(np.int64),
        delay=delay[first].astype(np.int64),
        weights=filled,
        places={0: places} if learns else {},
    )


def _steps(core: Core) -> NDArray[np.int64]:
    """(blocks,) the most frequent distance of neighbours in each block's first row."""
    steps = np.ones(len(core.blocks), np.int64)
    for k, (start, length) in enumerate(
        zip(core.blocks.start.tolist(), core.blocks.length.tolist(), strict=True)
    ):
        ahead = np.diff(core.synapses.target[start : start + length].astype(np.int64))
        ahead = ahead[ahead > 0]
        if len(ahead):
            steps[k] = np.bincount(ahead).argmax()
    return steps
