"""A Program from a Nengo network is diagnosed on the chip alone."""

from __future__ import annotations

import numpy as np

import nmcompile
from nmcompile.host.data import Data
from nmcompile.nengo import to_program
from tests.nengo.test_program import network


def test_the_chips_own_layers_are_diagnosed() -> None:
    program = to_program(network(), steps=100)
    x = np.random.default_rng(0).uniform(-1, 1, (6, 2)).astype(np.float32)
    found = nmcompile.diagnose(program, Data(x, None, "data.npz"))
    assert [stage.name for stage in found.stages] == ["chip"]
    spikes = nmcompile.Emulator().load(program).run(x).spikes
    for layer in found.layers:
        assert (layer.rates.mean_hz > 0) == (spikes[layer.layer].sum() > 0)
        assert layer.compared is None
    assert all("--max-rate" not in each.remedy for each in found.findings)
