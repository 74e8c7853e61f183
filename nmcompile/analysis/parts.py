"""Which rows of a core's tables belong to which layer, for cores that hold pieces of several."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip.bill import Bill, core_bill
from nmcompile.chip.core import DISCRETE, Core, TableT
from nmcompile.chip.program import Program
from nmcompile.hardware import HardwareModel

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Part:
    """What a layer has on one core.

    An input axon belongs to the layer whose compartments its synapses are for, and so does the
    block that it points at; an output axon to the layer whose spikes it sends.

    Attributes
    ----------
    number : of the core
    core : the core, of which `compartments`, `blocks`, `input_axons`, `output_axons` are the
        rows of this layer, ascending
    whole : whether the core holds no other layer
    """

    number: int
    core: Core
    compartments: Rows
    blocks: Rows
    input_axons: Rows
    output_axons: Rows
    whole: bool

    @cached_property
    def own(self) -> Core:
        """The core with this layer's rows alone; tables that rows point into stay as they are."""
        core = self.core
        learning = np.flatnonzero(np.isin(core.learning.block, self.blocks))
        return replace(
            core,
            compartments=_rows(core.compartments, self.compartments),
            blocks=_rows(core.blocks, self.blocks),
            input_axons=_rows(core.input_axons, self.input_axons),
            output_axons=_rows(core.output_axons, self.output_axons),
            learning=_rows(core.learning, learning),
        )

    def bill(self, hardware: HardwareModel) -> Bill:
        """What this layer takes of the core."""
        own = self.own
        return replace(
            core_bill(own, hardware),
            profiles=len(np.unique(own.compartments.profile)),
            threshold_profiles=len(np.unique(own.compartments.threshold)),
            synapse_formats=len(np.unique(own.blocks.format)),
        )


def layer_parts(program: Program) -> dict[str, list[Part]]:
    """Layer name -> its part of each core that holds some of it, cores ascending."""
    owners = [np.full(len(core.compartments), -1) for core in program.cores]
    for k, layer in enumerate(program.layers):
        order = np.argsort(layer.core, kind="stable")
        numbers, first = np.unique(layer.core[order], return_index=True)
        for number, here in zip(numbers.tolist(), np.split(order, first[1:]), strict=True):
            owners[number][layer.compartment[here]] = k
    mapped = program.manifest.get("mapping", {}).get("layers", {})
    wide = np.array(
        [k for k, each in enumerate(program.layers) if mapped.get(each.name, {}).get("halo", 1)]
    )
    found: dict[str, list[Part]] = {layer.name: [] for layer in program.layers}
    for number, (core, owner) in enumerate(zip(program.cores, owners, strict=True)):
        axon_owner = _axon_owners(core, owner)
        owner = _with_idle(core, owner, axon_owner, wide)
        layers = np.unique(owner)
        block_owner = np.full(len(core.blocks), -1)
        block_owner[core.input_axons.block[::-1]] = axon_owner[::-1]
        sent_owner = _sender_owners(core, owner)
        for k in layers[layers >= 0].tolist():
            part = Part(
                number=number,
                core=core,
                compartments=np.flatnonzero(owner == k),
                blocks=np.flatnonzero(block_owner == k),
                input_axons=np.flatnonzero(axon_owner == k),
                output_axons=np.flatnonzero(sent_owner == k),
                whole=len(layers) == 1,
            )
            found[program.layers[k].name].append(part)
    return found


def _axon_owners(core: Core, owner: Rows) -> Rows:
    """(input axons,) layer of the neurons that each axon's synapses are for."""
    axons = core.input_axons
    if not len(axons):
        return np.zeros(0, np.int64)
    first = core.synapses.target[core.blocks.start[axons.block]]
    found = owner[axons.base.astype(np.int64) + first]
    # A synapse may be for a compartment that is no neuron; others of its block are not.
    for axon in np.flatnonzero(found < 0).tolist():
        found[axon] = owner[_targets(core, axon)].max()
    return found


def _with_idle(core: Core, owner: Rows, axon_owner: Rows, wide: Rows) -> Rows:
    """Owners with those of compartments that stand for no neuron; only `wide` layers have such.

    Where two such layers of one profile and threshold meet, a few that no synapse is for may
    count for the wrong one.
    """
    layers = np.unique(owner[owner >= 0])
    if (owner >= 0).all() or not len(layers):
        return owner
    if len(layers) == 1:
        return np.full_like(owner, layers[0])
    owner = owner.copy()
    idle = owner < 0
    for axon, layer in enumerate(axon_owner.tolist()):
        targets = _targets(core, axon)
        owner[targets[idle[targets]]] = layer
    # No synapse is for the rest; their neurons are beside them, and share a profile with them.
    known = np.flatnonzero(owner >= 0)
    after = np.searchsorted(known, np.arange(len(owner)))
    before = known[np.maximum(after - 1, 0)]
    behind = known[np.minimum(after, len(known) - 1)]
    rows = core.compartments
    alike = (rows.profile == rows.profile[before]) & (rows.threshold == rows.threshold[before])
    alike &= np.isin(owner[before], wide)
    nearest = np.where(alike & (before < np.arange(len(owner))), before, behind)
    return np.where(owner >= 0, owner, owner[nearest])


def _targets(core: Core, axon: int) -> Rows:
    """Compartments that an input axon reaches."""
    axons, blocks = core.input_axons, core.blocks
    block = int(axons.block[axon])
    start = int(blocks.start[block])
    stop = start + int(blocks.atoms[block]) * int(blocks.length[block])
    return np.unique(core.synapses.target[start:stop]).astype(np.int64) + int(axons.base[axon])


def _sender_owners(core: Core, owner: Rows) -> Rows:
    """(output axons,) layer of the compartment or population that each is of."""
    axons, population = core.output_axons, core.compartments.population
    members = np.full(int(population.max(initial=-1)) + 1, -1)
    some = population >= 0
    members[population[some]] = owner[some]
    senders = np.full(len(axons), -1)
    single = axons.kind == DISCRETE
    senders[single] = owner[axons.source[single]]
    senders[~single] = members[axons.source[~single]]
    return senders


def _rows(table: TableT, rows: Rows) -> TableT:
    return type(table)(**{name: column[rows] for name, column in table.columns().items()})
