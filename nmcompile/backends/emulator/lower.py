"""Lower a Program's tables, once, into flat arrays that compiled kernels run over.

Compartments of all cores are numbered through, core by core. Consecutive compartments with the
same registers form a segment. Each row of a block (one atom's synapses) becomes runs of
weights for consecutive targets, so that a spike is a few additions of slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip import arithmetic
from nmcompile.chip.core import DISCRETE, Core, IntArray
from nmcompile.chip.program import Program

#: Runs of weights are filled up with zeros to a multiple of this, so that they are added in whole
#: vectors; nothing is added to what lies behind a run's targets.
RUN_LANES = 16
#: Runs of fewer weights are not filled up, which would waste memory, but added one by one.
SHORT_RUN = 6
#: So many targets that a row leaves out are bridged with zeros.
BRIDGED = 8


class Column(IntEnum):
    """Columns of the table of segments."""

    START = 0
    STOP = 1
    LAYER = 2
    DECAY_U = 3
    DECAY_V = 4
    REFRACTORY = 5
    THRESHOLD = 6
    VMIN = 7
    VMAX = 8
    NOISE = 9
    NOISE_EXPONENT = 10
    NOISE_OFFSET = 11
    NOISE_AT_VOLTAGE = 12


class Synapses(NamedTuple):
    """Runs of weights for consecutive targets.

    `runs` has a row (target, length, first, delay): weights[first:first + length] are added from
    `target` on, `delay` steps later than otherwise.
    """

    runs: NDArray[np.int32]
    weights: NDArray[np.int16]


class Routes(NamedTuple):
    """What a spike of each neuron sets off: hops[start[n]:start[n + 1]].

    A hop is (first run, end of runs, base): these runs, with `base` added to their targets.
    `events` counts the synapses behind all hops of a neuron.
    """

    start: NDArray[np.int64]
    hops: NDArray[np.int32]
    events: NDArray[np.int64]


class Lowered(NamedTuple):
    """A Program as flat arrays; `bias` and `neuron` have one entry a compartment.

    `segments` has a row (see `Column`) for consecutive compartments of a layer with equal
    registers, on one core or several; the layer is an index into the Program's layers, or their
    number for compartments of none.

    `accumulator` is empty and has the type that accumulators need. They count in units of 2^6, so
    21 bits and sign are just 16 bits: these do where no accumulator can ever overflow, and halve
    what has to be moved. Elsewhere 32 bits see overflows, which are counted. With `fine` bits more
    they count in smaller units, for emulators that keep what the chip's shift of weights loses.
    """

    segments: NDArray[np.int64]
    synapses: Synapses
    routes: Routes
    encoder_routes: Routes
    bias: NDArray[np.int32]
    neuron: NDArray[np.int64]
    accumulator: NDArray[Any]
    max_delay: int
    fine: int


def core_offsets(program: Program) -> NDArray[np.int64]:
    """(cores + 1,) number of each core's first compartment."""
    return np.cumsum([0, *(len(core.compartments) for core in program.cores)]).astype(np.int64)


def layer_compartments(program: Program, name: str) -> NDArray[np.int64]:
    """(neurons,) number of each neuron's compartment, counted through all cores."""
    layer = program.layer(name)
    return core_offsets(program)[layer.core] + layer.compartment


@dataclass(frozen=True, eq=False)
class Plastic:
    """All synapses that learn, flat: one entry an axon, and one a synapse.

    Attributes
    ----------
    axon_of_run : (runs,) int32; the learning axon whose spikes trigger a run, -1 for none
    rule : (axons, 6) int64; the columns of `chip.core.Learning` behind the block
    kept : (axons,) float64; share of a trace that an epoch leaves
    source : (axons,) int64; neuron that an axon comes from, below -1 one of the encoder's
    axon, weight, compartment, neuron : (synapses,) int64; the synapse's axon, place among the
        weights, target compartment and that one's neuron
    mantissa, step, exponent : (synapses,) int64; as built
    """

    axon_of_run: NDArray[np.int32]
    rule: NDArray[np.int64]
    kept: NDArray[np.float64]
    source: NDArray[np.int64]
    axon: NDArray[np.int64]
    weight: NDArray[np.int64]
    compartment: NDArray[np.int64]
    neuron: NDArray[np.int64]
    mantissa: NDArray[np.int64]
    step: NDArray[np.int64]
    exponent: NDArray[np.int64]


def lower(program: Program) -> Lowered:
    """Flat arrays for a whole Program."""
    return _lower(program)[0]


