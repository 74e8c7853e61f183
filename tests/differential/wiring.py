"""Random blocks, axons and connections between the drafts of cores."""

from __future__ import annotations

import numpy as np
from dialects import Dialect
from dice import Dice
from draft import Draft
from numpy.typing import NDArray

from nmcompile.chip.arithmetic import mantissa_range, mantissa_step
from nmcompile.chip.core import DISCRETE, POP16, POP32


def connect(dice: Dice, dialect: Dialect, source: Draft, number: int, target: Draft) -> None:
    """Output axons from one core to core `number`, by compartment or by population."""
    if source.populations and dice.often(3, 4):
        kind = dice.pick((POP16, POP32))
        for population, held in enumerate(source.populations):
            if dice.often(3, 4):
                axon = _input_axon(dice, dialect, target, kind, held)
                source.output_axons.append((kind, population, number, axon))
        return
    axon = _input_axon(dice, dialect, target, DISCRETE, 1)
    for compartment in range(source.size):
        if dice.often(1, 2):
            if dice.often(2, 3):
                axon = _input_axon(dice, dialect, target, DISCRETE, 1)
            source.output_axons.append((DISCRETE, compartment, number, axon))


def inject(
    dice: Dice, dialect: Dialect, neurons: int, number: int, target: Draft
) -> list[tuple[int, int, int, int]]:
    """(neuron, core, axon, atom) for the host's spikes into core `number`."""
    rows: list[tuple[int, int, int, int]] = []
    kind = dice.pick((DISCRETE, POP16, POP32))
    if kind == DISCRETE:
        for neuron in range(neurons):
            for _ in range(dice.one(1, 2)):
                axon = _input_axon(dice, dialect, target, kind, 1)
                rows.append((neuron, number, axon, 0))
        return rows
    atoms = dice.one(1, 6)
    for neuron in range(neurons):
        if neuron % atoms == 0:
            again = range(dice.one(1, 2))
            axons = [_input_axon(dice, dialect, target, kind, atoms) for _ in again]
        rows += [(neuron, number, axon, neuron % atoms) for axon in axons]
    return rows


def add_block(
    dice: Dice,
    draft: Draft,
    number: int,
    rows: list[tuple[NDArray[np.int64], NDArray[np.int64]]],
    among: tuple[int, ...],
) -> int:
    """A new block in format `number` of (targets, mantissas), one pair an atom.

    Its synapses have delays `among` some, often all the same.
    """
    length = len(rows[0][0])
    draft.blocks.append((len(draft.synapses), len(rows), length, number))
    draft.reach.append(max(int(targets.max()) for targets, _ in rows))
    same = dice.pick(among) if dice.often(2, 3) else None
    for targets, mantissas in rows:
        delays = [dice.pick(among) if same is None else same for _ in range(length)]
        draft.synapses += zip(targets.tolist(), mantissas.tolist(), delays, strict=True)
    return len(draft.blocks) - 1


def random_mantissas(
    dice: Dice, dialect: Dialect, format_row: tuple[int, ...], size: int
) -> NDArray[np.int64]:
    """Mantissas of a format, a sixth of them 0.

    Where accumulators must not wrap around, those of large exponents are often smaller.
    """
    exponent, bits, mode = format_row[:3]
    low, high = mantissa_range(mode)
    step = mantissa_step(bits, mode)
    if exponent == 7 and not dialect.lowest_weight:
        low = max(low, -255)
    if dialect.shifts_sums:
        step = max(step, 1 << max(-exponent, 0))
    if "accumulator" not in dialect.wraps and exponent > 0:
        smaller = dice.one(0, 5)
        low, high = max(low, min(low >> smaller, -step)), min(high, max(high >> smaller, step))
    mantissas = dice.many(-(-low // step), high // step, size) * step
    mantissas[dice.many(1, 6, size) == 1] = 0
    return mantissas


def _block(dice: Dice, dialect: Dialect, draft: Draft, atoms: int) -> int:
    """A block with room for so many atoms: one that is there already, or a new one."""
    if atoms > 1:
        usable = [k for k, row in enumerate(draft.blocks) if row[1] >= atoms]
    else:
        usable = [k for k, row in enumerate(draft.blocks) if row[1] == 1]
    if usable and dice.often(2, 3):
        return dice.pick(usable)
    number = dice.one(0, len(draft.formats) - 1)
    dense = draft.formats[number][5]
    length = dice.one(1, draft.size)
    # Leave room for bases other than 0, most of the time.
    span = max(length, draft.size - dice.pick((0, 4, 8, 8)))
    length = min(length, span)
    rows = []
    for _ in range(atoms):
        if dense:
            targets = np.arange(length)
        elif dialect.repeats and dice.often(1, 4):
            targets = dice.many(0, span - 1, length)
        else:
            targets = dice.order(span)[:length]
            if dice.often(1, 2):
                targets = np.sort(targets)
        mantissas = random_mantissas(dice, dialect, draft.formats[number], length)
        rows.append((targets, mantissas))
    return add_block(dice, draft, number, rows, draft.delays)


def _input_axon(dice: Dice, dialect: Dialect, draft: Draft, kind: int, atoms: int) -> int:
    """A new input axon, at any base that its block allows."""
    block = _block(dice, dialect, draft, atoms)
    last = draft.size - 1 - draft.reach[block]
    base = 4 * dice.one(0, last // 4) if kind == POP16 else dice.one(0, last)
    draft.input_axons.append((kind, block, base))
    return len(draft.input_axons) - 1
