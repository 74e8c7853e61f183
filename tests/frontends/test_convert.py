"""A network written as NIR is read as the same network, by us and by the `nir` package."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from nir_files import MODELS, affine, chain, lif, network, node, spikes, write

from nmcompile.cli.app import main
from nmcompile.errors import UnsupportedError
from nmcompile.frontends import load
from nmcompile.frontends.nir.write import write as write_nir
from nmcompile.ir import Network, evaluate, nodes

nir = pytest.importorskip("nir")
EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "snntorch"


def same(first: Network, second: Network) -> None:
    """Nodes, connections, shapes and arrays are equal; numbers but for rounding."""
    assert [type(each) for each in first] == [type(each) for each in second]
    assert first.shapes.keys() == second.shapes.keys()
    assert list(first.shapes.values()) == list(second.shapes.values())
    assert first.dt_s == second.dt_s
    for one, other in zip(first, second, strict=True):
        for field in fields(one):
            a, b = getattr(one, field.name), getattr(other, field.name)
            if field.name == "origin":
                continue
            if isinstance(a, np.ndarray):
                np.testing.assert_array_equal(a, b, err_msg=f"{one.name}.{field.name}")
            else:
                assert b == (pytest.approx(a, rel=1e-9) if isinstance(a, float) else a)


@pytest.mark.parametrize("name", sorted(path.stem for path in MODELS.glob("*.nir")))
def test_a_round_trip_is_equal(name: str, tmp_path: Path) -> None:
    first = network(MODELS / f"{name}.nir", dialect=name.partition("_")[0])
    write_nir(first, tmp_path / "net.nir")
    second = load(tmp_path / "net.nir").network
    same(first, second)
    with np.load(MODELS / f"{name}.npz") as held:
        x = held["x"].astype(np.float32)
    np.testing.assert_array_equal(spikes(first, x), spikes(second, x))
    write_nir(second, tmp_path / "again.nir")
    write_nir(second, tmp_path / "and_again.nir")
    assert (tmp_path / "again.nir").read_bytes() == (tmp_path / "and_again.nir").read_bytes()
    graph = nir.read(tmp_path / "net.nir")
    assert {type(each).__name__ for each in graph.nodes.values()} >= {"Input", "Output", "LIF"}


@pytest.mark.parametrize("name", ["rows", "image"])
def test_trained_networks_make_the_round_trip(name: str, tmp_path: Path) -> None:
    dialect = {"rows": "snntorch-reset-delay", "image": "snntorch"}[name]
    first = network(EXAMPLES / f"{name}.nir", dialect=dialect)
    write_nir(first, tmp_path / "net.nir")
    same(first, load(tmp_path / "net.nir").network)


def test_every_node_that_nir_has_makes_the_round_trip(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    pool = {"kernel_size": np.array([2, 2]), "stride": np.array([2, 2])}
    conv = {"stride": np.array([1, 1]), "dilation": np.array([1, 1]), "groups": 1}
    kernel = rng.normal(size=(2, 2, 3, 3)).astype(np.float32)
    bias = rng.normal(size=2).astype(np.float32)
    graph = chain(
        node("Conv2d", weight=kernel, bias=bias, padding="same", **conv),
        node("Scale", scale=rng.normal(size=(2, 1, 1))),
        lif((2, 8, 8), v_threshold=0.5),
        node("SumPool2d", padding=np.array([1, 1]), **pool),
        node("AvgPool2d", padding=np.array([0, 0]), **pool),
        node("Flatten", start_dim=0, end_dim=-1),
        affine(rng, 8, 6),
        node("IF", r=np.ones(6), v_threshold=np.ones(6)),
        node("Linear", weight=rng.normal(size=(5, 6)).astype(np.float32)),
        node(
            "CubaLIF", tau_syn=np.full(5, 0.02), tau_mem=np.full(5, 0.01), r=np.ones(5),
            v_leak=np.zeros(5), v_threshold=np.full(5, 0.1), w_in=np.ones(5),
        ),
        node("Threshold", threshold=np.full(5, 0.5)),
        shape=(2, 8, 8),
    )  # fmt: skip
    first = network(write(tmp_path / "net.nir", graph), dialect="nir", dt=0.01)
    write_nir(first, tmp_path / "out.nir")
    second = load(tmp_path / "out.nir").network
    same(first, second)
    kinds = {type(each).__name__ for each in nir.read(tmp_path / "out.nir").nodes.values()}
    wanted = {each["type"] for each in graph["nodes"].values()}
    assert kinds == wanted


def test_convolutions_of_one_axis_make_the_round_trip(tmp_path: Path) -> None:
    weight = np.random.default_rng(3).normal(size=(4, 2, 3)).astype(np.float32)
    conv = node(
        "Conv1d", weight=weight, bias=np.ones(4, np.float32), stride=2, padding=1, dilation=1,
        groups=1, input_shape=9,
    )  # fmt: skip
    graph = chain(conv, lif((4, 5)), shape=(2, 9))
    first = network(write(tmp_path / "net.nir", graph), dialect="nir", dt=0.001)
    write_nir(first, tmp_path / "out.nir")
    same(first, load(tmp_path / "out.nir").network)


def test_sums_are_connections_into_one_node(tmp_path: Path) -> None:
    weight = np.random.default_rng(5).normal(size=(4, 4)).astype(np.float32)
    graph = chain(node("Linear", weight=weight), lif(4))
    graph["edges"].append(("input", "b"))
    first = network(write(tmp_path / "net.nir", graph), dialect="nir", dt=0.001)
    write_nir(first, tmp_path / "out.nir")
    same(first, load(tmp_path / "out.nir").network)


@pytest.mark.parametrize(
    ("middle", "words"),
    [
        (
            nodes.Conv2d(
                name="odd", inputs=("in",), weights=np.ones((3, 3, 2, 2), "f4"),
                padding=((0, 1), (0, 1)),
            ),
            "not the same on both sides",
        ),
        (
            nodes.AvgPool2d(
                name="odd", inputs=("in",), size=(2, 2), stride=(2, 2), padding=((0, 0), (0, 1))
            ),
            "leaves its padding out",
        ),
        (nodes.Pad2d(name="odd", inputs=("in",), padding=((1, 1), (0, 0))), "no padding by itself"),
        (nodes.Reshape(name="odd", inputs=("in",), size=(5, 4, 2)), "makes shape"),
        (nodes.Spiking(name="odd", inputs=("in",)), "take a ReLU's place"),
        (nodes.Spiking(name="odd", inputs=("in",), own=True, refractory_s=0.01), "refractory"),
        (nodes.Spiking(name="odd", inputs=("in",), own=True, synapse_s=0.01), "without leak"),
    ],
)  # fmt: skip
def test_what_nir_cannot_say_exactly_is_refused(
    middle: nodes.Node, words: str, tmp_path: Path
) -> None:
    found = Network.build(
        [
            nodes.Input(name="in", size=(4, 5, 2)),
            middle,
            nodes.Output(name="output", inputs=("odd",)),
        ]
    )
    with pytest.raises(UnsupportedError, match=words):
        write_nir(found, tmp_path / "net.nir")


def test_weights_behind_a_channels_last_flatten_are_put_in_nirs_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    first = Network.build(
        [
            nodes.Input(name="in", size=(3, 4, 2)),
            nodes.Conv2d(
                name="conv", inputs=("in",), weights=rng.normal(size=(2, 2, 2, 5)).astype("f4")
            ),
            nodes.Flatten(name="flat", inputs=("conv",)),
            nodes.Dense(
                name="dense", inputs=("flat",), weights=rng.normal(size=(30, 4)).astype("f4")
            ),
            nodes.Output(name="output", inputs=("dense",)),
        ]
    )
    write_nir(first, tmp_path / "net.nir")
    second = load(tmp_path / "net.nir").network
    x = rng.normal(size=(3, 3, 4, 2)).astype(np.float32)
    wanted = evaluate(first, x)["output"]
    found = evaluate(second, np.ascontiguousarray(x.transpose(0, 3, 1, 2)))["output"]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_all_that_nir_lacks_is_refused_at_once_by_name(tmp_path: Path) -> None:
    found = Network.build(
        [
            nodes.Input(name="in", size=(4,)),
            nodes.ReLU(name="relu", inputs=("in",)),
            nodes.Spiking(name="slow", inputs=("relu",), own=True, refractory_s=0.01),
            nodes.Spiking(name="loud", inputs=("in",), own=True, amplitude=3.0),
            nodes.Affine(
                name="shift", inputs=("in",), scale=np.ones(4, "f4"), shift=np.ones(4, "f4")
            ),
            nodes.Add(name="sum", inputs=("slow", "loud", "shift")),
            nodes.Softmax(name="last", inputs=("sum",)),
            nodes.Output(name="output", inputs=("last",)),
        ],
        name="net",
    )
    with pytest.raises(UnsupportedError) as error:
        write_nir(found, tmp_path / "net.nir")
    refused = {each.layer for each in error.value.obstacles}
    assert refused == {"relu", "slow", "loud", "shift", "last"}
    assert not (tmp_path / "net.nir").exists()


def test_the_command_converts_and_says_what_it_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = str(MODELS / "snntorch_dense.nir"), tmp_path / "net.nir"
    assert main(["convert", source, str(out), "--dialect", "snntorch"]) == 0
    assert "wrote" in capsys.readouterr().out
    same(network(MODELS / "snntorch_dense.nir", dialect="snntorch"), load(out).network)
    assert main(["convert", source, str(tmp_path / "net.onnx")]) == 2
    assert "only NIR files are written" in capsys.readouterr().err
    assert main(["convert", source, str(out)]) == 1
    assert "--dialect: nir, snntorch, snntorch-reset-delay, norse" in capsys.readouterr().err
