"""NIR files mean what the tools that wrote them compute, step by step."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from nir_files import MODELS, affine, chain, lif, network, node, spikes, write

from nmcompile.frontends import load
from nmcompile.frontends.source import AssumptionWarning
from nmcompile.ir import Network
from nmcompile.ir.nodes import Conv2d, FloatArray, Spiking
from nmcompile.ir.over_time import _Neurons, values_over_time

DT = 0.002


def inputs(shape: tuple[int, ...], rng: np.random.Generator, steps: int = 60) -> FloatArray:
    return (rng.random((3, steps, *shape)) < 0.5).astype(np.float32)


@pytest.mark.parametrize("name", sorted(path.stem for path in MODELS.glob("*.nir")))
def test_spikes_and_voltages_are_those_that_the_tool_computed(name: str) -> None:
    with np.load(MODELS / f"{name}.npz") as held:
        x, wanted, voltages = held["x"].astype(np.float32), held["spikes"], held["voltages"]
    found = network(MODELS / f"{name}.nir", dialect=name.partition("_")[0])
    assert wanted.sum() > 40
    np.testing.assert_array_equal(spikes(found, x), wanted)
    np.testing.assert_allclose(last_voltages(found, x, voltages.shape[2:]), voltages, atol=2e-5)


def last_voltages(found: Network, x: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """(samples, steps, ...) voltages of the last neurons, in the units of the file."""
    last = [each for each in found if isinstance(each, Spiking)][-1]
    unit, state, rows = 1.0, None, []
    if "norse" in found.name and last.tau_rc_s is not None:
        unit = last.leak
    for values in values_over_time(found, x):
        drive = values[last.inputs[0]]
        state = state or _Neurons(last, drive)
        state.step(drive)
        voltage = state._voltage * unit
        rows.append(voltage.transpose(0, 3, 1, 2) if len(shape) == 3 else voltage)
    return np.stack(rows, axis=1)


def snntorch_lif(x: FloatArray, p: dict[str, Any], dt: float) -> FloatArray:
    """`snntorch.Leaky` as `import_from_nir` makes it: beta * mem + input, zero after a spike."""
    beta, scale = 1 - dt / p["tau"], p["r"] * dt / p["tau"]
    return fire(x * scale, beta, p["v_threshold"], 0.0, 0.0)


def norse_lif(x: FloatArray, p: dict[str, Any], dt: float) -> FloatArray:
    """`lif_box_feed_forward_step`: v + dt / tau * (v_leak + input - v); it starts at v_leak."""
    rate = dt / p["tau"]
    drive = rate * (x + p["v_leak"])
    return fire(drive, 1 - rate, p["v_threshold"], p["v_leak"], p["v_reset"])


def exact_lif(x: FloatArray, p: dict[str, Any], dt: float) -> FloatArray:
    """The specification's equation over a step of constant input; it starts at v_reset."""
    kept = np.exp(-dt / p["tau"])
    drive = (1 - kept) * (p["v_leak"] + p["r"] * x)
    return fire(drive, kept, p["v_threshold"], p["v_reset"], p["v_reset"])


def fire(drive: Any, kept: Any, threshold: Any, start: Any, reset: Any) -> FloatArray:
    """Spikes (samples, steps, neurons) of v = kept * v + drive, in double precision."""
    v = np.zeros(drive.shape[2:]) + start
    out = []
    for step in range(drive.shape[1]):
        v = kept * v + drive[:, step]
        fired = v > threshold
        v = np.where(fired, reset, v)
        out.append(fired)
    return np.stack(out, axis=1).astype(np.float32)


