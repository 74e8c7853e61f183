"""nengo-loihi's blocks as the tables of cores, one core a block.

A nengo-loihi Synapse is a group of input axons with one synapse format; an Axon object leads the
compartments of a block, or the neurons of an input, to axons of one Synapse.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip import arithmetic
from nmcompile.chip.core import (
    DISCRETE,
    Blocks,
    Compartments,
    Core,
    Formats,
    InputAxons,
    Learning,
    OutputAxons,
    Profiles,
    Synapses,
    Thresholds,
)
from nmcompile.errors import ModelError

#: Synaptic delay of nengo-loihi's synapses, and the bits that it takes.
NO_DELAY = 0
#: nengo-loihi's `compression` of synapses that have one target after the other.
CONSECUTIVE = 3
#: What nengo-loihi's builder/discretize.py makes biases of.
BIAS_MANTISSA_MAX, BIAS_EXPONENT_MAX = 4095, 7


@dataclass
class Draft:
    """Tables of a core in the making.

    `places` says which input axon stands for an axon of a Synapse, and `rows` which for one
    atom of such an axon alone.
    """

    block: Any
    formats: list[tuple[int, ...]] = field(default_factory=list)
    blocks: list[tuple[int, int, int, int]] = field(default_factory=list)
    targets: list[NDArray[np.int64]] = field(default_factory=list)
    mantissas: list[NDArray[np.int64]] = field(default_factory=list)
    input_axons: list[tuple[int, int, int]] = field(default_factory=list)
    output_axons: list[tuple[int, int, int, int]] = field(default_factory=list)
    learning: list[tuple[int, ...]] = field(default_factory=list)
    places: dict[tuple[Any, int], int] = field(default_factory=dict)
    rows: dict[tuple[int, int], int] = field(default_factory=dict)
    population: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    atom: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def synapses(self) -> int:
        """Synapses stored so far."""
        return sum(map(len, self.targets))

    def single(self, axon: int, atom: int) -> int:
        """A discrete input axon for one atom of a population's axon."""
        if (axon, atom) not in self.rows:
            _, number, base = self.input_axons[axon]
            start, _, length, form = self.blocks[number]
            self.blocks.append((start + atom * length, 1, length, form))
            self.input_axons.append((DISCRETE, len(self.blocks) - 1, base))
            self.rows[axon, atom] = len(self.input_axons) - 1
        return self.rows[axon, atom]


@dataclass(frozen=True, eq=False)
class Ends:
    """Where an Axon object leads: one entry a source that it uses.

    Attributes
    ----------
    source : (entries,) compartment of the block, or neuron of the input
    axon : (entries,) number of the axon in the Synapse
    atom : (entries,)
    """

    target: Any
    source: NDArray[np.int64]
    axon: NDArray[np.int64]
    atom: NDArray[np.int64]


def ends(axon: Any, size: int) -> Ends:
    """Where each of so many sources leads."""
    sources = np.arange(size)
    axons = np.asarray(axon.map_axon(sources), np.int64)
    atoms = np.asarray(axon.map_atoms(sources), np.int64)
    used = np.flatnonzero(axons >= 0)
    return Ends(axon.target, sources[used], axons[used], atoms[used])


def draft(block: Any) -> Draft:
    """Formats, blocks, synapses and input axons of a block; a Synapse at a time."""
    made = Draft(block)
    for synapse in block.synapses:
        _add_synapse(made, synapse)
    return made


