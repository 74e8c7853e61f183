"""Recurrent connections, delays and shortcuts mean the same on the chip as in the network."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from random_time import random_network, random_spikes

from nmcompile.backends.base import Probe
from nmcompile.backends.emulator import Emulator
from nmcompile.hardware import parse_target
from nmcompile.ir import Network
from nmcompile.ir.nodes import FloatArray, Spiking
from nmcompile.ir.over_time import values_over_time
from nmcompile.passes.options import checked_options
from nmcompile.passes.pipeline import compile_network

STEPS = 24


def differing(network: Network, x: FloatArray, target: str = "loihi1") -> tuple[int, int]:
    """Spikes of all layers that differ between network and chip, and spikes in all."""
    layers = [node.name for node in network if isinstance(node, Spiking)]
    spare = len(layers)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="only|layer|if all inputs")
        options = checked_options(steps=x.shape[1] + spare, encoder="on")
        program = compile_network(network, parse_target(target), options, x)
    late = np.concatenate([x, np.zeros_like(x[:, :spare])], axis=1)
    probes = [Probe(name, "spikes") for name in layers]
    found = Emulator(jobs=1).load(program).run(late, late.shape[1], probes).probes
    wrong = total = 0
    wanted = list(values_over_time(network, late))
    for name in layers:
        depth = program.layer(name).depth
        chip = np.asarray(found[Probe(name, "spikes")])[:, depth:]
        model = np.stack([values[name] for values in wanted], axis=1).reshape(*late.shape[:2], -1)
        model = model[:, : chip.shape[1]] > 0
        wrong += int((chip.astype(bool) != model).sum())
        total += int(model.sum())
    return wrong, total


@pytest.mark.parametrize("images", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_random_networks_spike_alike(seed: int, images: bool) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(rng, images=images)
    wrong, total = differing(network, random_spikes(rng, network, STEPS))
    assert total > 20
    assert wrong == 0
