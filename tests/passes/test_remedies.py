"""Remedies for a network that does not fit: each was tried, and gives what it promises."""

from __future__ import annotations

import pickle
import warnings
from dataclasses import replace

import numpy as np
import pytest

from nmcompile.errors import FitError, Remedy
from nmcompile.hardware import Board, HardwareModel, Target
from nmcompile.ir import Network, nodes
from nmcompile.ir.serialise import network_tensors
from nmcompile.passes import remedies as module
from nmcompile.passes.base import NmcompileWarning
from nmcompile.passes.options import BuildOptions, checked_options
from nmcompile.passes.pipeline import compile_network
from nmcompile.passes.remedies import remedies
from nmcompile.passes.reshape import (
    channel_node,
    resized,
    source_layer,
    window_node,
    with_channels,
    with_stride,
)
from tests.networks import conv, dense, random_network, relu, small_cnn
from tests.passes.stages import small_core

DATA = np.random.default_rng(0).random((24, 10, 10, 1), dtype=np.float32)


def boards(hardware: HardwareModel, *cores: int) -> HardwareModel:
    """The hardware with boards of one chip and so many cores."""
    made = (Board(name=f"board-{n}", chips=1, cores_per_chip=n, source="test") for n in cores)
    return hardware.model_copy(update={"boards": tuple(made)})


#: `small_cnn` takes 16 cores of these.
TIGHT = boards(small_core(compartments=64, memory_words=200), 8, 24)
SMALL = Target(hardware=TIGHT, board=TIGHT.boards[0])


def options_of(**options: object) -> BuildOptions:
    return checked_options(gain_samples=0, **options)


def built(network: Network, target: Target, options: BuildOptions) -> int | FitError:
    """Cores of a real build, or why it fails."""
    data = DATA if network.inputs[0].size == DATA.shape[1:] else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NmcompileWarning)
        try:
            return len(compile_network(network, target, options, data).cores)
        except FitError as error:
            return error


def cores(network: Network, target: Target, options: BuildOptions) -> int:
    """Cores of a real build; those that it would need where the board is too small."""
    found = built(network, target, options)
    if isinstance(found, FitError):
        assert found.resource == "cores"
        return found.used
    return found


def found_for(
    network: Network, target: Target, options: BuildOptions | None = None, **more: object
) -> list[Remedy]:
    """Remedies for a network that does not fit."""
    options = options or options_of()
    error = built(network, target, options)
    assert isinstance(error, FitError)
    assert not error.remedies
    data = DATA if network.inputs[0].size == DATA.shape[1:] else None
    return remedies(error, network, target, options, data, **more)  # type: ignore[arg-type]


def built_as_told(remedy: Remedy, network: Network, options: BuildOptions) -> int:
    """Cores of a build of the network that a remedy speaks of, changed by hand."""
    target = SMALL
    if remedy.option:
        name, value = remedy.option.removeprefix("--").split(" ")
        if name == "target":
            found = {f"{TIGHT.name}:{board.name}": board for board in TIGHT.boards}
            target = Target(hardware=TIGHT, board=found[value])
        else:
            number = int(value) if value.isdigit() else value
            options = options.model_copy(update={name.replace("-", "_"): number})
    elif remedy.change.startswith("stride 2"):
        node = network[f"{remedy.layer}/linear"]
        assert isinstance(node, nodes.Conv2d)
        network = small_cnn_with(stride=(2, 2))
    else:
        channels = int(remedy.change.split()[0])
        network = small_cnn_with(**{remedy.layer: channels})
    return cores(network, target, options)