@pytest.mark.parametrize(
    ("dialect", "rule", "changed"),
    [
        ("snntorch", snntorch_lif, {"r": 5.0}),
        ("snntorch", snntorch_lif, {"v_threshold": np.linspace(0.1, 0.4, 5), "r": 3.0}),
        ("norse", norse_lif, {}),
        ("norse", norse_lif, {"v_threshold": 0.5, "v_leak": 0.2, "v_reset": 0.2}),
        ("nir", exact_lif, {"r": np.linspace(1, 2, 5)}),
        ("nir", exact_lif, {"v_leak": 0.1, "v_reset": -0.2}),
        ("nir", exact_lif, {"v_leak": np.linspace(-0.3, 0.1, 5), "v_threshold": 0.2}),
    ],
)
def test_leaky_neurons_follow_the_rule_of_their_dialect(
    dialect: str, rule: Any, changed: dict[str, Any], tmp_path: Path
) -> None:
    rng = np.random.default_rng(3)
    first = affine(rng, 4, 5)
    path = write(tmp_path / "net.nir", chain(first, lif(5, **changed)))
    x = inputs((4,), rng)
    current = x.astype(np.float64) @ first["weight"].T.astype(np.float64) + first["bias"]
    wanted = rule(current, lif(5, **changed), DT)
    assert 0.02 < wanted.mean() < 0.98
    np.testing.assert_array_equal(spikes(network(path, dialect=dialect, dt=DT), x), wanted)


