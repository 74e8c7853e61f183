"""Our Simulator gives what nengo-loihi's gives, to the last bit."""

from __future__ import annotations

from io import StringIO
from typing import Any

import nengo
import nengo_loihi
import numpy as np
import pytest
from nengo.exceptions import BuildError
from nengo.utils.progress import TerminalProgressBar
from nengo_loihi.builder import Model

from nmcompile.errors import UsageError
from nmcompile.nengo import Simulator
from tests.nengo.networks import NETWORKS, Made, passive

SECONDS = 0.4


def data(made: Made, simulator: Any, **options: Any) -> list[np.ndarray]:
    model = Model(dt=0.001)
    made.prepare(model)
    with simulator(made.network, model=model, **options) as sim:
        sim.run(SECONDS / 2)
        sim.run(SECONDS / 2)
    return [np.array(sim.data[probe]) for probe in made.probes]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", NETWORKS)
def test_everything_probed_is_as_in_nengo_loihi(name: str, seed: int) -> None:
    made = NETWORKS[name]()
    theirs = data(made, nengo_loihi.Simulator, seed=seed, target="sim")
    ours = data(made, Simulator, seed=seed)
    for mine, other in zip(ours, theirs, strict=True):
        assert other.any()
        assert np.array_equal(mine, other)


@pytest.mark.parametrize("precompute", [False, True])
@pytest.mark.parametrize("remove_passthrough", [False, True])
def test_options_of_the_build_are_nengo_loihis(precompute: bool, remove_passthrough: bool) -> None:
    made = passive()
    with made.network:
        between = nengo.Node(size_in=1)
        source = nengo.Ensemble(40, 1)
        nengo.Connection(source, between)
        nengo.Connection(between, nengo.Ensemble(30, 1))
    options = {"seed": 1, "precompute": precompute, "remove_passthrough": remove_passthrough}
    if precompute and not remove_passthrough:
        with pytest.raises(nengo.exceptions.BuildError):
            Simulator(made.network, **options)
        return
    theirs = data(made, nengo_loihi.Simulator, target="sim", **options)
    ours = data(made, Simulator, **options)
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_noise_depends_on_the_seed() -> None:
    made = NETWORKS["noise"]()
    assert not np.array_equal(data(made, Simulator, seed=1)[0], data(made, Simulator, seed=2)[0])


def test_steps_one_by_one_are_the_same() -> None:
    made = NETWORKS["learning"]()
    with Simulator(made.network, seed=1) as sim:
        for _ in range(50):
            sim.step()
        assert sim.n_steps == 50
        single = np.array(sim.data[made.probes[0]])
    with Simulator(made.network, seed=1) as sim:
        sim.run_steps(50)
    assert np.array_equal(single, sim.data[made.probes[0]])


def test_a_progress_bar_is_shown_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = StringIO()
    monkeypatch.setattr("sys.stdout", shown)
    made = passive()
    with Simulator(made.network, seed=1, progress_bar=TerminalProgressBar()) as sim:
        sim.run(SECONDS)
    monkeypatch.undo()
    assert "Simulation" in shown.getvalue()
    assert np.array_equal(sim.data[made.probes[0]], data(made, Simulator, seed=1)[0])


def test_options_for_boards_are_taken_and_wrong_ones_refused() -> None:
    with Simulator(passive().network, hardware_options={}) as sim:
        assert not sim.closed
    with pytest.raises(TypeError, match="unexpected keyword argument 'hardware'"):
        Simulator(passive().network, hardware={})


def test_other_targets_are_nengo_loihis_own() -> None:
    with pytest.raises(UsageError, match="target 'simreal': this simulator is the emulator"):
        Simulator(passive().network, target="simreal")


def test_a_network_without_a_chip_says_so() -> None:
    with nengo.Network() as network:
        nengo.Probe(nengo.Node(1.0))
    with pytest.raises(BuildError, match="No neurons marked for execution on-chip"):
        Simulator(network)


def test_a_closed_simulator_stays_closed() -> None:
    with Simulator(passive().network) as sim:
        sim.run_steps(3)
    assert sim.closed
    with pytest.raises(nengo.exceptions.SimulatorClosed):
        sim.run_steps(1)