def lower_plastic(program: Program, fine: int = 0) -> tuple[Lowered, Plastic | None]:
    """Flat arrays for a whole Program and its learning; None where nothing learns."""
    lowered, rows, hops = _lower(program, fine)
    if not any(len(core.learning) for core in program.cores):
        return lowered, None
    return lowered, _plastic(program, lowered, rows, hops)


def _lower(program: Program, fine: int = 0) -> tuple[Lowered, _Rows, tuple[_Hops, _Hops]]:
    offsets = core_offsets(program)
    synapses, rows = _synapses(program.cores, fine)
    axons = _axons(program.cores, offsets, rows)
    layer_of = np.full(int(offsets[-1]), len(program.layers), np.int64)
    for number, layer in enumerate(program.layers):
        layer_of[offsets[layer.core] + layer.compartment] = number
    hops = _output_hops(program.cores, offsets, axons), _host_hops(program, axons)
    routes = _routes(hops[0], int(offsets[-1]), rows)
    encoder_routes = _routes(hops[1], prod(program.encoder.shape), rows)
    learns = any(len(core.learning) for core in program.cores)
    largest = _largest_input(synapses, (routes, encoder_routes), int(offsets[-1]))
    narrow = largest <= np.iinfo(np.int16).max and not learns and not fine
    lowered = Lowered(
        segments=_segments(program.cores, offsets, layer_of),
        synapses=synapses,
        routes=routes,
        encoder_routes=encoder_routes,
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
        accumulator=np.zeros(0, np.int16 if narrow else np.int32),
        max_delay=int(synapses.runs[:, 3].max(initial=0)),
        fine=fine,
    )
    return lowered, rows, hops


def _largest_input(synapses: Synapses, routes: Sequence[Routes], compartments: int) -> int:
    """Most that any compartment's weights of one sign add up to: all its inputs firing at once."""
    from nmcompile.backends.emulator.kernels import add_by_sign

    add: Any = add_by_sign
    up, down = np.zeros(compartments, np.int64), np.zeros(compartments, np.int64)
    for each in routes:
        add(each, synapses, up, down)
    return int(max(up.max(initial=0), down.max(initial=0)))


