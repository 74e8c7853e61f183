"""A Program as nengo-loihi's own objects, already in integers, and its trace in their emulator.

One LoihiBlock stands for a core. A nengo-loihi Synapse has one format, one kind of axon and one
number of atoms, so a core's input axons are grouped by these; an Axon object gives each
compartment at most one target, so more are made where a compartment has several.

Steps: nengo-loihi counts from 1 and hands a host spike of its step t - 1 to the chip in step t,
so our step s is its step s + 1 and spikes injected in our step s are entered under s + 1.
"""

from __future__ import annotations

import warnings
from collections import defaultdict

import numpy as np
from nengo_loihi.block import Axon, LoihiBlock, Synapse
from nengo_loihi.builder import Model
from nengo_loihi.builder.discretize import VTH_EXP, shift
from nengo_loihi.emulator.interface import EmulatorInterface
from nengo_loihi.inputs import SpikeInput
from nengo_loihi.probe import LoihiProbe
from numpy.typing import NDArray
from traces import Trace

from nmcompile.chip.core import DISCRETE, Core
from nmcompile.chip.program import Program
from nmcompile.host.encoder import encoder_currents, encoder_spikes

#: Our name of a quantity -> the name of nengo-loihi's state.
STATES = {"u": "current", "v": "voltage", "spikes": "spiked"}

#: Input axon of a core -> the Synapse that holds it, and its number there.
Places = dict[int, tuple[Synapse, int]]


def nengo_loihi_trace(program: Program, inputs: NDArray[np.float64]) -> Trace:
    """Trace of nengo-loihi's emulator over the Program's steps."""
    currents = encoder_currents(program.encoder, inputs)
    spikes = encoder_spikes(program.encoder, currents, program.steps)[0]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model, probes = _model(program, spikes)
        with EmulatorInterface(model, seed=0) as emulator:
            emulator.run_steps(program.steps)
            found = {
                quantity: np.asarray(emulator.collect_probe_output(probe))
                for quantity, probe in probes.items()
            }
    return Trace(
        u=found["u"].astype(np.int32),
        v=found["v"].astype(np.int32),
        spikes=found["spikes"].astype(bool),
        wrapped=any(str(warning.message).startswith("Overflow") for warning in said),
    )


def _model(program: Program, spikes: NDArray[np.bool_]) -> tuple[Model, dict[str, LoihiProbe]]:
    model = Model(dt=program.dt_s)
    blocks = [_block(core, f"core{number}") for number, core in enumerate(program.cores)]
    places = [_synapses(core, block) for core, block in zip(program.cores, blocks, strict=True)]
    for core, block in zip(program.cores, blocks, strict=True):
        _output_axons(core, block, places)
        model.add_block(block)
    model.add_input(_spike_input(program, places, spikes))
    probes = {name: LoihiProbe(target=blocks, key=state) for name, state in STATES.items()}
    for probe in probes.values():
        model.add_probe(probe)
    return model, probes


def _block(core: Core, label: str) -> LoihiBlock:
    comps = core.compartments
    block = LoihiBlock(len(comps), label=label)
    made = block.compartment
    made.decay_u = core.profiles.decay_u[comps.profile].astype(np.int32)
    made.decay_v = core.profiles.decay_v[comps.profile].astype(np.int32)
    made.refract_delay = core.profiles.refractory[comps.profile].astype(np.int32)
    made.vth = core.thresholds.mantissa[comps.threshold].astype(np.int32) * 2**VTH_EXP
    made.bias = comps.bias_mantissa.astype(np.int32) * 2 ** comps.bias_exponent.astype(np.int32)
    made.vmin = 1 - 2**core.vmin_exponent
    made.vmax = 2 ** (9 + 2 * core.vmax_exponent) - 1
    made.scale_u = made.scale_v = False
    return block


