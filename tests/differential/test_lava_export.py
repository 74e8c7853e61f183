"""Exported networks give the emulator's very spikes, currents and voltages in Lava's CPU models."""

from __future__ import annotations

import os
import sys
import warnings
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from references import REFERENCES

from nmcompile import build
from nmcompile.backends.base import QUANTITIES, Probe
from nmcompile.backends.emulator import Emulator
from nmcompile.backends.lava import Lava, runner, write_folder
from nmcompile.chip.program import Program
from nmcompile.host.data import load_data

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "tests" / "frontends"
#: Network -> file with its samples, or a shape of random spikes, and how it is built.
NETWORKS: dict[str, tuple[str | tuple[int, ...], dict[str, object]]] = {
    "examples/mnist/mnist.keras": (
        "examples/mnist/test_1000.npz", {"calibrate": ROOT / "examples/mnist/calibrate_500.npz"},
    ),
    "tests/frontends/models/dense.keras": ("tests/frontends/models/dense.npz", {}),
    "tests/frontends/models/residual_plain.keras": (
        "tests/frontends/models/residual_plain.npz", {},
    ),
    "tests/frontends/nir_models/norse_dense.nir": (
        "tests/frontends/nir_models/norse_dense.npz", {"dialect": "norse", "steps": 40},
    ),
    # Layers that drive themselves, and convolutions, of snnTorch.
    "examples/snntorch/rows.nir": ((2, 12, 28), {"dialect": "snntorch", "steps": 20}),
    "examples/snntorch/image.nir": ((2, 12, 1, 28, 28), {"dialect": "snntorch", "steps": 20}),
    **{
        f"tests/frontends/lava_models/{name}.net": (
            f"tests/frontends/lava_models/{name}.npz", {"steps": 40},
        )
        for name in ("slayer_recurrent", "slayer_cuba", "hand_conv", "hand_delays")
    },
}  # fmt: skip

#: Builds of random networks, in turn; NMCOMPILE_FUZZ says of how many.
OPTIONS: tuple[dict[str, object], ...] = (
    {},
    {"neuron": {"synapse": 0.005}},
    {"neuron": {"tau_rc": 0.02}},
    {"readout": "chip"},
    {"weight_bits": 4},
    {"encoder": "on-off"},
    {"neuron": {"synapse": 0.003, "tau_rc": 0.01}, "readout": "chip"},
)

pytestmark = [
    pytest.mark.reference,
    pytest.mark.skipif(not REFERENCES["lava"].installed, reason="needs Lava and NumPy 1"),
]


@pytest.mark.parametrize("network", NETWORKS)
def test_an_exported_network_runs_as_on_the_emulator(network: str) -> None:
    data, options = NETWORKS[network]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if isinstance(data, str):
            x = load_data(ROOT / data).x
        else:
            x = (np.random.default_rng(0).random(data) < 0.3).astype(np.float32)
        options.setdefault("calibrate", None if network.endswith(".net") else x)
        program = build(ROOT / network, **options)  # type: ignore[arg-type]
    same(program, x[:2])


@pytest.mark.parametrize("seed", range(int(os.environ.get("NMCOMPILE_FUZZ", len(OPTIONS)))))
def test_a_random_network_runs_as_on_the_emulator(seed: int) -> None:
    from tests.chip.programs import compiled, samples
    from tests.networks import random_network

    program = compiled(random_network(seed), steps=14, **OPTIONS[seed % len(OPTIONS)])
    same(program, samples(program, 1, seed))


def same(program: Program, x: np.ndarray) -> None:
    """Check that both give the same in every step, spike for spike."""
    probes = [Probe(layer.name, quantity) for layer in program.layers for quantity in QUANTITIES]
    probes.append(Probe(program.encoder.name, "spikes"))
    theirs = Lava(sys.executable, time_limit_s=300).load(program).run(x, probes=probes)
    ours = Emulator(1).load(program).run(x, probes=probes)
    for probe in probes:
        assert np.array_equal(ours.probes[probe], theirs.probes[probe]), probe
    for name, counts in ours.spikes.items():
        assert np.array_equal(counts, theirs.spikes[name])
    assert np.array_equal(ours.scores, theirs.scores)
    assert np.array_equal(ours.synaptic_events, theirs.synaptic_events)
    assert any(counts.any() for counts in ours.spikes.values())
    assert theirs.backend == "lava, CPU"


@pytest.mark.filterwarnings("ignore")  # Lava's own affair.
@pytest.mark.parametrize("name", ["hand_conv", "slayer_recurrent"])
def test_the_way_of_the_hardware_is_right_up_to_its_adapters(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lava_adapters
    from lava.magma.core import run_configs

    package = ModuleType("lava.proc.embedded_io")
    package.spike = lava_adapters  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lava.proc.embedded_io", package)
    monkeypatch.setitem(sys.modules, "lava.proc.embedded_io.spike", lava_adapters)
    on_cpu = partial(run_configs.Loihi2SimCfg, select_tag="fixed_pt")
    monkeypatch.setattr(run_configs, "Loihi2HwCfg", on_cpu)
    conv = runner.conv_process

    def with_exponents(*given: object, hardware: bool, **options: object) -> object:
        # The CPU's Conv leaves exponents out, so that a network of hardware needs them in.
        assert hardware
        return conv(*given, hardware=False, **options)

    monkeypatch.setattr(runner, "conv_process", with_exponents)
    program = build(MODELS / "lava_models" / f"{name}.net", steps=40)
    x = load_data(MODELS / "lava_models" / f"{name}.npz").x[:1]
    write_folder(program, tmp_path, x)
    network = runner.Network(tmp_path)
    spikes, _ = runner.load_spikes(tmp_path / "input.npz", network)
    probes = [(layer.name, "spikes") for layer in program.layers]
    found = runner.run_all(network, spikes, probes, hardware=True, show=False)
    ours = Emulator(1).load(program).run(x, probes=[Probe(*each) for each in probes])
    for probe, array in ours.probes.items():
        assert np.array_equal(found[f"probe/{probe}"], array)
    assert np.array_equal(found["scores"], ours.scores)
    with pytest.raises(runner.RunnerError, match="with --hardware"):
        runner.run_all(network, spikes, [(program.layers[0].name, "v")], hardware=True)
