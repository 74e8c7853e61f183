"""The emulator with the methods of its namesake, on nengo-loihi Models made by hand."""

from __future__ import annotations

import nengo
import numpy as np
import pytest
from nengo.exceptions import SimulationError
from nengo_loihi.block import Axon, LoihiBlock, Synapse
from nengo_loihi.builder import Model
from nengo_loihi.builder.discretize import discretize_model
from nengo_loihi.emulator import EmulatorInterface as Theirs
from nengo_loihi.inputs import SpikeInput
from nengo_loihi.probe import LoihiProbe

from nmcompile.errors import ModelError
from nmcompile.nengo import EmulatorInterface

STEPS = 60


def model(seed: int = 0, *, discretize: bool = True, weight: float = 1.0) -> Model:
    """Spikes into a block, and from there into a second by two Axons with other atoms."""
    rng = np.random.default_rng(seed)
    made = Model(dt=0.001)
    blocks = [LoihiBlock(12, label="first"), LoihiBlock(8, label="second")]
    for block in blocks:
        block.compartment.configure_lif(tau_rc=0.01, tau_ref=0.002)
        block.compartment.configure_filter(0.004)
        block.compartment.bias[:] = rng.uniform(0.5, 3, block.n_neurons)
    into = Synapse(5)
    into.set_weights(rng.normal(0, weight, (5, 12)))
    blocks[0].add_synapse(into)
    shared = Synapse(4)
    shared.set_population_weights(
        [rng.normal(0, weight, (3, 4)) for _ in range(2)],
        [np.tile([0, 2, 1, 3], (3, 1)) for _ in range(2)],
        axon_to_weight_map={0: 0, 1: 0, 2: 1, 3: 1},
        compartment_bases=[0, 4, 4, -1],
        pop_type=16,
    )
    blocks[1].add_synapse(shared)
    for atoms in (np.arange(12) % 3, (np.arange(12) + 1) % 3):
        axon = Axon(4)
        axon.target = shared
        axon.set_compartment_axon_map(np.arange(12) // 3, atoms=atoms)
        blocks[0].add_axon(axon)
    source = SpikeInput(5)
    enter = Axon(5)
    enter.target = into
    source.add_axon(enter)
    for t in range(1, STEPS):
        source.add_spikes(t, np.flatnonzero(rng.random(5) < 0.4), permanent=True)
    for block in blocks:
        made.add_block(block)
    made.add_input(source)
    for key in ("current", "voltage", "spiked"):
        made.add_probe(LoihiProbe(target=blocks, key=key))
    if discretize:
        discretize_model(made)
    return made


@pytest.mark.parametrize("seed", range(10))
def test_states_are_those_of_its_namesake(seed: int) -> None:
    made = model(seed)
    found = []
    for kind in (EmulatorInterface, Theirs):
        with kind(made, seed=seed) as sim:
            sim.run_steps(STEPS // 2)
            first = [sim.collect_probe_output(probe) for probe in made.probes]
            sim.run_steps(STEPS // 2)
            second = [sim.collect_probe_output(probe) for probe in made.probes]
            assert sim.t == STEPS
        found.append([np.concatenate(pair) for pair in zip(first, second, strict=True)])
    assert found[1][2].any()
    for ours, theirs in zip(*found, strict=True):
        assert np.array_equal(ours, theirs)


def test_of_two_synapses_onto_a_compartment_the_last_counts() -> None:
    found = []
    for kind in (EmulatorInterface, Theirs):
        made = Model()
        block = LoihiBlock(3)
        block.compartment.configure_relu()
        synapse = Synapse(1)
        synapse.set_population_weights(
            [np.array([[5.0, 7.0, 11.0]])], [np.array([[1, 1, 0]])], {0: 0}, [0]
        )
        block.add_synapse(synapse)
        block.compartment.vth[:] = 1000
        source = SpikeInput(1)
        axon = Axon(1)
        axon.target = synapse
        source.add_axon(axon)
        source.add_spikes(1, [0], permanent=True)
        made.add_block(block)
        made.add_input(source)
        made.add_probe(LoihiProbe(target=block, key="current"))
        discretize_model(made)
        with kind(made, seed=0) as sim:
            sim.run_steps(4)
            found.append(sim.collect_probe_output(made.probes[0]))
    assert found[0].any()
    assert np.array_equal(*found)


@pytest.mark.parametrize("strict", [False, True])
def test_overflows_warn_or_raise_as_in_its_namesake(strict: bool) -> None:
    class Ours(EmulatorInterface):
        pass

    Ours.strict = strict
    made = Model()
    block = LoihiBlock(1)
    block.compartment.configure_relu()
    synapse = Synapse(200)
    synapse.set_weights(np.ones((200, 1)))
    block.add_synapse(synapse)
    block.compartment.vth[:] = 200
    source = SpikeInput(200)
    axon = Axon(200)
    axon.target = synapse
    source.add_axon(axon)
    source.add_spikes(1, np.arange(200), permanent=True)
    made.add_block(block)
    made.add_input(source)
    discretize_model(made)
    with Ours(made, seed=0) as sim:
        if strict:
            with pytest.raises(SimulationError, match="Overflow in q0"):
                sim.run_steps(4)
        else:
            with pytest.warns(UserWarning, match="Overflow in q0"):
                sim.run_steps(4)


def test_spikes_of_one_neuron_may_come_several_times_a_step() -> None:
    found = []
    for kind in (EmulatorInterface, Theirs):
        made = model(3)
        (source,) = made.inputs
        source.spikes = {t: [0] * 400 + [1, 1] for t in range(1, STEPS)}
        with kind(made, seed=0) as sim:
            with pytest.warns(UserWarning, match="Overflow in q0"):
                sim.run_steps(STEPS)
            found.append([sim.collect_probe_output(probe) for probe in made.probes])
    for ours, theirs in zip(*found, strict=True):
        assert np.array_equal(ours, theirs)


def test_spikes_of_a_neuron_that_is_not_there_are_refused() -> None:
    made = model()
    (source,) = made.inputs
    source.spikes = {1: [5]}
    sim = EmulatorInterface(made)
    with pytest.raises(ModelError, match="an input of 5 neurons sends spikes of neurons 5"):
        sim.run_steps(3)


def test_synapses_beyond_their_block_are_refused() -> None:
    made = model()
    made.blocks[list(made.blocks)[1]] = 1
    list(made.blocks)[1].synapses[0].indices[1][0, 0] = 9
    with pytest.raises(ModelError, match="synapses reach compartments 0 to 13, it has 8"):
        EmulatorInterface(made)


def test_floats_are_refused() -> None:
    with pytest.raises(ModelError, match="not discretised, and the chip has integers only"):
        EmulatorInterface(model(discretize=False))


def test_a_network_is_refused() -> None:
    with pytest.raises(ModelError, match="type Network is no nengo-loihi Model"):
        EmulatorInterface(nengo.Network())


def test_an_empty_model_is_refused() -> None:
    with pytest.raises(ModelError, match="no blocks, so nothing of it is on the chip"):
        EmulatorInterface(Model())


def test_after_closing_it_does_not_run() -> None:
    sim = EmulatorInterface(model())
    sim.close()
    with pytest.raises(SimulationError, match="closed"):
        sim.run_steps(1)