def core(made: Draft, first_neuron: int, position: int) -> Core:
    """The finished core."""
    comp, name = made.block.compartment, str(made.block)
    profiles, profile = _unique(
        comp.decay_u, comp.decay_v, np.maximum(comp.refract_delay, 1), comp.enable_noise
    )
    thresholds, threshold = _unique(_thresholds(comp.vth, name))
    mantissa, exponent = _bias(comp.bias, name)
    size = made.block.n_neurons
    return Core(
        profiles=Profiles.from_rows(profiles),
        thresholds=Thresholds.from_rows(thresholds),
        formats=Formats.from_rows(made.formats),
        compartments=Compartments.of(
            profile=profile,
            threshold=threshold,
            bias_mantissa=mantissa,
            bias_exponent=exponent,
            population=made.population,
            atom=made.atom,
            neuron=first_neuron + np.arange(size),
        ),
        blocks=Blocks.from_rows(made.blocks),
        synapses=Synapses.of(
            target=_joined(made.targets),
            mantissa=_joined(made.mantissas),
            delay=np.full(made.synapses, NO_DELAY),
        ),
        input_axons=InputAxons.from_rows(made.input_axons),
        output_axons=OutputAxons.from_rows(made.output_axons),
        learning=Learning.from_rows(made.learning),
        position=position,
        vmin_exponent=round(log2(1 - float(comp.vmin))),
        vmax_exponent=round((log2(float(comp.vmax) + 1) - 9) / 2),
        noise_exponent=int(comp.noise_exp),
        noise_offset=int(comp.noise_offset),
        noise_at_voltage=int(comp.noise_at_membrane),
    )


def add_output_axons(
    made: Draft, found: Sequence[Ends], core_of: Mapping[Any, int], drafts: Sequence[Draft]
) -> None:
    """Output axons of a block, by compartment or by population.

    Compartments that share all axons of populations are a population of the core. Where
    a compartment has another atom in another connection, which a core cannot express, it goes
    there by discrete axons instead.
    """
    size = made.block.n_neurons
    groups: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    atom = np.full(size, -1, np.int64)
    for each in found:
        number = core_of[each.target]
        target = drafts[number]
        for source, axon, k in zip(
            each.source.tolist(), each.axon.tolist(), each.atom.tolist(), strict=True
        ):
            place = target.places.get((each.target, axon))
            if place is None:
                continue
            kind = target.input_axons[place][0]
            if kind != DISCRETE and atom[source] in (-1, k):
                atom[source] = k
                groups[source].append((kind, number, place))
                continue
            if kind != DISCRETE:
                place = target.single(place, k)
            made.output_axons.append((DISCRETE, source, number, place))
    classes: dict[tuple[tuple[int, int, int], ...], int] = {}
    made.population = np.full(size, -1, np.int64)
    for source, axons in groups.items():
        key = tuple(sorted(axons))
        if key not in classes:
            classes[key] = len(classes)
            made.output_axons += [
                (kind, classes[key], number, place) for kind, number, place in key
            ]
        made.population[source] = classes[key]
    made.atom = np.maximum(atom, 0)


def _add_synapse(made: Draft, synapse: Any) -> None:
    """One Synapse: a format, a block for each of its weight arrays, and its axons."""
    form = synapse.synapse_cfg
    dense = form.compression == CONSECUTIVE and all(
        np.array_equal(each, np.broadcast_to(np.arange(each.shape[1]), each.shape))
        for each in map(np.asarray, synapse.indices)
    )
    row = (
        form.weight_exp,
        form.real_weight_bits,
        form.fanout_type,
        max(form.real_idx_bits, int(synapse.max_ind()).bit_length()),
        NO_DELAY,
        int(dense),
    )
    if row not in made.formats:
        made.formats.append(row)
    number = made.formats.index(row)
    block_of: dict[int, int] = {}
    for axon in range(synapse.n_axons):
        base = synapse.axon_compartment_base(axon)
        if base is None:
            continue
        index = synapse.axon_weight_idx(axon)
        if index not in block_of or synapse.learning:
            block_of[index] = _add_block(made, synapse, index, number)
        made.places[synapse, axon] = len(made.input_axons)
        made.input_axons.append((synapse.pop_type, block_of[index], int(base)))
        if synapse.learning:
            made.learning.append((block_of[index], *_rule(synapse)))


