"""Lower a Program's tables, once, into flat arrays that compiled kernels run over.

Compartments of all cores are numbered through, core by core. Consecutive compartments with the
same registers form a segment. Each row of a block (one atom's synapses) becomes runs of
consecutive targets, so that a spike is a few additions of slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip import arithmetic
from nmcompile.chip.core import DISCRETE, Core, IntArray
from nmcompile.chip.program import Program


class Segments(NamedTuple):
    """Consecutive compartments with equal registers; `layer` indexes the Program's layers."""

    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    layer: NDArray[np.int64]
    decay_u: NDArray[np.int64]
    decay_v: NDArray[np.int64]
    refractory: NDArray[np.int64]
    threshold: NDArray[np.int64]
    vmin: NDArray[np.int64]
    vmax: NDArray[np.int64]
    noise: NDArray[np.int64]
    noise_exponent: NDArray[np.int64]
    noise_offset: NDArray[np.int64]
    noise_at_voltage: NDArray[np.int64]


class Synapses(NamedTuple):
    """Rows of runs; run r adds weights[first[r]:first[r]+length[r]] from target[r] on."""

    row_start: NDArray[np.int64]
    target: NDArray[np.int32]
    length: NDArray[np.int32]
    first: NDArray[np.int64]
    delay: NDArray[np.int32]
    weights: NDArray[np.int16]


class Routes(NamedTuple):
    """For each neuron from start[n] to start[n+1]: the row it triggers and the base to add."""

    start: NDArray[np.int64]
    row: NDArray[np.int32]
    base: NDArray[np.int32]
    events: NDArray[np.int64]


class Lowered(NamedTuple):
    """A Program as flat arrays; `bias` and `neuron` have one entry a compartment."""

    segments: Segments
    synapses: Synapses
    routes: Routes
    encoder_routes: Routes
    bias: NDArray[np.int32]
    neuron: NDArray[np.int64]
    max_delay: int


def core_offsets(program: Program) -> NDArray[np.int64]:
    """(cores + 1,) number of each core's first compartment."""
    return np.cumsum([0, *(len(core.compartments) for core in program.cores)]).astype(np.int64)


def layer_compartments(program: Program, name: str) -> NDArray[np.int64]:
    """(neurons,) number of each neuron's compartment, counted through all cores."""
    layer = program.layer(name)
    return core_offsets(program)[layer.core] + layer.compartment


def lower(program: Program) -> Lowered:
    """Flat arrays for a whole Program."""
    offsets = core_offsets(program)
    row_start, runs, block_rows = _synapses(program.cores)
    layer_of = np.full(int(offsets[-1]), len(program.layers), np.int64)
    for number, layer in enumerate(program.layers):
        layer_of[offsets[layer.core] + layer.compartment] = number
    routes = _routes(program, offsets, block_rows)
    events = _row_events(row_start, runs.length)
    return Lowered(
        segments=_segments(program.cores, offsets, layer_of),
        synapses=runs,
        routes=_finish(routes, int(offsets[-1]), events),
        encoder_routes=_finish(
            _encoder_routes(program, offsets, block_rows),
            int(np.prod(program.encoder.shape)),
            events,
        ),
        bias=np.concatenate(
            [
                core.compartments.bias_mantissa.astype(np.int32)
                << core.compartments.bias_exponent.astype(np.int32)
                for core in program.cores
            ]
        ),
        neuron=np.concatenate([core.compartments.neuron for core in program.cores]).astype(
            np.int64
        ),
        max_delay=int(runs.delay.max(initial=0)),
    )


def _segments(
    cores: Sequence[Core], offsets: NDArray[np.int64], layer_of: NDArray[np.int64]
) -> Segments:
    rows: list[tuple[int, ...]] = []
    for number, core in enumerate(cores):
        comps = core.compartments
        if not len(comps):
            continue
        layers = layer_of[offsets[number] : offsets[number + 1]]
        keys = np.stack([comps.profile, comps.threshold, layers], axis=1)
        cuts = np.flatnonzero((np.diff(keys, axis=0) != 0).any(axis=1)) + 1
        edges = [0, *cuts.tolist(), len(comps)]
        for start, stop in pairwise(edges):
            profile, threshold, layer = (int(k) for k in keys[start])
            rows.append(
                (
                    int(offsets[number]) + start,
                    int(offsets[number]) + stop,
                    layer,
                    int(core.profiles.decay_u[profile]),
                    int(core.profiles.decay_v[profile]),
                    int(core.profiles.refractory[profile]),
                    arithmetic.threshold(int(core.thresholds.mantissa[threshold])),
                    arithmetic.voltage_floor(core.vmin_exponent),
                    arithmetic.voltage_ceiling(core.vmax_exponent),
                    int(core.profiles.noise[profile]),
                    core.noise_exponent,
                    core.noise_offset,
                    core.noise_at_voltage,
                )
            )
    columns = np.array(rows, np.int64).reshape(-1, len(Segments._fields)).T
    return Segments(*(np.ascontiguousarray(column) for column in columns))


def _synapses(
    cores: Sequence[Core],
) -> tuple[NDArray[np.int64], Synapses, list[NDArray[np.int64]]]:
    """Row starts, runs, and for each core the first row of each block.

    Core by core, since on a full chip temporary arrays of all synapses would outweigh the rest.
    """
    parts: list[Synapses] = []
    block_rows: list[NDArray[np.int64]] = []
    rows = runs = weights = 0
    for core in cores:
        part = _core_synapses(core)
        block_rows.append(rows + _first_rows(core))
        parts.append(
            part._replace(
                row_start=part.row_start[:-1] + runs,
                first=part.first + weights,
            )
        )
        rows += len(part.row_start) - 1
        runs += len(part.first)
        weights += len(part.weights)
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in Synapses._fields
    }
    columns["row_start"] = np.append(columns["row_start"], runs)
    joined = Synapses(**columns)
    return joined.row_start, joined, block_rows


