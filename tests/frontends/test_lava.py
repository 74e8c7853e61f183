"""Networks of lava-dl give Lava's very spikes and voltages, on the chip and in float."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from lava_files import MODELS, conv, dense, neuron, random_layers, simulate, source, write

from nmcompile.api import Emulator, build
from nmcompile.backends.base import Probe
from nmcompile.chip.program import Program
from nmcompile.errors import DataError, ModelError
from nmcompile.frontends import load
from nmcompile.frontends.lava import input_spikes
from nmcompile.frontends.lava.netx import changed
from nmcompile.frontends.source import AssumptionWarning
from nmcompile.ir.nodes import FloatArray, Spiking
from nmcompile.ir.over_time import values_over_time
from nmcompile.ir.serialise import network_from_tensors, network_tensors

RECORDED = sorted(path.stem for path in MODELS.glob("*.net"))


def quiet(path: Path, **options: Any) -> Program:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return build(path, **options)


def traces(program: Program, x: FloatArray) -> dict[str, tuple[Any, Any]]:
    """Layer -> spikes and voltages (samples, steps, *shape) on the chip."""
    names = [layer.name for layer in program.layers]
    probes = [Probe(name, what) for name in names for what in ("spikes", "v")]
    found = Emulator(jobs=1).load(program).run(x, None, probes).probes
    return {name: (found[Probe(name, "spikes")], found[Probe(name, "v")]) for name in names}


def in_file_order(found: Any, shape: tuple[int, ...]) -> Any:
    """Images with the channels first, as the file has them, and all neurons in a row."""
    found = found.reshape(*found.shape[:2], *shape)
    if len(shape) == 3:
        found = found.transpose(0, 1, 4, 2, 3)
    return found.reshape(*found.shape[:2], -1)


def differing(program: Program, x: FloatArray, wanted: dict[str, tuple[Any, Any]]) -> int:
    """How many spikes and voltages of all layers, samples and steps are not as wanted."""
    assert set(wanted) == {layer.name for layer in program.layers}
    count = 0
    for name, found in traces(program, x).items():
        shape = program.layer(name).shape
        for mine, other in zip(found, wanted[name], strict=True):
            mine = in_file_order(mine, shape)
            count += int(np.count_nonzero(mine != other.reshape(mine.shape)))
    return count


@pytest.mark.parametrize("target", ["loihi1", "loihi2"])
@pytest.mark.parametrize("name", RECORDED)
def test_spikes_and_voltages_are_those_that_lava_recorded(name: str, target: str) -> None:
    with np.load(MODELS / f"{name}.npz") as held:
        x = held["x"].astype(np.float32)
        layers = [key.partition("/")[2] for key in held if key.startswith("spikes/")]
        wanted = {each: (held[f"spikes/{each}"], held[f"voltages/{each}"]) for each in layers}
    assert all(spikes.any() and (~spikes.astype(bool)).any() for spikes, _ in wanted.values())
    program = quiet(MODELS / f"{name}.net", target=target, steps=x.shape[1])
    assert differing(program, x, wanted) == 0


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.filterwarnings("ignore::nmcompile.frontends.source.AssumptionWarning")
def test_the_float_network_fires_as_lava_does_in_one_step_less_a_layer(name: str) -> None:
    with np.load(MODELS / f"{name}.npz") as held:
        x, keys = held["x"].astype(np.float32), [key for key in held if key.startswith("spikes/")]
        wanted = {key.partition("/")[2]: held[key] for key in keys}
    network = load(MODELS / f"{name}.net").network
    assert {node.name for node in network if isinstance(node, Spiking)} == set(wanted)
    found = list(values_over_time(network, x))
    for depth, (layer, spikes) in enumerate(wanted.items(), 1):
        mine = np.stack([values[layer] for values in found], axis=1)
        mine = in_file_order(mine, network.shapes[layer])[:, : x.shape[1] - depth]
        other = spikes.reshape(*spikes.shape[:2], -1)[:, depth:]
        if "bias" not in _fields(name, depth):  # which acts before the first input comes
            np.testing.assert_array_equal(mine, other)


def _fields(name: str, depth: int) -> list[str]:
    """Datasets of the layers up to the one so deep."""
    import h5py

    with h5py.File(MODELS / f"{name}.net") as file:
        groups = [file[f"layer/{k}"] for k in range(len(file["layer"]))]
        deep = [each for each in groups if each["type"][0] not in (b"input", b"flatten")]
        return [key for each in deep[:depth] for key in each]


def check_random(seed: int, folder: Path) -> None:
    rng = np.random.default_rng(seed)
    while True:
        layers = random_layers(rng)
        shape = tuple(int(n) for n in layers[0]["shape"])
        x = (rng.random((2, 24, *shape)) < rng.choice([0.1, 0.5])).astype(np.float32)
        try:
            runs = [simulate(layers, sample) for sample in x]
        except OverflowError:
            continue
        break
    path = write(folder / "net.net", *layers)
    program = quiet(path, target=["loihi1", "loihi2"][seed % 2], steps=x.shape[1])
    wanted = {
        name: tuple(np.stack([run[name][k] for run in runs]) for k in (0, 1)) for name in runs[0]
    }
    assert differing(program, x, wanted) == 0


@pytest.mark.parametrize("seed", range(20))
def test_random_networks_do_what_lavas_rules_say(seed: int, tmp_path: Path) -> None:
    check_random(seed, tmp_path)


@pytest.mark.slow
def test_many_random_networks_do_what_lavas_rules_say(tmp_path: Path) -> None:
    for seed in range(20, 520):
        check_random(seed, tmp_path)


def test_the_simulation_is_lavas() -> None:
    """What random networks are held to gives the recorded numbers, too."""
    import h5py

    for name in RECORDED:
        with h5py.File(MODELS / f"{name}.net") as file:
            layers = [_read(file[f"layer/{k}"]) for k in range(len(file["layer"]))]
        with np.load(MODELS / f"{name}.npz") as held:
            for key, found in simulate(layers, held["x"][0]).items():
                for mine, what in zip(found, ("spikes", "voltages"), strict=True):
                    other = held[f"{what}/{key}"][0]
                    np.testing.assert_array_equal(mine, other.reshape(mine.shape))


def _read(group: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    group.visititems(lambda key, found: fields.update({key: found}))
    fields = {key: value[()] for key, value in fields.items() if hasattr(value, "dtype")}
    return {**fields, "type": fields["type"][0].decode()}


@pytest.mark.parametrize(
    "options",
    [
        {"calibrate": True, "gain": "channel", "correct_bias": True, "equalise": 0.5},
        {"calibrate": True, "initial_voltage": "aligned", "rounding": "output"},
        {"calibrate": True, "threshold_factors": (0.9, 1.1), "percentile": 60.0},
        {"encoder": "on-off"},
        {"seed": 7},
    ],
)
def test_no_option_of_a_build_changes_a_number(options: dict[str, Any]) -> None:
    path = MODELS / "slayer_conv.net"
    with np.load(MODELS / "slayer_conv.npz") as held:
        x = held["x"].astype(np.float32)
    plain = traces(quiet(path, steps=40), x)
    if options.get("calibrate"):
        options = {**options, "calibrate": x * np.float32(0.25)}
    changed = traces(quiet(path, steps=40, **options), x)
    for name, found in plain.items():
        for one, other in zip(found, changed[name], strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_network_goes_through_json_and_back() -> None:
    network = load(MODELS / "slayer_cuba.net").network
    again = network_from_tensors(*network_tensors(network))
    assert str(again) == str(network)
    x = np.random.default_rng(0).integers(0, 2, (2, 20, 12)).astype(np.float32)
    for one, other in zip(values_over_time(network, x), values_over_time(again, x), strict=True):
        np.testing.assert_array_equal(one["output"], other["output"])


def test_files_are_told_by_content_and_need_no_calibration(tmp_path: Path) -> None:
    path = write(tmp_path / "anything.h5", source(2), dense([[30, -20]]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        program = build(path, steps=8)
    assert [layer.name for layer in program.layers] == ["dense_1"]


def test_a_layer_may_lack_an_input_before_it(tmp_path: Path) -> None:
    network = load(write(tmp_path / "net.net", dense([[30, -20]]))).network
    assert network.inputs[0].size == (2,)


def test_text_names_registers(tmp_path: Path) -> None:
    path = write(tmp_path / "net.net", source(2), dense([[30, -20]], **neuron(1024, 128, 80)))
    assert "decay_u 1023, decay_v 128, threshold 5120" in str(load(path).network)


def test_input_neurons_send_what_lavas_do() -> None:
    with np.load(MODELS / "slayer_input.npz") as held:
        bias, spikes = held["bias"], held["x"]
    found = input_spikes(MODELS / "slayer_input.net", bias, spikes.shape[1])
    assert spikes.any()
    np.testing.assert_array_equal(found, spikes)
    with pytest.raises(DataError, match=r"shape \(5, 4\)"):
        input_spikes(MODELS / "slayer_input.net", bias[:, 0].swapaxes(1, 2), 3)
    with pytest.raises(DataError, match="whole numbers from -4095"):
        input_spikes(MODELS / "slayer_input.net", bias + 0.5, 3)
    with pytest.raises(ModelError, match="has no neurons"):
        input_spikes(MODELS / "slayer_dense.net", np.zeros((1, 12)), 3)


def test_input_neurons_are_left_to_the_host_and_said(tmp_path: Path) -> None:
    first = {**source(2), "weight": 64.0, "bias": 0.0, **neuron()}
    path = write(tmp_path / "net.net", first, dense([[30, -20]]))
    with pytest.warns(AssumptionWarning, match=r"input_0: its neurons, .* not on the chip"):
        load(path)


def test_a_last_layer_without_neurons_is_a_read_out(tmp_path: Path) -> None:
    last = dense([[64, 0], [32, -64]], bias=[0.0, 64.0])
    last = {key: value for key, value in last.items() if not key.startswith("neuron")}
    path = write(tmp_path / "net.net", source(2), dense([[90, 0], [0, 90]]), last)
    with pytest.warns(AssumptionWarning, match="dense_2: without neurons it is a read-out"):
        load(path)
    x = np.zeros((1, 9, 2), np.float32)
    x[0, :4, 0] = x[0, :2, 1] = 1
    program = quiet(path, steps=9)
    scores = Emulator(jobs=1).load(program).run(x, None, []).scores[0] * 8
    np.testing.assert_allclose(scores, [4, 2 - 2 + 8], atol=1e-5)


@pytest.mark.parametrize(
    ("weights", "count"),
    [
        ([[-128, 0, -3]], 1), ([[-64, 0, -64]], 2), ([[-100, 0, -3]], 0), ([[-256, -4, -8]], 1),
        ([[-255, -1, 0]], 2), ([[-1, 0, -1]], 2), ([[-256, 3, 0]], 0), ([[255, 3, 0]], 0),
        ([[-2, 127, 0]], 0), ([[300, -2, 0]], 1), ([[0, 0, 0]], 0),
    ],
)  # fmt: skip
def test_weights_that_netx_changes_are_counted(weights: list[list[int]], count: int) -> None:
    """Lava 0.10 gave other voltages where weights change, but where its last shift hid one part."""
    assert changed(np.array(weights, float)) == count


def test_weights_that_netx_would_clip_stay(tmp_path: Path) -> None:
    path = write(tmp_path / "net.net", source(2), dense([[400, -20]], **neuron(threshold=300)))
    with pytest.warns(AssumptionWarning, match=r"1 of its weights stay as they are"):
        load(path)
    program = quiet(path, target="loihi2", steps=4)
    x = np.zeros((1, 4, 2), np.float32)
    x[0, 0, 0] = 1
    assert traces(program, x)["dense_1"][0][0, :, 0].tolist() == [0, 1, 0, 0]


def test_kernels_are_not_mirrored_and_axes_not_swapped(tmp_path: Path) -> None:
    kernel = np.zeros((1, 1, 1, 2))
    kernel[0, 0, 0] = [100, 0]
    layer = conv(kernel, (1, 2, 2), **neuron(4096, 4095, 90))
    program = quiet(write(tmp_path / "net.net", source(1, 2, 3), layer), steps=3)
    x = np.zeros((1, 3, 1, 2, 3), np.float32)
    x[0, 0, 0, 1, 0] = 1
    fired = traces(program, x)["conv_1"][0][0, 1].reshape(2, 2)
    assert fired.tolist() == [[0, 0], [1, 0]]
