"""A Program as Brian2Loihi's objects, and its trace there.

A neuron group has one threshold and one pair of decays, so a core's compartments are grouped
by profile and threshold; a synapses object has one format and one delay. Brian2Loihi's host
spikes take effect in the step in which they are injected, and ours one later, so our step s is
its step s - 1; nothing can happen in our step 0, since it has no bias.
"""

from __future__ import annotations

import numpy as np
from brian2 import prefs
from brian2_loihi import (
    LoihiNetwork,
    LoihiNeuronGroup,
    LoihiSpikeGeneratorGroup,
    LoihiSpikeMonitor,
    LoihiStateMonitor,
    LoihiSynapses,
)
from numpy.typing import NDArray
from synapses import HOST, Connections, split
from traces import Trace

from nmcompile.chip.program import Program
from nmcompile.host.encoder import encoder_currents, encoder_spikes

prefs.codegen.target = "numpy"


def brian2_loihi_trace(
    program: Program, inputs: NDArray[np.float64], lag: int = 1, decay_offset: int = 1
) -> Trace:
    """Trace of Brian2Loihi over the Program's steps.

    `lag` is how much later our steps are, `decay_offset` what its decay of the current is more.
    """
    groups, group_of, place_of = _groups(program, decay_offset)
    generator = _generator(program, inputs)
    synapses = _synapses(program, groups, group_of, place_of, generator)
    # Order 1: the currents once the spikes of the step have arrived.
    states = {
        name: [LoihiStateMonitor(group, name, order=1) for group in groups] for name in ("I", "v")
    }
    spikes = [LoihiSpikeMonitor(group) for group in groups]
    network = LoihiNetwork(generator, *groups, *synapses, *states["I"], *states["v"], *spikes)
    network.run(program.steps - lag)

    shape = (program.steps, len(group_of))
    u, v = (np.zeros(shape, np.int32) for _ in range(2))
    fired = np.zeros(shape, bool)
    for number in range(len(groups)):
        members = np.flatnonzero(group_of == number)
        u[lag:, members] = states["I"][number].I.T
        v[lag:, members] = states["v"][number].v.T
        times = np.rint(np.asarray(spikes[number].t_) * 1000).astype(int)
        fired[times + lag, members[np.asarray(spikes[number].i)]] = True
    return Trace(u, v, fired, wrapped=None)


def _groups(
    program: Program, decay_offset: int
) -> tuple[list[LoihiNeuronGroup], NDArray[np.int64], NDArray[np.int64]]:
    """Neuron groups, and the group and the place in it of each compartment."""
    columns = [
        (np.full(len(c.compartments), k), c.compartments.profile, c.compartments.threshold)
        for k, c in enumerate(program.cores)
    ]
    table = np.concatenate([np.stack(column, axis=1) for column in columns])
    keys, group_of = np.unique(table, axis=0, return_inverse=True)
    group_of = group_of.reshape(-1)
    place_of = np.zeros(len(table), np.int64)
    groups = []
    for number, (core, profile, threshold) in enumerate(keys.tolist()):
        members = np.flatnonzero(group_of == number)
        place_of[members] = np.arange(len(members))
        registers = program.cores[core].profiles
        groups.append(
            LoihiNeuronGroup(
                len(members),
                refractory=int(registers.refractory[profile]),
                threshold_v_mant=int(program.cores[core].thresholds.mantissa[threshold]),
                decay_v=int(registers.decay_v[profile]),
                decay_I=int(registers.decay_u[profile]) + decay_offset,
            )
        )
    return groups, group_of, place_of


def _generator(program: Program, inputs: NDArray[np.float64]) -> LoihiSpikeGeneratorGroup:
    currents = encoder_currents(program.encoder, inputs)
    spikes = encoder_spikes(program.encoder, currents, program.steps)[0]
    steps, neurons = np.nonzero(spikes)
    return LoihiSpikeGeneratorGroup(spikes.shape[1], neurons, steps)


def _synapses(
    program: Program,
    groups: list[LoihiNeuronGroup],
    group_of: NDArray[np.int64],
    place_of: NDArray[np.int64],
    generator: LoihiSpikeGeneratorGroup,
) -> list[LoihiSynapses]:
    connections = Connections.of(program)
    first = np.cumsum([0, *(len(core.compartments) for core in program.cores)])
    host = connections.from_core == HOST
    source = np.where(host, 0, first[connections.from_core] + connections.source)
    target = first[connections.core] + connections.target
    from_group = np.where(host, HOST, group_of[source])
    from_place = np.where(host, connections.source, place_of[source])
    key = (
        from_group,
        group_of[target],
        connections.exponent,
        connections.weight_bits,
        connections.sign_mode,
        connections.delay,
    )
    made = []
    for (start, end, exponent, bits, mode, delay), chosen in split(*key):
        one = LoihiSynapses(
            generator if start == HOST else groups[start],
            groups[end],
            w_exp=exponent,
            num_weight_bits=bits,
            sign_mode=mode,
            delay=delay,
        )
        one.connect(i=from_place[chosen], j=place_of[target[chosen]])
        one.w = connections.mantissa[chosen]
        made.append(one)
    return made