def _first_rows(core: Core) -> NDArray[np.int64]:
    """(blocks + 1,) number of each block's first row within its core."""
    return np.concatenate([[0], np.cumsum(core.blocks.atoms)]).astype(np.int64)


def _core_synapses(core: Core) -> Synapses:
    """The rows of one core's blocks, in order of blocks and atoms."""
    blocks = core.blocks
    sizes = blocks.atoms.astype(np.int64) * blocks.length
    order = _block_order(blocks.start, sizes)
    exponent = np.repeat(core.formats.exponent[blocks.format].astype(np.int32), sizes)
    mantissa = core.synapses.mantissa[order].astype(np.int32)
    shifted = np.where(
        exponent >= 0, mantissa << np.maximum(exponent, 0), mantissa >> np.maximum(-exponent, 0)
    )
    lengths = np.repeat(blocks.length, blocks.atoms).astype(np.int64)
    return _runs(
        shifted.astype(np.int16),
        core.synapses.target[order],
        core.synapses.delay[order],
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )


def _block_order(start: IntArray, sizes: IntArray) -> NDArray[np.int64]:
    """Indices of all blocks' synapses, block by block."""
    total = int(sizes.sum())
    begins = np.cumsum(sizes) - sizes
    return np.arange(total) + np.repeat(start.astype(np.int64) - begins, sizes)


def _runs(
    weights: NDArray[np.int16], targets: IntArray, delays: IntArray, rows: NDArray[np.int64]
) -> Synapses:
    """Cut rows into runs of consecutive targets; runs of zeros only are dropped."""
    total = len(weights)
    fresh = np.zeros(total + 1, bool)
    fresh[rows] = True
    follows = targets[1:].astype(np.int32) == targets[:-1].astype(np.int32) + 1
    fresh[1:total] |= ~follows | (delays[1:] != delays[:-1])
    first = np.flatnonzero(fresh[:total])
    length = np.diff(np.append(first, total))
    if total:
        live = np.logical_or.reduceat(weights != 0, first)
        first, length = first[live], length[live]
    return Synapses(
        row_start=np.searchsorted(first, rows).astype(np.int64),
        target=targets[first].astype(np.int32),
        length=length.astype(np.int32),
        first=first.astype(np.int64),
        delay=delays[first].astype(np.int32),
        weights=weights,
    )


def _row_events(row_start: NDArray[np.int64], length: NDArray[np.int32]) -> NDArray[np.int64]:
    """(rows,) synapses that a row adds."""
    sums = np.concatenate([[0], np.cumsum(length, dtype=np.int64)])
    return sums[row_start[1:]] - sums[row_start[:-1]]


Unsorted = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def _routes(
    program: Program, offsets: NDArray[np.int64], block_rows: list[NDArray[np.int64]]
) -> Unsorted:
    """(neuron, row, base) for every compartment and output axon that it uses."""
    parts: list[Unsorted] = []
    for number, core in enumerate(program.cores):
        out, comps = core.output_axons, core.compartments
        members = np.argsort(comps.population, kind="stable")
        sorted_population = comps.population[members]
        for k in range(len(out)):
            source, target, axon = int(out.source[k]), int(out.core[k]), int(out.axon[k])
            if out.kind[k] == DISCRETE:
                who, atoms = np.array([source]), np.zeros(1, np.int64)
            else:
                low, high = np.searchsorted(sorted_population, [source, source + 1])
                who = members[low:high]
                atoms = comps.atom[who].astype(np.int64)
            into = program.cores[target].input_axons
            parts.append(
                (
                    offsets[number] + who,
                    block_rows[target][into.block[axon]] + atoms,
                    np.full(len(who), offsets[target] + into.base[axon], np.int64),
                )
            )
    return _joined(parts)


def _encoder_routes(
    program: Program, offsets: NDArray[np.int64], block_rows: list[NDArray[np.int64]]
) -> Unsorted:
    table = program.injection
    parts: list[Unsorted] = []
    for target, core in enumerate(program.cores):
        rows = np.flatnonzero(table.core == target)
        axon = table.axon[rows]
        parts.append(
            (
                table.neuron[rows].astype(np.int64),
                block_rows[target][core.input_axons.block[axon]] + table.atom[rows],
                offsets[target] + core.input_axons.base[axon].astype(np.int64),
            )
        )
    return _joined(parts)


def _joined(parts: list[Unsorted]) -> Unsorted:
    if not parts:
        empty = np.zeros(0, np.int64)
        return empty, empty, empty
    columns: list[NDArray[Any]] = [np.concatenate(each) for each in zip(*parts, strict=True)]
    return columns[0], columns[1], columns[2]


def _finish(routes: Unsorted, neurons: int, events: NDArray[np.int64]) -> Routes:
    """Routes sorted by neuron."""
    neuron, row, base = routes
    order = np.argsort(neuron, kind="stable")
    start = np.searchsorted(neuron[order], np.arange(neurons + 1)).astype(np.int64)
    total = np.bincount(neuron, weights=events[row], minlength=neurons).astype(np.int64)
    return Routes(start, row[order].astype(np.int32), base[order].astype(np.int32), total)
