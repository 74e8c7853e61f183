"""Lower what learns: all learning synapses as flat arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nmcompile.backends.emulator.fanout import Hops
from nmcompile.backends.emulator.rows import Rows, ranges
from nmcompile.chip import arithmetic
from nmcompile.chip.core import Core
from nmcompile.chip.program import Program


@dataclass(frozen=True, eq=False)
class Plastic:
    """All synapses that learn, flat: one entry an axon, and one a synapse.

    Attributes
    ----------
    rule : (axons, 6) int64; the columns of `chip.core.Learning` behind the block
    kept : (axons,) float64; share of a trace that an epoch leaves
    source : (axons,) int64; neuron that an axon comes from, below -1 one of the encoder's
    axon, weight, compartment, neuron : (synapses,) int64; the synapse's axon, place among the
        weights, target compartment and that one's neuron
    mantissa, step, exponent : (synapses,) int64; as built, the exponent with the finer bits
    axon_of_row : (rows,) int64; the learning axon that triggers a row, -1 for none
    """

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
    axon_of_row: NDArray[np.int64]


def lower_learning(
    program: Program,
    rows: Rows,
    sources: NDArray[np.int64],
    place: NDArray[np.int64],
    first_compartment: NDArray[np.int64],
    fine: int,
) -> Plastic:
    """Learning axons core by core, in the order of the learning tables.

    Parameters
    ----------
    sources : (rows,) the neuron behind each row, see `row_sources`
    place : (compartments,) number in the emulator of each compartment
    first_compartment : (cores + 1,) number of each core's first compartment
    """
    axon_of_row = np.full(len(rows.synapses), -1, np.int64)
    rules: list[NDArray[np.int64]] = []
    columns: list[NDArray[np.int64]] = []
    n_axons = 0
    for number, places in rows.places.items():
        core = program.cores[number]
        table, blocks, form = core.learning, core.blocks, core.blocks.format
        axon_of_row[rows.first_row[number][table.block]] = n_axons + np.arange(len(table))
        rules.append(np.stack(list(table.columns().values())[1:], axis=1).astype(np.int64))
        base = np.zeros(len(blocks), np.int64)
        base[core.input_axons.block] = core.input_axons.base
        length = blocks.length[table.block].astype(np.int64)
        used = np.repeat(form[table.block], length)
        stored = ranges(blocks.start[table.block], length)
        sizes = blocks.atoms.astype(np.int64) * blocks.length
        begins = (np.cumsum(sizes) - sizes)[table.block]
        target = np.repeat(base[table.block], length) + core.synapses.target[stored]
        columns.append(
            np.stack(
                [
                    n_axons + np.repeat(np.arange(len(table)), length),
                    places[ranges(begins, length)],
                    place[first_compartment[number] + target],
                    core.compartments.neuron[target],
                    core.synapses.mantissa[stored],
                    _steps(core)[used],
                    core.formats.exponent[used].astype(np.int64) + fine,
                ]
            ).astype(np.int64)
        )
        n_axons += len(table)
    rule = np.concatenate(rules)
    axon, weight, compartment, neuron, mantissa, step, exponent = np.concatenate(columns, axis=1)
    learning_rows = np.flatnonzero(axon_of_row >= 0)
    order = np.argsort(axon_of_row[learning_rows])
    return Plastic(
        rule=rule,
        kept=np.exp(-rule[:, 2] / rule[:, 1]),
        source=sources[learning_rows[order]],
        axon=axon,
        weight=weight,
        compartment=compartment,
        neuron=neuron,
        mantissa=mantissa,
        step=step,
        exponent=exponent,
        axon_of_row=axon_of_row,
    )


def row_sources(
    rows: Rows, output: Hops, host: Hops, neuron: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(rows,) the neuron behind each row; of several, the smallest; -1 for none.

    Parameters
    ----------
    neuron : (compartments,) number in the network of each compartment in the emulator
    """
    none = np.iinfo(np.int64).max
    found = np.full(len(rows.synapses), none)
    np.minimum.at(found, output.row, neuron[output.neuron])
    np.minimum.at(found, host.row, -2 - host.neuron)
    found[found == none] = -1
    return found


def _steps(core: Core) -> NDArray[np.int64]:
    """(formats,) what the mantissas of each format are multiples of."""
    formats = core.formats
    return np.array(
        [
            arithmetic.mantissa_step(bits, mode)
            for bits, mode in zip(
                formats.weight_bits.tolist(), formats.sign_mode.tolist(), strict=True
            )
        ],
        np.int64,
    )
