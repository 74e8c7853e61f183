"""Recurrent connections and delays of NIR files mean what tools make of them."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from nir_files import affine, chain, lif, network, node, spikes, write

from nmcompile.api import Emulator, build
from nmcompile.frontends.nir.write import write as export
from nmcompile.ir import Network
from nmcompile.ir.nodes import Back, Delay, FloatArray, Spiking
from nmcompile.ir.over_time import evaluate_frames, values_over_time
from nmcompile.passes.base import NmcompileWarning

DT = 0.001


def inputs(shape: tuple[int, ...], rng: np.random.Generator, steps: int = 40) -> FloatArray:
    return (rng.random((3, steps, *shape)) < 0.5).astype(np.float32)


def looped(rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """A graph of weights and neurons that read their own spikes through other weights."""
    first = affine(rng, 4, 5)
    weight = rng.normal(0, 0.4, (5, 5)).astype(np.float32)
    graph = chain(first, lif(5, tau=0.005, r=5.0, v_threshold=0.8))
    graph["nodes"]["w"] = again = node("Linear", weight=weight)
    graph["edges"] += [("b", "w"), ("w", "b")]
    return graph, first, again


def by_hand(
    x: FloatArray, first: dict[str, Any], again: dict[str, Any], late: np.ndarray | int = 1
) -> FloatArray:
    """Neurons of Norse: v = 0.8 v + 0.2 * 5 * drive; what they sent `late` steps ago is added."""
    v, sent = np.zeros((3, 5)), np.zeros((3, x.shape[1], 5))
    for step in range(x.shape[1]):
        drive = x[:, step] @ first["weight"].T + first["bias"]
        for k, each in enumerate(np.broadcast_to(late, 5)):
            if step >= each:
                drive = drive + sent[:, step - each, k, None] * again["weight"][:, k]
        v = 0.8 * v + drive
        sent[:, step] = v > 0.8
        v[v > 0.8] = 0
    return sent


def test_neurons_read_their_spikes_of_the_step_before(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    graph, first, again = looped(rng)
    graph["nodes"]["b"]["r"] = np.ones(5)
    graph["nodes"]["b"]["v_threshold"] = np.full(5, 0.8 * 0.2)
    x = inputs((4,), rng)
    found = network(write(tmp_path / "net.nir", graph), dialect="norse")
    wanted = by_hand(x, first, again)
    assert 0.1 < wanted.mean() < 0.9
    np.testing.assert_array_equal(spikes(found, x), wanted)


def test_delays_add_to_the_step_that_a_loop_takes(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    graph, first, again = looped(rng)
    steps = np.array([0, 3, 1, 3, 0])
    graph["nodes"]["d"] = node("Delay", delay=steps * DT)
    graph["edges"] = [*graph["edges"][:-2], ("b", "d"), ("d", "w"), ("w", "b")]
    graph["nodes"]["b"]["r"] = np.ones(5)
    graph["nodes"]["b"]["v_threshold"] = np.full(5, 0.8 * 0.2)
    x = inputs((4,), rng)
    found = network(write(tmp_path / "net.nir", graph), dialect="norse")
    np.testing.assert_array_equal(spikes(found, x), by_hand(x, first, again, 1 + steps))


def test_images_come_back_channel_by_channel(tmp_path: Path) -> None:
    """A loop of weights of one is the same whether an image or its flat numbers come back."""
    rng = np.random.default_rng(2)
    kernel = rng.normal(0, 0.6, (2, 2, 1, 1)).astype(np.float32)
    common = {
        "bias": np.zeros(2, np.float32), "stride": np.ones(2), "padding": np.zeros(2),
        "dilation": np.ones(2), "groups": 1, "input_shape": np.array([3, 4]),
    }  # fmt: skip
    image = chain(lif((2, 3, 4)), shape=(2, 3, 4))
    image["nodes"]["w"] = node("Conv2d", weight=kernel, **common)
    flat = chain(
        node("Flatten", start_dim=0, end_dim=-1, input_type=np.array([2, 3, 4])), lif(24),
        shape=(2, 3, 4),
    )  # fmt: skip
    full = np.einsum("oi,pq->opiq", kernel[:, :, 0, 0], np.eye(12, dtype=np.float32))
    flat["nodes"]["w"] = node("Linear", weight=full.reshape(24, 24))
    image["edges"] += [("a", "w"), ("w", "a")]
    flat["edges"] += [("b", "w"), ("w", "b")]
    x = inputs((2, 3, 4), rng)
    options = {"dialect": "nir", "dt": 0.005}
    one = spikes(network(write(tmp_path / "a.nir", image), **options), x)
    other = spikes(network(write(tmp_path / "b.nir", flat), **options), x)
    assert 0.05 < one.mean() < 0.95
    np.testing.assert_array_equal(one.reshape(3, 40, -1), other)


@pytest.mark.parametrize("seed", range(6))
def test_a_round_trip_of_loops_and_delays_is_equal(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    graph, _, _ = looped(rng)
    graph["nodes"]["d"] = node("Delay", delay=rng.integers(0, 9, 5) * DT)
    graph["edges"] = [*graph["edges"][:-2], ("b", "d"), ("d", "w"), ("w", "b")]
    found = network(write(tmp_path / "a.nir", graph), dialect="nir", dt=DT)
    assert {Back, Delay} <= {type(each) for each in found}
    export(found, tmp_path / "b.nir")
    again = network(tmp_path / "b.nir")
    export(again, tmp_path / "c.nir")
    x = inputs((4,), rng)
    np.testing.assert_array_equal(spikes(found, x), spikes(again, x))
    network(tmp_path / "c.nir")
    assert again.recurrent


def test_a_loop_around_two_layers_is_told_to_come_late(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    weight = rng.normal(0, 0.5, (4, 4)).astype(np.float32)
    graph = chain(lif(4, r=10.0), node("Linear", weight=weight), lif(4, r=10.0))
    graph["nodes"]["w"] = node("Linear", weight=weight)
    graph["edges"] += [("c", "w"), ("w", "a")]
    path = write(tmp_path / "net.nir", graph)
    x = inputs((4,), rng)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        build(path, dialect="nir", dt=DT, calibrate=x, steps=40)
    late = [str(each.message) for each in found if each.category is NmcompileWarning]
    assert any("come back to 'a' 1 step(s) later on the chip" in each for each in late)


def test_a_delay_beyond_the_chips_is_refused(tmp_path: Path) -> None:
    from nmcompile.errors import CompileError

    rng = np.random.default_rng(4)
    graph = chain(lif(4, r=10.0), node("Delay", delay=np.full(4, 0.07)), lif(4, r=10.0))
    path = write(tmp_path / "net.nir", graph)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(CompileError, match="70 steps late, a synapse delays by 62"):
            build(path, dialect="nir", dt=DT, calibrate=inputs((4,), rng), steps=90)


def test_voltages_that_never_fire_are_only_read_at_the_end(tmp_path: Path) -> None:
    from nmcompile.errors import UnsupportedError

    voltage = node("LI", tau=np.full(4, 0.02), r=np.ones(4), v_leak=np.zeros(4))
    path = write(tmp_path / "net.nir", chain(voltage, lif(4)))
    with pytest.raises(UnsupportedError, match="read by other nodes"):
        network(path, dialect="nir", dt=DT)


@pytest.mark.parametrize("kind", ["LI", "CubaLI"])
def test_a_last_voltage_is_what_the_tool_has_at_the_end(kind: str, tmp_path: Path) -> None:
    """In float, and on the chip, whose read-out filters spikes in the same way."""
    rng = np.random.default_rng(5)
    last = affine(rng, 5, 3)
    last["bias"] *= 0
    fields = {"r": np.full(3, 2.0), "v_leak": np.zeros(3)}
    if kind == "LI":
        voltage = node("LI", tau=np.full(3, 0.02), **fields)
    else:
        taus = {"tau_mem": np.full(3, 0.02), "tau_syn": np.full(3, 0.005)}
        voltage = node("CubaLI", w_in=np.full(3, 1.5), **taus, **fields)
    first = affine(rng, 4, 5)
    path = write(tmp_path / "net.nir", chain(first, lif(5, r=10.0), last, voltage))
    x = inputs((4,), rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = build(path, dialect="nir", dt=DT, calibrate=x, steps=41)
    found = network(path, dialect="nir", dt=DT)
    fired = np.stack([each[found[last_spiking(found)].name] for each in values_over_time(found, x)])
    u, v = np.zeros((3, 3)), np.zeros((3, 3))
    kept_u, kept_v = np.exp(-DT / 0.005), np.exp(-DT / 0.02)
    for step in range(40):
        drive = fired[step] @ last["weight"].T
        if kind == "CubaLI":
            u = kept_u * u + (1 - kept_u) * 1.5 * drive
            drive = u
        v = kept_v * v + (1 - kept_v) * 2.0 * drive
    got = evaluate_frames(found, x, 40)
    ratio = got / v
    np.testing.assert_allclose(ratio, ratio.flat[0], rtol=1e-3)
    assert ratio.flat[0] > 0
    scores = Emulator(jobs=1).load(program).run(x, None, []).scores
    assert np.corrcoef(scores.ravel(), v.ravel())[0, 1] > 0.97
    assert program.read_out.synapse_s == pytest.approx(0.02)
    assert program.read_out.rise_s == pytest.approx(0.005 if kind == "CubaLI" else 0)


def last_spiking(found: Network) -> str:
    return [each.name for each in found if isinstance(each, Spiking)][-1]