def _add_block(made: Draft, synapse: Any, index: int, form: int) -> int:
    weights = np.asarray(synapse.weights[index], np.int64)
    targets = np.asarray(synapse.indices[index], np.int64)
    atoms, length = weights.shape
    bases = [
        synapse.axon_compartment_base(k) or 0
        for k in range(synapse.n_axons)
        if synapse.axon_weight_idx(k) == index
    ]
    if targets.size and not 0 <= targets.min() <= targets.max() + max(bases) < made.block.n_neurons:
        raise ModelError(
            f"{made.block}: synapses reach compartments {targets.min()} to "
            f"{targets.max() + max(bases)}, it has {made.block.n_neurons}"
        )
    made.blocks.append((made.synapses, atoms, length, form))
    made.targets.append(targets.reshape(-1))
    mantissas = _mantissas(weights, synapse.synapse_cfg.weight_exp, str(synapse))
    for row in range(atoms):
        # Of two synapses of one row onto a compartment nengo-loihi counts the last.
        if len(np.unique(targets[row])) < length:
            last = length - 1 - np.unique(targets[row][::-1], return_index=True)[1]
            mantissas[row, np.setdiff1d(np.arange(length), last)] = 0
    made.mantissas.append(mantissas.reshape(-1))
    return len(made.blocks) - 1


def _mantissas(weights: NDArray[np.int64], exponent: int, name: str) -> NDArray[np.int64]:
    """What, shifted by the exponent and by 6, gives the weights."""
    unit = arithmetic.WEIGHT_SHIFT + max(exponent, 0)
    mantissas = (weights >> unit) << max(-exponent, 0)
    if ((weights >> unit) << unit != weights).any():
        raise ModelError(
            f"{name}: weights are no multiples of 2^{unit}, so its exponent {exponent} cannot be "
            "theirs; discretise the model with nengo-loihi's discretize_model first"
        )
    return mantissas


def _rule(synapse: Any) -> Iterator[int]:
    """The columns of a learning table behind the block."""
    yield round(synapse.tracing_mag * arithmetic.TRACE_UNIT)
    yield int(synapse.tracing_tau)
    yield int(synapse.train_epoch)
    yield int(synapse.learn_epoch)
    yield int(synapse._lr_int)
    yield int(synapse._lr_exp)


def _thresholds(vth: NDArray[Any], name: str) -> NDArray[np.int64]:
    mantissa = np.asarray(vth, np.int64) >> arithmetic.THRESHOLD_SHIFT
    if (mantissa << arithmetic.THRESHOLD_SHIFT != vth).any():
        raise ModelError(
            f"{name}: thresholds are no multiples of {1 << arithmetic.THRESHOLD_SHIFT}; "
            "discretise the model with nengo-loihi's discretize_model first"
        )
    return mantissa


def _bias(bias: NDArray[Any], name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Mantissas and smallest exponents that give the biases exactly."""
    mantissa = np.asarray(bias, np.int64).copy()
    exponent = np.zeros(len(mantissa), np.int64)
    for _ in range(BIAS_EXPONENT_MAX):
        large = np.abs(mantissa) > BIAS_MANTISSA_MAX
        even = mantissa % 2 == 0
        mantissa = np.where(large & even, mantissa >> 1, mantissa)
        exponent += large & even
    if (np.abs(mantissa) > np.iinfo(np.int16).max).any():
        raise ModelError(
            f"{name}: a bias of {int(np.abs(bias).max())} fits no mantissa and exponent; "
            "discretise the model with nengo-loihi's discretize_model first"
        )
    return mantissa, exponent


def _unique(*columns: NDArray[Any]) -> tuple[list[tuple[int, ...]], NDArray[np.int64]]:
    """Different rows of several columns, and which of them each row is."""
    table = np.stack([np.asarray(each, np.int64) for each in columns], axis=1)
    rows, which = np.unique(table, axis=0, return_inverse=True)
    return [tuple(row) for row in rows.tolist()], which.reshape(-1)


def _joined(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)