def small_cnn_with(
    conv_channels: int = 8, *, stride: tuple[int, int] = (1, 1), **changed: int
) -> Network:
    """`tests.networks.small_cnn` in other sizes, with weights of its own."""
    rng = np.random.default_rng(1)
    channels, hidden = changed.get("conv", conv_channels), changed.get("fc", 20)
    places = (10 // stride[0] // 2) ** 2
    padding = ((1, 1), (1, 1))
    return Network.build(
        [
            nodes.Input(name="image", size=(10, 10, 1)),
            conv(rng, "enc/linear", "image", (1, 1), (1, 3)),
            relu("enc", "enc/linear"),
            conv(rng, "conv/linear", "enc", (3, 3), (3, channels), stride=stride, padding=padding),
            relu("conv", "conv/linear"),
            nodes.AvgPool2d(name="pool", inputs=("conv",), size=(2, 2), stride=(2, 2)),
            nodes.Flatten(name="flat", inputs=("pool",)),
            dense(rng, "fc/linear", "flat", (places * channels, hidden)),
            relu("fc", "fc/linear"),
            dense(rng, "scores", "fc", (hidden, 5)),
            nodes.Output(name="output", inputs=("scores",)),
        ],
        name="small",
    )


@pytest.mark.parametrize("options", [{}, {"readout": "chip", "weight_bits": 5}])
def test_each_remedy_gives_the_cores_of_a_real_build(options: dict[str, object]) -> None:
    chosen = options_of(**options)
    found = found_for(small_cnn(), SMALL, chosen)
    assert len(found) >= 4
    for remedy in found:
        assert built_as_told(remedy, small_cnn(), chosen) == remedy.cores, remedy
        board = next(b for b in TIGHT.boards if remedy.board == f"{TIGHT.name}:{b.name}")
        assert remedy.fits == (remedy.cores <= board.cores(TIGHT))


def test_those_that_fit_come_first_and_equal_networks_get_equal_remedies() -> None:
    network = small_cnn()
    before = file_of(network)
    needed = cores(network, SMALL, options_of())
    found = found_for(network, SMALL)
    assert found[0] == Remedy(
        "a larger board", "--target loihi1:board-24", "", needed, "loihi1:board-24", fits=True
    )
    assert [each.fits for each in found] == sorted((each.fits for each in found), reverse=True)
    assert all(each.cores < needed for each in found[1:])
    assert len(found) <= 5
    assert file_of(network) == before
    assert found_for(small_cnn(), SMALL) == found


def file_of(network: Network) -> tuple[str, dict[str, bytes]]:
    structure, tensors = network_tensors(network)
    return str(structure), {name: tensor.tobytes() for name, tensor in tensors.items()}


def test_no_board_is_named_where_none_is_large_enough() -> None:
    hardware = boards(small_core(compartments=64, memory_words=200), 4, 8)
    found = found_for(small_cnn(), Target(hardware=hardware))
    assert found
    assert not any("board" in each.change for each in found)
    assert {each.board for each in found} <= {"loihi1:board-4", "loihi1:board-8"}


def test_a_neuron_that_fits_no_core_gets_remedies_too() -> None:
    target = Target(hardware=small_core(memory_words=25))
    assert "layer 'fc': a single one of its neurons" in str(
        built(small_cnn(), target, options_of())
    )
    found = found_for(small_cnn(), target)
    changes = [each.change for each in found]
    assert "weights of 4 bits" in changes
    assert "4 of 8 channels in conv" in changes
    for each in found:
        assert each.fits
        if each.option:
            bits = options_of(weight_bits=int(each.option.split()[1]))
            assert cores(small_cnn(), target, bits) == each.cores


def test_trials_are_few_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    found_for(small_cnn(), SMALL, trying=lambda *n: told.append(n))
    assert [number for number, _ in told] == list(range(1, len(told) + 1))
    assert len(told) <= told[0][1] <= 10
    told.clear()
    monkeypatch.setattr(module, "SECONDS", -1.0)
    found = found_for(small_cnn(), SMALL, trying=lambda *n: told.append(n))
    assert not told
    assert [each.change for each in found] == ["a larger board"]


@pytest.mark.parametrize("seed", [0, 1, 4, 6])
def test_remedies_of_random_networks_take_fewer_cores(seed: int) -> None:
    network = random_network(seed)
    hardware = boards(small_core(compartments=40), 1)
    error = built(network, Target(hardware=hardware), options_of())
    assert isinstance(error, FitError)
    found = remedies(error, network, Target(hardware=hardware), options_of())
    assert len({each.change for each in found}) == len(found) <= 5
    for each in found:
        assert each.cores < error.used
        assert each.fits == (each.cores == 1)


def test_channels_change_all_that_is_behind() -> None:
    changed = with_channels(small_cnn(), "conv/linear", 6)
    assert changed is not None
    assert changed.shapes["conv"] == (10, 10, 6)
    assert changed.shapes["flat"] == (150,)
    assert changed.shapes["output"] == (5,)
    assert with_channels(small_cnn(), "scores", 4) is None
    assert with_channels(small_cnn(), "conv", 4) is None


def test_a_stride_is_taken_along_each_axis_that_has_places() -> None:
    changed = with_stride(small_cnn(), "conv/linear", 2)
    assert changed is not None
    assert changed.shapes["conv"] == (5, 5, 8)
    assert changed.shapes["flat"] == (32,)
    assert with_stride(changed, "conv/linear", 2) is None
    assert with_stride(small_cnn(), "fc/linear", 2) is None


def network_with(*middle: nodes.Node, size: tuple[int, ...] = (6, 6, 4)) -> Network:
    """A convolution of 8 channels, some nodes behind it, and a read-out."""
    rng = np.random.default_rng(0)
    first = conv(rng, "a/linear", "image", (3, 3), (size[2], 8), padding=((1, 1), (1, 1)))
    body = [nodes.Input(name="image", size=size), first, relu("a", "a/linear"), *middle]
    flat = nodes.Flatten(name="flat", inputs=(body[-1].name,))
    count = Network.build([*body, flat, nodes.Output(name="o", inputs=("flat",))]).shapes["flat"][0]
    tail = [dense(rng, "scores", "flat", (count, 3)), nodes.Output(name="o", inputs=("scores",))]
    return Network.build([*body, flat, *tail])


def depthwise(rng: np.random.Generator) -> nodes.Conv2d:
    return conv(rng, "d/linear", "a", (3, 3), (8, 16), groups=8, padding=((1, 1), (1, 1)))


def test_a_depthwise_convolution_has_the_channels_of_what_is_before_it() -> None:
    network = network_with(depthwise(np.random.default_rng(0)), relu("d", "d/linear"))
    node = channel_node(network, "d")
    assert node is not None
    assert node.name == "a/linear"
    window = window_node(network, "d")
    assert window is not None
    assert window.name == "d/linear"
    assert source_layer(network, "d") == "a"
    changed = with_channels(network, "a/linear", 6)
    assert changed is not None
    assert changed.shapes["d"] == (6, 6, 12)


def test_a_branch_of_a_sum_keeps_its_channels() -> None:
    rng = np.random.default_rng(0)
    branch = conv(rng, "b/linear", "a", (3, 3), (8, 8), padding=((1, 1), (1, 1)))
    total = nodes.Add(name="sum", inputs=("b/linear", "a"))
    network = network_with(branch, total, relu("s", "sum"))
    assert with_channels(network, "a/linear", 4) is None
    assert channel_node(network, "s") is None
    joined = nodes.Concat(name="cat", inputs=("b/linear", "a"), axis=2)
    network = network_with(branch, joined, relu("s", "cat"))
    changed = with_channels(network, "a/linear", 4)
    assert changed is not None
    assert changed.shapes["s"] == (6, 6, 12)


def test_pools_over_the_image_norms_and_reshapes_follow() -> None:
    norm = nodes.Affine(
        name="norm", inputs=("a",), scale=np.ones(8, np.float32), shift=np.zeros(8, np.float32)
    )
    pool = nodes.AvgPool2d(name="pool", inputs=("norm",), size=(6, 6), stride=(6, 6))
    shaped = nodes.Reshape(name="shaped", inputs=("pool",), size=(8,))
    network = network_with(norm, pool, shaped)
    changed = with_channels(network, "a/linear", 5)
    assert changed is not None
    assert changed.shapes["shaped"] == (5,)
    changed = with_stride(network, "a/linear", 2)
    assert changed is not None
    assert changed.shapes["pool"] == (1, 1, 8)


def test_resized_cuts_or_repeats() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(resized(values, (1, 2)), [[0, 1]])
    np.testing.assert_array_equal(resized(values, (3, 3)), [[0, 1, 2], [3, 4, 5], [0, 1, 2]])


def test_the_error_keeps_its_remedies_when_pickled() -> None:
    remedy = Remedy("a larger board", "--target loihi1:b", "", 5, "loihi1:b", fits=True)
    error = FitError("too large", layer="a", resource="cores", used=5, limit=4)
    again = pickle.loads(pickle.dumps(error.with_remedies([remedy])))
    assert str(again) == "too large"
    assert (again.layer, again.resource, again.used, again.limit) == ("a", "cores", 5, 4)
    assert again.remedies == (remedy,)
    assert str(replace(remedy, cores=1, fits=False)) == (
        "a larger board: 1 core, does not fit loihi1:b"
    )
