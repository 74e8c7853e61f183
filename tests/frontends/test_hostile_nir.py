"""Damaged and malicious NIR files give one sentence with the file and the place, and no more."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

import hostile_hdf5
from files import survives
from hostile_hdf5 import bomb, links, put
from nir_files import MODELS, affine, chain, edited, lif, node, write

MODEL = MODELS / "snntorch_dense.nir"


def refused(path: Path, *words: str, **options: Any) -> None:
    hostile_hdf5.refused(path, *words, dialect="snntorch", **options)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("node/type", None), ("type",)),
        (put("node/type", "LIF"), ("no NIRGraph",)),
        (put("node/type", 7), ("no text",)),
        (put("node/nodes", None), ("nodes",)),
        (put("node/edges", None), ("edges",)),
        (put("node/edges", np.zeros((3, 2))), ("pairs of names",)),
        (put("node/nodes/0/weight", None), ("'0' (Affine)", "weight")),
        (put("node/nodes/0/weight", "x"), ("'0' (Affine)", "weight")),
        (put("node/nodes/0/weight", np.full((20, 12), np.nan)), ("240 of the 240", "NaN")),
        (put("node/nodes/0/weight", np.ones((20, 5), "f4")), ("'0'", "(20, 5)")),
        (put("node/nodes/0/bias", np.ones(3, "f4")), ("'0'", "(3,)")),
        (put("node/nodes/0/weight", np.ones((20, 0), "f4")), ("'0'", "2 axes")),
        (put("node/nodes/1/tau", np.full(20, np.inf)), ("'1' (LIF)", "tau", "NaN or infinite")),
        (put("node/nodes/1/tau", np.ones(7)), ("1 (LIF)", "(7,)")),
        (put("node/nodes/input/shape", np.array([0])), ("'input' (Input)", "shape")),
        (put("node/nodes/input/shape", np.array([2.0**50])), ("more than",)),
        (put("node/nodes/input/shape", np.array([1e300])), ("more than",)),
        (put("node/nodes/output", None), ("'output'", "no node")),
    ],
)
def test_a_file_with_something_odd_in_it_is_refused(
    change: Callable[[h5py.File], None], words: tuple[str, ...], tmp_path: Path
) -> None:
    refused(edited(tmp_path / "net.nir", MODEL, change), *words)


def test_links_out_of_the_file_are_not_followed(tmp_path: Path) -> None:
    for change, word in links("node/nodes/0/weight", "/node/nodes/2/weight", tmp_path / "secret"):
        refused(edited(tmp_path / "net.nir", MODEL, change), word)


def test_bombs_are_refused_before_they_unpack(tmp_path: Path) -> None:
    path = edited(tmp_path / "net.nir", MODEL, bomb("node/nodes/0/weight"))
    refused(path, "'0' (Affine)", "1600000000 bytes", max_bytes=10**8)
    refused(path, "more than the limit", max_bytes=100)


def test_a_text_that_claims_more_than_the_file_holds_is_not_read(tmp_path: Path) -> None:
    with h5py.File(MODEL) as file:
        place = file["node/type"].id.get_offset()
        edges = file["node/edges"].id.get_offset()
    data = MODEL.read_bytes()
    path = tmp_path / "net.nir"
    for start, words in ((place, "type of the file"), (edges, "connections")):
        path.write_bytes(data[:start] + b"\xff\xff\xff\x00" + data[start + 4 :])
        refused(path, words, "texts are damaged")
        path.write_bytes(data[:start] + b"\xff\xff\xff\x7f" + data[start + 4 :])
        refused(path, "claims a length that it does not have")


def test_a_graph_that_holds_itself_ends(tmp_path: Path) -> None:
    def nested(file: h5py.File) -> None:
        file["node/nodes/0/nodes"] = file["node/nodes"]
        file["node/nodes/0/edges"] = file["node/edges"]
        file["node/nodes/0/type"][()] = "NIRGraph"

    refused(edited(tmp_path / "net.nir", MODEL, nested), "deep")


def test_names_that_mean_two_nodes_or_none_are_refused(tmp_path: Path) -> None:
    graph = chain(chain(lif(4)))
    graph["nodes"]["a.a"] = lif(4)
    refused(write(tmp_path / "net.nir", graph), "two nodes are called 'a.a'")
    graph = chain(lif(4))
    graph["edges"].append(("a", "nothing"))
    refused(write(tmp_path / "net.nir", graph), "'nothing'")
    graph = chain(lif(4))
    graph["nodes"]["lonely"] = lif(4)
    refused(write(tmp_path / "net.nir", graph), "'lonely' (LIF) reads nothing")
    inner = chain(lif(4))
    del inner["nodes"]["input"]
    inner["edges"] = inner["edges"][1:]
    refused(write(tmp_path / "net.nir", chain(inner)), "0 nodes of type Input")


def test_a_graph_that_reads_itself_through_another_graph_without_neurons_is_refused(
    tmp_path: Path,
) -> None:
    graph = chain(chain(node("Scale", scale=np.ones(4))))
    graph["edges"].append(("a", "a"))
    refused(write(tmp_path / "net.nir", graph), "no neurons between")


def test_thousands_of_loops_are_refused(tmp_path: Path) -> None:
    graph = chain(*(lif(4) for _ in range(24)))
    names = [name for name in graph["nodes"] if name not in ("input", "output")]
    graph["edges"] = [("input", names[0]), (names[-1], "output")]
    graph["edges"] += [(one, other) for one in names for other in names]
    refused(write(tmp_path / "net.nir", graph), "more than 200 loops")


def test_a_loop_whose_size_nothing_tells_is_refused(tmp_path: Path) -> None:
    graph = chain(lif(()), lif(4))
    graph["edges"] = [("a", "a"), ("a", "b"), ("input", "b"), ("b", "output")]
    refused(write(tmp_path / "net.nir", graph), "number of neurons nothing tells")


def test_cut_files_are_refused(tmp_path: Path) -> None:
    data = MODEL.read_bytes()
    path = tmp_path / "net.nir"
    for length in range(0, len(data) - 1, 2999):
        path.write_bytes(data[:length])
        assert not survives(path)


@pytest.mark.filterwarnings("ignore::nmcompile.frontends.source.AssumptionWarning")
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_odd_numbers_in_any_place_load_or_are_refused_in_a_sentence(
    data: st.DataObject, tmp_path: Path
) -> None:
    graph = chain(
        node(
            "Conv2d", weight=np.ones((2, 1, 3, 3), "f4"), bias=np.ones(2, "f4"), groups=1,
            stride=np.array([1, 1]), padding=np.array([1, 1]), dilation=np.array([1, 1]),
        ),
        lif((2, 4, 4)),
        node("SumPool2d", kernel_size=np.array([2, 2]), stride=np.array([2, 2]),
             padding=np.array([0, 0])),
        node("Flatten", start_dim=0, end_dim=-1),
        affine(np.random.default_rng(0), 8, 3),
        shape=(1, 4, 4),
    )  # fmt: skip
    graph["metadata"] = {"dialect": "nir", "dt": 0.001}
    name = data.draw(st.sampled_from(sorted(graph["nodes"])))
    key = data.draw(st.sampled_from(sorted(graph["nodes"][name])))
    odd = st.sampled_from(
        [-1, 0, 2, 7, 2**40, 2.5, float("nan"), float("inf"), "", "same", "LIF", b"\xff",
         np.zeros(0), np.ones((2, 2)), np.array([1, 2, 3]), np.array(["a"], "S1"),
         np.array([-(2**62)])]
    )  # fmt: skip
    graph["nodes"][name][key] = data.draw(odd)
    survives(write(tmp_path / "net.nir", graph))