def _segments(
    cores: Sequence[Core], offsets: NDArray[np.int64], layer_of: NDArray[np.int64]
) -> NDArray[np.int64]:
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
            registers = (
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
            first, end = int(offsets[number]) + start, int(offsets[number]) + stop
            if rows and rows[-1][2:] == registers:
                first = rows.pop()[0]
            rows.append((first, end, *registers))
    return np.array(rows, np.int64).reshape(-1, len(Column))


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows of all blocks, core by core: one for each atom of each block.

    Attributes
    ----------
    runs : (rows + 1,) number of each row's first run
    synapses : (rows,) how many synapses they hold
    first_row : for each core, (blocks + 1,) number of each block's first row
    places : for each core that learns, place of each of its synapses among the weights, in the
        order of blocks
    """

    runs: NDArray[np.int64]
    synapses: NDArray[np.int64]
    first_row: list[NDArray[np.int64]]
    places: dict[int, NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class _Axons:
    """All cores' input axons: where each core's start, the first row and base of each."""

    start: NDArray[np.int64]
    row: NDArray[np.int64]
    base: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _CoreRuns:
    """One core's runs and weights; for its rows the first run of each, and its synapses."""

    runs: NDArray[np.int64]
    weights: NDArray[np.int16]
    row_runs: NDArray[np.int64]
    row_synapses: NDArray[np.int64]
    places: NDArray[np.int64]


def _synapses(cores: Sequence[Core], fine: int) -> tuple[Synapses, _Rows]:
    """Runs and rows, core by core: temporary arrays of a whole chip would outweigh the rest."""
    runs: list[NDArray[np.int32]] = []
    weights: list[NDArray[np.int16]] = []
    row_runs: list[NDArray[np.int64]] = []
    row_synapses: list[NDArray[np.int64]] = []
    first_row: list[NDArray[np.int64]] = []
    places: dict[int, NDArray[np.int64]] = {}
    n_rows = n_runs = n_weights = 0
    for number, core in enumerate(cores):
        part = _core_runs(core, fine)
        part.runs[:, 2] += n_weights
        if len(core.learning):
            places[number] = part.places + n_weights
        runs.append(part.runs.astype(np.int32))
        weights.append(part.weights)
        row_runs.append(part.row_runs[:-1] + n_runs)
        row_synapses.append(part.row_synapses)
        first_row.append(n_rows + np.append(0, np.cumsum(core.blocks.atoms, dtype=np.int64)))
        n_rows += len(part.row_synapses)
        n_runs += len(part.runs)
        n_weights += len(part.weights)
    rows = _Rows(
        runs=np.append(np.concatenate(row_runs), n_runs),
        synapses=np.concatenate(row_synapses),
        first_row=first_row,
        places=places,
    )
    return Synapses(np.concatenate(runs), np.concatenate(weights)), rows


def _core_runs(core: Core, fine: int) -> _CoreRuns:
    """Cut a core's rows where the next target is far ahead, or behind, or the delay changes.

    Runs of zeros only are dropped where nothing learns.
    """
    blocks = core.blocks
    sizes = blocks.atoms.astype(np.int64) * blocks.length
    order = ranges(blocks.start, sizes)
    exponent = fine + np.repeat(core.formats.exponent[blocks.format].astype(np.int32), sizes)
    weights = shifted(core.synapses.mantissa[order].astype(np.int32), exponent)
    target = core.synapses.target[order].astype(np.int32)
    delay = core.synapses.delay[order].astype(np.int32)
    lengths = np.repeat(blocks.length, blocks.atoms).astype(np.int64)
    rows = np.append(0, np.cumsum(lengths))
    total = len(weights)
    if not total:
        none = np.zeros(0, np.int64)
        return _CoreRuns(np.zeros((0, 4), np.int64), none.astype(np.int16), rows, lengths, none)
    ahead = np.diff(target)
    fresh = np.zeros(total + 1, bool)
    fresh[1:total] = (ahead < 1) | (ahead > 1 + BRIDGED) | (np.diff(delay) != 0)
    fresh[rows] = True
    first = np.flatnonzero(fresh[:total])
    held = np.diff(np.append(first, total))
    if not len(core.learning):
        live = np.logical_or.reduceat(weights != 0, first)
        first, held = first[live], held[live]
    span = (target[first + held - 1] - target[first] + 1).astype(np.int64)
    room = np.where(span < SHORT_RUN, span, -(-span // RUN_LANES) * RUN_LANES)
    begins = np.cumsum(room) - room
    kept = ranges(first, held)
    places = np.repeat(begins - target[first], held) + target[kept]
    filled = np.zeros(int(room.sum()), np.int16)
    filled[places] = weights[kept]
    row_runs = np.searchsorted(first, rows).astype(np.int64)
    return _CoreRuns(
        runs=np.stack([target[first], span, begins, delay[first]], axis=1),
        weights=filled,
        row_runs=row_runs,
        row_synapses=np.diff(np.append(0, np.cumsum(held))[row_runs]),
        places=places,
    )


def shifted(mantissa: NDArray[Any], exponent: NDArray[Any]) -> NDArray[Any]:
    """`chip.arithmetic.shift` of arrays."""
    return np.where(
        exponent >= 0, mantissa << np.maximum(exponent, 0), mantissa >> np.maximum(-exponent, 0)
    )


def ranges(start: IntArray, sizes: IntArray) -> NDArray[np.int64]:
    """Indices start[0], start[0] + 1, …, sizes[0] of them, then those of the next."""
    begins = np.cumsum(sizes) - sizes
    return np.arange(int(sizes.sum())) + np.repeat(start.astype(np.int64) - begins, sizes)


def _axons(cores: Sequence[Core], offsets: NDArray[np.int64], rows: _Rows) -> _Axons:
    parts = [
        (rows.first_row[k][core.input_axons.block], offsets[k] + core.input_axons.base.astype(int))
        for k, core in enumerate(cores)
    ]
    return _Axons(
        start=np.cumsum([0, *(len(core.input_axons) for core in cores)]),
        row=np.concatenate([row for row, _ in parts]),
        base=np.concatenate([base for _, base in parts]),
    )


#: (neuron, row, base) of spikes' ways into rows.
_Hops = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def _output_hops(cores: Sequence[Core], offsets: NDArray[np.int64], axons: _Axons) -> _Hops:
    """For every compartment and output axon that it uses."""
    neurons: list[NDArray[np.int64]] = []
    atoms: list[NDArray[np.int64]] = []
    used: list[NDArray[np.int64]] = []
    for number, core in enumerate(cores):
        out, comps = core.output_axons, core.compartments
        axon = axons.start[out.core] + out.axon
        single = out.kind == DISCRETE
        members = np.argsort(comps.population, kind="stable")
        population = comps.population[members]
        low = np.searchsorted(population, out.source[~single], "left")
        held = np.searchsorted(population, out.source[~single], "right") - low
        who = members[ranges(low, held)]
        neurons.append(offsets[number] + np.concatenate([out.source[single].astype(int), who]))
        atoms.append(np.concatenate([np.zeros(int(single.sum()), int), comps.atom[who]]))
        used.append(np.concatenate([axon[single], np.repeat(axon[~single], held)]))
    axon = np.concatenate(used)
    return np.concatenate(neurons), axons.row[axon] + np.concatenate(atoms), axons.base[axon]


def _host_hops(program: Program, axons: _Axons) -> _Hops:
    """For every encoder neuron and input axon that its spikes enter by."""
    table = program.injection
    axon = axons.start[table.core] + table.axon
    return table.neuron.astype(np.int64), axons.row[axon] + table.atom, axons.base[axon]


def _routes(hops: _Hops, neurons: int, rows: _Rows) -> Routes:
    """Sorted by neuron, without those to empty rows."""
    neuron, row, base = hops
    events = np.bincount(neuron, weights=rows.synapses[row], minlength=neurons).astype(np.int64)
    filled = rows.runs[row + 1] > rows.runs[row]
    neuron, row, base = neuron[filled], row[filled], base[filled]
    order = np.argsort(neuron, kind="stable")
    row = row[order]
    return Routes(
        start=np.searchsorted(neuron[order], np.arange(neurons + 1)).astype(np.int64),
        hops=np.stack([rows.runs[row], rows.runs[row + 1], base[order]], axis=1).astype(np.int32),
        events=events,
    )


def _plastic(program: Program, lowered: Lowered, rows: _Rows, hops: tuple[_Hops, _Hops]) -> Plastic:
    """Learning axons core by core, in the order of the learning tables."""
    offsets = core_offsets(program)
    axon_of_run = np.full(len(lowered.synapses.runs), -1, np.int32)
    # The neuron behind each row; of several, the one with the smallest number.
    source_of_row = np.full(len(rows.synapses), np.iinfo(np.int64).max)
    np.minimum.at(source_of_row, hops[0][1], lowered.neuron[hops[0][0]])
    np.minimum.at(source_of_row, hops[1][1], -2 - hops[1][0])
    source_of_row[source_of_row == np.iinfo(np.int64).max] = -1
    rules: list[NDArray[np.int64]] = []
    sources: list[NDArray[np.int64]] = []
    columns: list[NDArray[np.int64]] = []
    n_axons = 0
    for number, places in rows.places.items():
        core = program.cores[number]
        table, blocks = core.learning, core.blocks
        row = rows.first_row[number][table.block]
        for k, (first, last) in enumerate(zip(rows.runs[row], rows.runs[row + 1], strict=True)):
            axon_of_run[first:last] = n_axons + k
        rules.append(np.stack(list(table.columns().values())[1:], axis=1).astype(np.int64))
        sources.append(source_of_row[row])
        base = np.zeros(len(blocks), np.int64)
        base[core.input_axons.block] = core.input_axons.base
        length = blocks.length[table.block].astype(np.int64)
        form = core.formats.rows(0, len(core.formats))
        step = np.array(
            [
                arithmetic.mantissa_step(bits, mode)
                for bits, mode in zip(
                    form.weight_bits.tolist(), form.sign_mode.tolist(), strict=True
                )
            ]
        )
        used = np.repeat(blocks.format[table.block], length)
        stored = ranges(blocks.start[table.block], length)
        begins = np.cumsum(blocks.atoms.astype(np.int64) * blocks.length)
        begins -= blocks.atoms.astype(np.int64) * blocks.length
        compartment = offsets[number] + np.repeat(base[table.block], length)
        compartment += core.synapses.target[stored]
        columns.append(
            np.stack(
                [
                    n_axons + np.repeat(np.arange(len(table)), length),
                    places[ranges(begins[table.block], length)],
                    compartment,
                    lowered.neuron[compartment],
                    core.synapses.mantissa[stored],
                    step[used],
                    core.formats.exponent[used].astype(np.int64) + lowered.fine,
                ]
            ).astype(np.int64)
        )
        n_axons += len(table)
    rule = np.concatenate(rules)
    return Plastic(
        axon_of_run,
        rule,
        np.exp(-rule[:, 2] / rule[:, 1]),
        np.concatenate(sources),
        *np.concatenate(columns, axis=1),
    )
