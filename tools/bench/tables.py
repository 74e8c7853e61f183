"""The weights between two layers, read back from the tables of a Program's cores."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip.core import DISCRETE, Core, IntArray
from nmcompile.chip.program import Program

Ends = list[tuple[IntArray, IntArray, int, int]]


def weights(
    program: Program, source: str, target: str, neurons: int | None = None
) -> NDArray[np.int64]:
    """(source neurons, target neurons) integers that a spike adds, before the chip's shift by 6.

    Parameters
    ----------
    neurons : of the target, the first so many; None for all
    """
    into = program.layer(target)
    count = into.neurons if neurons is None else neurons
    number = [np.full(len(core.compartments), -1) for core in program.cores]
    for k in range(count):
        number[into.core[k]][into.compartment[k]] = k
    if source == program.encoder.name:
        size, ends = prod(program.encoder.shape), _injected(program)
    else:
        size, ends = program.layer(source).neurons, _sent(program, source)
    matrix = np.zeros((size, count), np.int64)
    for members, atoms, core, axon in ends:
        _add(matrix, program.cores[core], number[core], members, atoms, axon)
    return matrix


def convolution(
    program: Program,
    source: str,
    target: str,
    kernel: tuple[int, int],
    source_shape: tuple[int, ...],
) -> NDArray[np.int64]:
    """(rows, columns, channels in, channels out) kernel of a convolution without padding."""
    channels = program.layer(target).shape[-1]
    first = weights(program, source, target, channels)
    return first.reshape(*source_shape, channels)[: kernel[0], : kernel[1]]


def _injected(program: Program) -> Ends:
    """(neurons, atoms, core, axon) of the encoder."""
    table = program.injection
    keys, places = np.unique(np.stack([table.core, table.axon]), axis=1, return_inverse=True)
    order = np.argsort(places.ravel(), kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(places.ravel()))[:-1])
    return [
        (table.neuron[group], table.atom[group], int(core), int(axon))
        for group, core, axon in zip(groups, *keys, strict=True)
    ]


def _sent(program: Program, source: str) -> Ends:
    """(neurons, atoms, core, axon) of a layer on the chip."""
    layer = program.layer(source)
    found: Ends = []
    for number, core in enumerate(program.cores):
        own = np.full(len(core.compartments), -1)
        mine = np.flatnonzero(layer.core == number)
        own[layer.compartment[mine]] = mine
        out = core.output_axons
        for k in range(len(out)):
            if out.kind[k] == DISCRETE:
                members = np.array([int(out.source[k])])
                atoms = np.zeros(1, np.int64)
            else:
                members = np.flatnonzero(core.compartments.population == out.source[k])
                atoms = core.compartments.atom[members]
            here = own[members] >= 0
            if here.any():
                ends = own[members][here], atoms[here], int(out.core[k]), int(out.axon[k])
                found.append(ends)
    return found


def _add(
    matrix: NDArray[np.int64],
    core: Core,
    number: IntArray,
    members: IntArray,
    atoms: IntArray,
    axon: int,
) -> None:
    """Add what these neurons do by an axon to the compartments that `number` numbers."""
    block = int(core.input_axons.block[axon])
    start, length = int(core.blocks.start[block]), int(core.blocks.length[block])
    rows = start + atoms.astype(np.int64)[:, None] * length + np.arange(length)
    exponent = int(core.formats.exponent[core.blocks.format[block]])
    mantissa = core.synapses.mantissa[rows].astype(np.int64)
    value = mantissa << exponent if exponent >= 0 else mantissa >> -exponent
    reached = number[int(core.input_axons.base[axon]) + core.synapses.target[rows].astype(np.int64)]
    live = reached >= 0
    sources = np.broadcast_to(members[:, None], rows.shape)
    np.add.at(matrix, (sources[live], reached[live]), value[live])