@pytest.mark.parametrize("dialect", ["nir", "snntorch"])
def test_a_current_follows_its_input_before_the_voltage(dialect: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    p: dict[str, Any] = {
        "tau_syn": 0.006, "tau_mem": 0.01, "r": 4.0, "w_in": 1.5, "v_leak": 0.0,
        "v_threshold": 0.9, "v_reset": 0.0,
    }  # fmt: skip
    neurons = node("CubaLIF", **{key: np.full(4, value) for key, value in p.items()})
    x = inputs((4,), rng)
    lost = [DT / p["tau_syn"], DT / p["tau_mem"]]
    if dialect == "nir":
        lost = [1 - np.exp(-each) for each in lost]
    current, drive = np.zeros((3, 4)), []
    for step in range(x.shape[1]):
        current = (1 - lost[0]) * current + lost[0] * p["w_in"] * x[:, step]
        drive.append(lost[1] * p["r"] * current)
    wanted = fire(np.stack(drive, axis=1), 1 - lost[1], p["v_threshold"], 0.0, 0.0)
    assert 0.1 < wanted.mean() < 0.9
    found = network(write(tmp_path / "net.nir", chain(neurons)), dialect=dialect, dt=DT)
    np.testing.assert_array_equal(spikes(found, x), wanted)


def test_neurons_without_leak_add_their_input_times_r_and_dt(tmp_path: Path) -> None:
    fields = {"r": np.full(4, 100.0), "v_threshold": np.full(4, 0.5), "v_reset": np.zeros(4)}
    x = inputs((4,), np.random.default_rng(5))
    wanted = fire(x * 100.0 * DT, 1.0, 0.5, 0.0, 0.0)
    found = network(write(tmp_path / "net.nir", chain(node("IF", **fields))), dialect="nir", dt=DT)
    np.testing.assert_array_equal(spikes(found, x), wanted)


def test_a_threshold_is_a_step_function(tmp_path: Path) -> None:
    x = np.random.default_rng(6).random((3, 20, 4)).astype(np.float32)
    limit = np.array([0.2, 0.4, 0.6, 0.8])
    found = network(write(tmp_path / "net.nir", chain(node("Threshold", threshold=limit))))
    np.testing.assert_array_equal(spikes(found, x), x > limit)


def test_images_lie_channels_first_in_the_file_and_last_in_the_network(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    weight = rng.normal(size=(5, 3, 3, 2)).astype(np.float32)
    bias = rng.normal(size=5).astype(np.float32)
    common = {"groups": 1, "dilation": np.array([1, 1])}
    conv = node(
        "Conv2d", weight=weight, bias=bias, stride=np.array([2, 1]), padding=np.array([1, 0]),
        input_shape=np.array([6, 7]), **common,
    )  # fmt: skip
    pool = node(
        "SumPool2d", kernel_size=np.array([2, 3]), stride=np.array([1, 3]), padding=np.array([0, 1])
    )
    flat = node("Flatten", start_dim=0, end_dim=-1, input_type=np.array([5, 2, 2]))
    last = affine(rng, 20, 4)
    path = write(tmp_path / "net.nir", chain(conv, pool, flat, last, shape=(3, 6, 7)))
    found = network(path)
    conv_node = next(each for each in found if isinstance(each, Conv2d))
    assert conv_node.weights.shape == (3, 2, 3, 5)
    x = rng.normal(size=(2, 1, 3, 6, 7)).astype(np.float32)
    padded = np.pad(x[:, 0], ((0, 0), (0, 0), (1, 1), (0, 0)))
    y = np.zeros((2, 5, 3, 6))
    for r in range(3):
        for c in range(6):
            window = padded[:, :, 2 * r : 2 * r + 3, c : c + 2]
            y[:, :, r, c] = np.einsum("ncij,ocij->no", window, weight) + bias
    y = np.pad(y, ((0, 0), (0, 0), (0, 0), (1, 1)))
    z = np.stack(
        [[y[:, :, r : r + 2, c : c + 3].sum((2, 3)) for c in (0, 3)] for r in (0, 1)]
    )  # rows, columns, samples, channels
    wanted = z.transpose(2, 3, 0, 1).reshape(2, -1) @ last["weight"].T + last["bias"]
    np.testing.assert_allclose(spikes(found, x)[:, 0], wanted, rtol=1e-4, atol=1e-4)


def test_convolutions_of_one_axis_and_scales(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    weight = rng.normal(size=(4, 2, 3)).astype(np.float32)
    conv = node(
        "Conv1d", weight=weight, bias=np.zeros(4, np.float32), stride=2, padding=1, dilation=1,
        groups=1, input_shape=9,
    )  # fmt: skip
    factor = rng.normal(size=(4, 5))
    path = write(tmp_path / "net.nir", chain(conv, node("Scale", scale=factor), shape=(2, 9)))
    x = rng.normal(size=(2, 1, 2, 9)).astype(np.float32)
    padded = np.pad(x[:, 0], ((0, 0), (0, 0), (1, 1)))
    y = np.stack(
        [np.einsum("nci,oci->no", padded[:, :, 2 * k : 2 * k + 3], weight) for k in range(5)], -1
    )
    np.testing.assert_allclose(spikes(network(path), x)[:, 0], y * factor, rtol=1e-4, atol=1e-5)


def test_several_connections_into_a_node_add_up_and_graphs_within_graphs_are_entered(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(9)
    weight = rng.normal(size=(4, 4)).astype(np.float32)
    graph = chain(chain(node("Linear", weight=weight)), node("Scale", scale=np.full(4, 2.0)))
    graph["edges"].append(("input", "b"))
    x = rng.normal(size=(2, 1, 4)).astype(np.float32)
    found = network(write(tmp_path / "net.nir", graph))
    wanted = 2 * (x[:, 0] @ weight.T + x[:, 0])
    np.testing.assert_allclose(spikes(found, x)[:, 0], wanted, rtol=1e-5)


def test_what_is_assumed_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "net.nir", chain(lif(4, r=100.0), shape=(1, 4)))
    with pytest.warns(AssumptionWarning) as found:
        source = load(path, dialect="snntorch")
    text = " ".join(str(each.message) for each in found)
    for words in ("net.nir: assumed: ", "counts samples", "0.0001 s", "sets voltages to zero"):
        assert words in text
    assert source.network.dt_s == 1e-4
    assert source.network.inputs[0].size == (4,)


def test_metadata_name_dialect_and_step(tmp_path: Path) -> None:
    graph = chain(lif(4))
    graph["metadata"] = {"dialect": "nir", "dt": 0.005}
    found = load(write(tmp_path / "net.nir", graph)).network
    neurons = next(each for each in found if isinstance(each, Spiking))
    assert (found.dt_s, neurons.dt_s) == (0.005, 0.005)
    assert neurons.tau_rc_s == pytest.approx(0.01)


def test_a_last_integrator_is_read_as_a_mean(tmp_path: Path) -> None:
    path = write(tmp_path / "net.nir", chain(node("I", r=np.full(4, 50.0))))
    with pytest.warns(AssumptionWarning, match="mean per step"):
        found = load(path, dialect="nir", dt=DT).network
    x = inputs((4,), np.random.default_rng(1), 1)
    np.testing.assert_allclose(spikes(found, x), x * 0.1, rtol=1e-6)