def _synapses(core: Core, block: LoihiBlock) -> Places:
    """Give the block its Synapses; where each input axon went."""
    groups: dict[tuple[int, int, int], list[int]] = defaultdict(list)
    for axon in range(len(core.input_axons)):
        weights = int(core.input_axons.block[axon])
        kind = int(core.input_axons.kind[axon])
        groups[int(core.blocks.format[weights]), kind, int(core.blocks.atoms[weights])].append(axon)
    places: Places = {}
    for (number, kind, _), axons in groups.items():
        used = sorted({int(core.input_axons.block[axon]) for axon in axons})
        values, indices = zip(*(_weights(core, k) for k in used), strict=True)
        synapse = Synapse(len(axons))
        synapse.pop_type = kind
        synapse.axon_to_weight_map = {
            i: used.index(int(core.input_axons.block[axon])) for i, axon in enumerate(axons)
        }
        synapse.axon_compartment_bases = [int(core.input_axons.base[axon]) for axon in axons]
        synapse._set_weights_indices(
            values,
            indices=indices,
            weight_dtype=np.int32,
            compression=3 if core.formats.dense[number] else 0,
        )
        synapse.format(
            weight_exp=int(core.formats.exponent[number]),
            fanout_type=int(core.formats.sign_mode[number]),
            weight_bits=synapse.synapse_cfg.WEIGHT_BITS_MAP.index(
                int(core.formats.weight_bits[number])
            ),
        )
        block.add_synapse(synapse)
        places.update({axon: (synapse, i) for i, axon in enumerate(axons)})
    return places


def _weights(core: Core, k: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(atoms, length) weights and targets of a block."""
    start, atoms, length = (
        int(column[k]) for column in (core.blocks.start, core.blocks.atoms, core.blocks.length)
    )
    rows = core.synapses.rows(start, start + atoms * length)
    mantissa = rows.mantissa.astype(np.int32).reshape(atoms, length)
    exponent = int(core.formats.exponent[core.blocks.format[k]])
    return shift(mantissa, exponent) << 6, rows.target.astype(np.int32).reshape(atoms, length)


def _output_axons(core: Core, block: LoihiBlock, places: list[Places]) -> None:
    out, comps = core.output_axons, core.compartments
    ends: list[tuple[int, Synapse, int, int]] = []
    for k in range(len(out)):
        synapse, axon = places[int(out.core[k])][int(out.axon[k])]
        if out.kind[k] == DISCRETE:
            ends.append((int(out.source[k]), synapse, axon, 0))
        else:
            members = np.flatnonzero(comps.population == out.source[k])
            ends += [(int(n), synapse, axon, int(comps.atom[n])) for n in members]
    for made in _axons(ends, len(comps)):
        block.add_axon(made)


def _spike_input(program: Program, places: list[Places], spikes: NDArray[np.bool_]) -> SpikeInput:
    rows = program.injection
    ends: list[tuple[int, Synapse, int, int]] = []
    for k in range(len(rows)):
        synapse, axon = places[int(rows.core[k])][int(rows.axon[k])]
        ends.append((int(rows.neuron[k]), synapse, axon, int(rows.atom[k])))
    made = SpikeInput(spikes.shape[1])
    for step, fired in enumerate(spikes):
        made.add_spikes(step + 1, np.flatnonzero(fired))
    for axon in _axons(ends, spikes.shape[1]):
        made.add_axon(axon)
    return made


def _axons(ends: list[tuple[int, Synapse, int, int]], size: int) -> list[Axon]:
    """Axon objects for (source, synapse, axon, atom), each with one target a source."""
    made: list[Axon] = []
    free: dict[Synapse, list[Axon]] = defaultdict(list)
    for source, synapse, number, atom in ends:
        axon = next((a for a in free[synapse] if a.compartment_map[source] < 0), None)
        if axon is None:
            axon = Axon(synapse.n_axons)
            axon.target = synapse
            axon.set_compartment_axon_map(np.full(size, -1), np.zeros(size, np.int64))
            free[synapse].append(axon)
            made.append(axon)
        axon.compartment_map[source] = number
        axon.compartment_atoms[source] = atom
    return made
