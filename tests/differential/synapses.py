"""All connections of a Program one by one, for references that know no axons or blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip.core import DISCRETE
from nmcompile.chip.program import Program

#: Stands for the host where a core's number is asked for.
HOST = -1

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Connections:
    """One element a synapse that a spike can reach; those of weight 0 are left out.

    Attributes
    ----------
    from_core : core of the source, or HOST
    source : its compartment, or neuron of the encoder
    core, target, axon : where the synapse is, the compartment, and by which input axon
    exponent, weight_bits, sign_mode, mantissa, delay : as in the chip's tables
    """

    from_core: Integers
    source: Integers
    core: Integers
    target: Integers
    axon: Integers
    exponent: Integers
    weight_bits: Integers
    sign_mode: Integers
    mantissa: Integers
    delay: Integers

    @staticmethod
    def of(program: Program) -> Connections:
        parts: list[list[Integers]] = []
        for from_core, source, atom, core, axon in _ends(program):
            rows = _row(program, core, axon, atom)
            size = len(rows[0])
            ends = [np.full(size, value, np.int64) for value in (from_core, source, core)]
            parts.append([*ends, rows[0], np.full(size, axon, np.int64), *rows[1:]])
        joined = [np.concatenate(column) for column in zip(*parts, strict=True)]
        return Connections(*joined)

    def where(self, chosen: NDArray[Any]) -> Connections:
        """Some of them, by a mask or by numbers."""
        return Connections(*(column[chosen] for column in vars(self).values()))


def split(*columns: Integers) -> list[tuple[tuple[int, ...], NDArray[np.int64]]]:
    """Elements with equal values in all columns: the values, and which elements."""
    keys, number = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
    number = number.reshape(-1)
    return [(tuple(key), np.flatnonzero(number == k)) for k, key in enumerate(keys.tolist())]


def _ends(program: Program) -> list[tuple[int, int, int, int, int]]:
    """(core or HOST, source, atom, target core, input axon) of all that spikes leave by."""
    ends = []
    for number, core in enumerate(program.cores):
        out, comps = core.output_axons, core.compartments
        for k in range(len(out)):
            where = int(out.core[k]), int(out.axon[k])
            if out.kind[k] == DISCRETE:
                ends.append((number, int(out.source[k]), 0, *where))
                continue
            for n in np.flatnonzero(comps.population == out.source[k]):
                ends.append((number, int(n), int(comps.atom[n]), *where))
    rows = program.injection
    for k in range(len(rows)):
        where = int(rows.core[k]), int(rows.axon[k])
        ends.append((HOST, int(rows.neuron[k]), int(rows.atom[k]), *where))
    return ends


def _row(program: Program, number: int, axon: int, atom: int) -> list[Integers]:
    """Target, exponent, bits, sign mode, mantissa and delay of an atom's synapses."""
    core = program.cores[number]
    block = int(core.input_axons.block[axon])
    length = int(core.blocks.length[block])
    start = int(core.blocks.start[block]) + atom * length
    rows = core.synapses.rows(start, start + length)
    used = rows.mantissa != 0
    kind = int(core.blocks.format[block])
    formats = core.formats
    shared = (formats.exponent[kind], formats.weight_bits[kind], formats.sign_mode[kind])
    target = rows.target[used].astype(np.int64) + int(core.input_axons.base[axon])
    return [
        target,
        *(np.full(len(target), value, np.int64) for value in shared),
        rows.mantissa[used].astype(np.int64),
        rows.delay[used].astype(np.int64),
    ]
