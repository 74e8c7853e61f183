"""Lower a Program's tables, once, into flat arrays that compiled kernels run over.

Compartments are numbered layer by layer, in the order of each layer's neurons, whatever core
they are on, so that equal registers lie side by side and a spike's targets are few long runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmcompile.backends.emulator.compiled import kernel
from nmcompile.backends.emulator.fanout import (
    Fanout,
    Hops,
    fused_fanouts,
    pieces,
    plain_fanout,
)
from nmcompile.backends.emulator.fuse import SHORT_RUN, WHOLE_RUN
from nmcompile.backends.emulator.plastic import Plastic, lower_learning, row_sources
from nmcompile.backends.emulator.rows import Rows, block_rows, ranges
from nmcompile.chip import arithmetic
from nmcompile.chip.core import DISCRETE, Core
from nmcompile.chip.program import Program


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
    #: Whether no register can ever wrap around, whatever comes in.
    SAFE = 13


class Lowered(NamedTuple):
    """A Program as flat arrays; `bias`, `initial` and `neuron` have one entry a compartment.

    `initial` holds the voltages that a sample begins with.

    `segments` has a row (see `Column`) for consecutive compartments of a layer with equal
    registers; the layer is an index into the Program's layers, or their number for compartments
    of none. `fanout` belongs to compartments, `host_fanout` to the encoder's neurons.

    `accumulator` is empty and has the type that accumulators need. They count in units of 2^6, so
    21 bits and sign are just 16 bits: these do where no accumulator can ever overflow, and halve
    what has to be moved. Elsewhere 32 bits see overflows, which are counted. With `fine` bits more
    they count in smaller units, for emulators that keep what the chip's shift of weights loses.

    Runs of `short_run` weights and more are filled up with zeros to whole vectors.
    """

    segments: NDArray[np.int64]
    fanout: Fanout
    host_fanout: Fanout
    weights: NDArray[Any]
    short_run: int
    bias: NDArray[np.int32]
    initial: NDArray[np.int32]
    neuron: NDArray[np.int64]
    accumulator: NDArray[Any]
    max_delay: int
    fine: int


@dataclass(frozen=True, eq=False)
class Learning:
    """What learns, and by which runs spikes reach it.

    Attributes
    ----------
    axon_of_run, host_axon_of_run : (runs,) int64; the learning axon that a run of a fan-out
        belongs to, once for each spike's way into it, -1 elsewhere
    """

    plastic: Plastic
    axon_of_run: NDArray[np.int64]
    host_axon_of_run: NDArray[np.int64]


def core_offsets(program: Program) -> NDArray[np.int64]:
    """(cores + 1,) number of each core's first compartment, counted through the cores."""
    return np.cumsum([0, *(len(core.compartments) for core in program.cores)]).astype(np.int64)


def places(program: Program) -> NDArray[np.int64]:
    """(compartments,) number in the emulator of each compartment, counted through the cores."""
    offsets = core_offsets(program)
    in_layers = [offsets[layer.core] + layer.compartment for layer in program.layers]
    order = np.concatenate([np.zeros(0, np.int64), *in_layers])
    others = np.ones(int(offsets[-1]), bool)
    others[order] = False
    place = np.empty(int(offsets[-1]), np.int64)
    place[np.concatenate([order, np.flatnonzero(others)])] = np.arange(len(place))
    return place


def layer_compartments(program: Program, name: str) -> NDArray[np.int64]:
    """(neurons,) number in the emulator of each neuron's compartment."""
    start = 0
    for layer in program.layers:
        if layer.name == name:
            return np.arange(start, start + layer.neurons)
        start += layer.neurons
    raise KeyError(name)


def lower(program: Program) -> Lowered:
    """Flat arrays for a whole Program."""
    return lower_with_learning(program)[0]


def lower_with_learning(
    program: Program, fine: int = 0, *, once: bool = True
) -> tuple[Lowered, Learning | None]:
    """Flat arrays for a whole Program and its learning; None where nothing learns.

    Parameters
    ----------
    fine : bits below the chip's unit that accumulators keep
    once : whether a neuron of the host sends one spike a step at most, so that what can overflow
        is known
    """
    cores = program.cores
    place, offsets = places(program), core_offsets(program)
    rows = block_rows(cores, fine)
    neuron = np.empty(len(place), np.int64)
    neuron[place] = np.concatenate([core.compartments.neuron for core in cores])
    axons = _Axons.of(cores, offsets, rows)
    hops = _output_hops(cores, offsets, axons, place), _host_hops(program, axons)
    sizes = [len(place), prod(program.encoder.shape)]
    found = [pieces(each, rows, place) for each in hops]
    learning = None
    if rows.places:
        sources = row_sources(rows, *hops, neuron)
        plastic = lower_learning(program, rows, sources, place, offsets, fine)
        axon_of_run = [_axons_of_runs(f.hop, h, plastic) for f, h in zip(found, hops, strict=True)]
        learning = Learning(plastic, *axon_of_run)
        weights, short_run = rows.weights, WHOLE_RUN
        fanouts = [
            plain_fanout(f, h, rows, size) for f, h, size in zip(found, hops, sizes, strict=True)
        ]
    else:
        fanouts, weights = fused_fanouts(found, list(hops), rows, sizes)
        short_run = SHORT_RUN
    bias = np.empty(len(place), np.int32)
    bias[place] = np.concatenate(
        [
            core.compartments.bias_mantissa.astype(np.int32)
            << core.compartments.bias_exponent.astype(np.int32)
            for core in cores
        ]
    )
    initial = np.zeros(len(place), np.int32)
    for core, offset in zip(cores, offsets.tolist(), strict=False):
        table = core.initial_voltages
        initial[place[offset + table.compartment.astype(np.int64)]] = table.voltage
    largest = _largest_inputs(fanouts, weights, len(place))
    narrow = once and not rows.places and not fine and int(largest.max(initial=0)) <= 0x7FFF
    lowered = Lowered(
        segments=_segments(program, place, bias, largest if narrow else None),
        fanout=fanouts[0],
        host_fanout=fanouts[1],
        weights=weights,
        short_run=short_run,
        bias=bias,
        initial=initial,
        neuron=neuron,
        accumulator=np.zeros(0, np.int16 if narrow else np.int32),
        max_delay=int(max(each.runs[:, 3].max(initial=0) for each in fanouts)),
        fine=fine,
    )
    return lowered, learning


