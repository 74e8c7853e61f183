"""Random nengo-loihi Models, with noise and with learning, run alike on both emulators.

The Models are the random Programs of `tests/differential` in nengo-loihi's own objects, with
noise on some blocks, and one more block whose synapses learn. NMCOMPILE_FUZZ sets how many.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nengo_loihi.block import Axon, LoihiBlock, Synapse
from nengo_loihi.builder import Model
from nengo_loihi.emulator import EmulatorInterface as Theirs
from nengo_loihi.probe import LoihiProbe

from nmcompile.host.encoder import encoder_currents, encoder_spikes
from nmcompile.nengo import EmulatorInterface

sys.path.insert(0, str(Path(__file__).parents[1] / "differential"))
from dialects import NENGO_LOIHI
from nengo_loihi_twin import _model
from random_programs import random_program

MODELS = int(os.environ.get("NMCOMPILE_FUZZ", "150"))
#: Models that one test takes.
AT_ONCE = 10
FIRST_SEED = 7_000_000


def noisy(block: LoihiBlock, rng: np.random.Generator) -> None:
    comp = block.compartment
    comp.enable_noise[:] = rng.random(block.n_neurons) < 0.7
    comp.noise_exp = int(rng.integers(1, 24))
    comp.noise_offset = int(rng.integers(-2, 3))
    comp.noise_at_membrane = int(rng.integers(2))


def learning(source: LoihiBlock, rng: np.random.Generator) -> tuple[LoihiBlock, Synapse]:
    """A block behind `source`, all of whose synapses learn."""
    size = 2 * int(rng.integers(1, 5))
    block = LoihiBlock(size, label="learning")
    comp = block.compartment
    comp.decay_u = np.full(size, int(rng.integers(0, 4096)), np.int32)
    comp.decay_v = np.full(size, int(rng.choice([0, 200, 4095])), np.int32)
    comp.refract_delay = np.full(size, int(rng.integers(1, 4)), np.int32)
    comp.vth = np.full(size, 64 * int(rng.integers(1, 4000)), np.int32)
    comp.bias = rng.integers(0, 4000, size).astype(np.int32)
    comp.vmin, comp.vmax = 1 - 2**23, 2**23 - 1
    comp.scale_u = comp.scale_v = False
    synapse = Synapse(source.n_neurons)
    mantissas = 2 * rng.integers(-127, 128, (source.n_neurons, size))
    exponent = int(rng.integers(-7, 6))
    weights = np.asarray(mantissas >> max(-exponent, 0), np.int32) << (6 + max(exponent, 0))
    synapse._set_weights_indices(list(weights), weight_dtype=np.int32, compression=3)
    synapse.format(weight_exp=exponent)
    synapse.set_learning(tracing_tau=int(rng.integers(1, 60)), wgt_exp=exponent)
    synapse.tracing_mag = float(rng.integers(0, 128 * 128)) / 128
    synapse._lr_int, synapse._lr_exp = 1, int(rng.integers(-7, 0))
    block.add_synapse(synapse)
    axon = Axon(source.n_neurons)
    axon.target = synapse
    source.add_axon(axon)
    return block, synapse


def random_model(seed: int) -> tuple[Model, Synapse | None, set[str]]:
    """A Model, its learning Synapse if it has one, and what it has."""
    rng = np.random.default_rng(seed)
    program, inputs = random_program(seed, NENGO_LOIHI)
    currents = encoder_currents(program.encoder, inputs)
    model, _ = _model(program, encoder_spikes(program.encoder, currents, program.steps)[0])
    for source in model.inputs:
        source.permanent.update(source.spikes)
    blocks = list(model.blocks)
    found = {"several blocks"} if len(blocks) > 1 else set()
    if rng.random() < 0.7:
        for block in blocks:
            if rng.random() < 0.7:
                noisy(block, rng)
                found.add("noise on voltage" if block.compartment.noise_at_membrane else "on u")
    synapse = None
    if rng.random() < 0.7:
        block, synapse = learning(blocks[int(rng.integers(len(blocks)))], rng)
        model.add_block(block)
        for state in ("current", "voltage", "spiked"):
            model.add_probe(LoihiProbe(target=block, key=state))
        found.add("learning")
        if synapse.synapse_cfg.weight_exp < 0:
            found.add("learning at a negative exponent")
    return model, synapse, found


def states(kind: type, seed: int) -> tuple[list[np.ndarray], set[str]]:
    """All that the probes saw, with random errors for what learns in every step."""
    model, synapse, found = random_model(seed)
    rng = np.random.default_rng(seed + 1)
    with kind(model, seed=seed % 1000) as sim:
        for _ in range(NENGO_LOIHI.steps):
            errors: list[tuple[Synapse, int, Any]] = []
            if synapse is not None:
                size = synapse.weights[0].shape[1] // 2
                errors.append((synapse, sim.t, rng.normal(0, 0.5, size)))
            sim.host2chip([], errors)
            sim.run_steps(1)
        return [np.asarray(sim.collect_probe_output(probe)) for probe in model.probes], found


@pytest.mark.parametrize("number", range(0, MODELS, AT_ONCE))
def test_a_random_model_runs_as_in_nengo_loihi(number: int) -> None:
    for seed in range(FIRST_SEED + number, FIRST_SEED + number + AT_ONCE):
        theirs, _ = states(Theirs, seed)
        ours, _ = states(EmulatorInterface, seed)
        names = ["u", "v", "spikes"] * (len(theirs) // 3)
        for mine, other, name in zip(ours, theirs, names, strict=True):
            wrong = np.argwhere(mine != other)
            assert len(wrong) == 0, (
                f"seed {seed}, step {wrong[0][0]}, compartment {wrong[0][1]}: {name} is "
                f"{mine[tuple(wrong[0])]}, nengo-loihi's {other[tuple(wrong[0])]}"
            )


def test_the_models_have_noise_and_learning_of_all_kinds() -> None:
    met: Counter[str] = Counter()
    for seed in range(FIRST_SEED, FIRST_SEED + 60):
        met.update(random_model(seed)[2])
    assert set(met) == {
        "several blocks",
        "on u",
        "noise on voltage",
        "learning",
        "learning at a negative exponent",
    }
    assert min(met.values()) >= 5


def test_most_models_fire() -> None:
    firing = [
        max(float(each.any(axis=0).mean()) for each in states(EmulatorInterface, seed)[0][2::3])
        for seed in range(FIRST_SEED, FIRST_SEED + 40)
    ]
    assert np.mean(np.array(firing) >= 0.05) > 0.8