def _axons_of_runs(hop: NDArray[np.int64], hops: Hops, plastic: Plastic) -> NDArray[np.int64]:
    return np.where(hop >= 0, plastic.axon_of_row[hops.row[hop]], -1)


def _largest_inputs(
    fanouts: Sequence[Fanout], weights: NDArray[Any], compartments: int
) -> NDArray[np.int64]:
    """(compartments,) most that weights of one sign add up to: all inputs firing at once."""
    from nmcompile.backends.emulator import kernels

    add = kernel(kernels, "add_by_sign")
    up, down = np.zeros(compartments, np.int64), np.zeros(compartments, np.int64)
    for each in fanouts:
        add(each, weights, up, down)
    return np.maximum(up, down)


def _segments(
    program: Program,
    place: NDArray[np.int64],
    bias: NDArray[np.int32],
    largest: NDArray[np.int64] | None,
) -> NDArray[np.int64]:
    """The table of segments; `largest` where accumulators are known not to overflow."""
    registers: dict[tuple[int, ...], int] = {}
    kind = np.empty(len(place), np.int64)
    start = 0
    for core in program.cores:
        comps = core.compartments
        used, which = np.unique(
            comps.profile.astype(np.int64) * 256 + comps.threshold, return_inverse=True
        )
        numbers = [
            registers.setdefault(_registers(core, *divmod(int(each), 256)), len(registers))
            for each in used
        ]
        end = start + len(comps)
        kind[place[start:end]] = np.array(numbers, np.int64)[which]
        start = end
    layer = np.full(len(place), len(program.layers), np.int64)
    first = 0
    for number, each in enumerate(program.layers):
        layer[first : first + each.neurons] = number
        first += each.neurons
    changes = (np.diff(kind) != 0) | (np.diff(layer) != 0)
    starts = np.flatnonzero(np.append(True, changes))[: len(place)]
    stops = np.append(starts[1:], len(place))
    known = list(registers)
    table = np.zeros((len(starts), len(Column)), np.int64)
    for row, (begin, stop) in enumerate(zip(starts.tolist(), stops.tolist(), strict=True)):
        values = known[kind[begin]]
        table[row, : Column.SAFE] = (begin, stop, layer[begin], *values)
        if largest is not None:
            table[row, Column.SAFE] = _cannot_wrap(
                int(largest[begin:stop].max()), int(np.abs(bias[begin:stop]).max()), values[0]
            )
    return table


def _registers(core: Core, profile: int, threshold: int) -> tuple[int, ...]:
    """The columns of a segment from DECAY_U on."""
    return (
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


def _cannot_wrap(largest: int, bias: int, decay_u: int) -> bool:
    """Whether current and drive stay in their registers if all inputs come in every step.

    The current is then the sum of a geometric series, and rounding only makes it smaller.
    """
    lost = (decay_u + 1) / (1 << arithmetic.DECAY_BITS)
    return (largest << arithmetic.WEIGHT_SHIFT) / lost + bias < 1 << arithmetic.CURRENT_BITS


@dataclass(frozen=True, eq=False)
class _Axons:
    """All cores' input axons: where each core's start, the first row and base of each."""

    start: NDArray[np.int64]
    row: NDArray[np.int64]
    base: NDArray[np.int64]

    @classmethod
    def of(cls, cores: Sequence[Core], offsets: NDArray[np.int64], rows: Rows) -> _Axons:
        """From the tables of all cores."""
        return cls(
            start=np.cumsum([0, *(len(core.input_axons) for core in cores)]).astype(np.int64),
            row=np.concatenate(
                [rows.first_row[k][core.input_axons.block] for k, core in enumerate(cores)]
            ),
            base=np.concatenate(
                [
                    offsets[k] + core.input_axons.base.astype(np.int64)
                    for k, core in enumerate(cores)
                ]
            ),
        )


def _output_hops(
    cores: Sequence[Core], offsets: NDArray[np.int64], axons: _Axons, place: NDArray[np.int64]
) -> Hops:
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
    return Hops(
        place[np.concatenate(neurons)],
        axons.row[axon] + np.concatenate(atoms),
        axons.base[axon],
    )


def _host_hops(program: Program, axons: _Axons) -> Hops:
    """For every encoder neuron and input axon that its spikes enter by."""
    table = program.injection
    axon = axons.start[table.core] + table.axon
    return Hops(table.neuron.astype(np.int64), axons.row[axon] + table.atom, axons.base[axon])
