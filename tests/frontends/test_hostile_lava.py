"""Damaged and malicious `.net` files give one sentence with the file and the place, and no more."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from files import survives
from hostile_hdf5 import bomb, links, put, refused
from lava_files import MODELS, conv, dense, source, write
from nir_files import edited

MODEL = MODELS / "slayer_dense.net"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("layer/0", None), ("none is called 0",)),
        (put("layer/1/type", None), ("layer 1 has no type",)),
        (put("layer/1/type", 7), ("layer 1", "no text")),
        (put("layer/1/weight", None), ("layer 1 (dense)", "weight")),
        (put("layer/1/weight", "x"), ("layer 1 (dense)", "weight", "no numbers")),
        (put("layer/1/weight", np.full((20, 12), np.nan)), ("240 of the 240", "NaN")),
        (put("layer/1/weight", np.full((20, 12), 0.5)), ("240 of the 240", "no whole numbers")),
        (put("layer/1/weight", np.full((20, 12), 1e30)), ("beyond any register",)),
        (put("layer/1/weight", np.ones((20, 5), "f4")), ("layer 1", "(20, 5)")),
        (put("layer/1/weight", np.ones((20, 0), "f4")), ("layer 1", "(20, 0)")),
        (put("layer/1/shape", np.array([0])), ("layer 1", "shape")),
        (put("layer/1/shape", np.array([2.0**50])), ("layer 1", "does not fit")),
        (put("layer/0/shape", np.array([2.0**50])), ("more than",)),
        (put("layer/0/shape", np.array([3, 4, 5, 6])), ("layer 0", "shape")),
        (put("layer/1/neuron", None), ("names no neurons",)),
        (put("layer/1/neuron", 3), ("layer/1", "not a group")),
        (put("layer/1/neuron/iDecay", None), ("layer 1 (dense): neuron", "iDecay")),
        (put("layer/1/neuron/iDecay", np.array([1, 2])), ("2 values of iDecay",)),
        (put("layer/1/neuron/iDecay", np.zeros(0)), ("0 values of iDecay",)),
        (put("layer/1/neuron/iDecay", 2.5), ("iDecay is 2.5",)),
        (put("layer/1/neuron/vDecay", -1), ("vDecay is -1",)),
        (put("layer/1/neuron/vThMant", np.inf), ("vThMant", "NaN or infinite")),
        (put("layer/1/neuron/type", 5), ("neuron", "no text")),
    ],
)
def test_a_file_with_something_odd_in_it_is_refused(
    change: Callable[[h5py.File], None], words: tuple[str, ...], tmp_path: Path
) -> None:
    path = edited(tmp_path / "net.net", MODEL, change)
    if words == ("layer/1", "not a group"):
        words = ("'neuron'", "not a group")
    refused(path, *words)


def test_links_out_of_the_file_are_not_followed(tmp_path: Path) -> None:
    for change, word in links("layer/1/weight", "/layer/2/weight", tmp_path / "secret"):
        refused(edited(tmp_path / "net.net", MODEL, change), word)


def test_bombs_are_refused_before_they_unpack(tmp_path: Path) -> None:
    path = edited(tmp_path / "net.net", MODEL, bomb("layer/1/weight"))
    refused(path, "layer 1 (dense)", "3200000000 bytes", max_bytes=10**8)
    refused(path, "more than the limit", max_bytes=100)


def test_a_text_that_claims_more_than_the_file_holds_is_not_read(tmp_path: Path) -> None:
    with h5py.File(MODEL) as file:
        place = file["layer/1/neuron/type"].id.get_offset()
    data = MODEL.read_bytes()
    path = tmp_path / "net.net"
    path.write_bytes(data[:place] + b"\xff\xff\xff\x00" + data[place + 4 :])
    refused(path, "layer 1 (dense): neuron", "damaged")
    path.write_bytes(data[:place] + b"\xff\xff\xff\x7f" + data[place + 4 :])
    refused(path, "claims a length that it does not have")


def test_a_network_without_layers_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "net.net", "w") as file:
        file.create_group("layer")
    refused(tmp_path / "net.net", "no layers")


def test_delays_of_every_synapse_do_not_multiply_a_large_layer(tmp_path: Path) -> None:
    delay = np.arange(600 * 600).reshape(600, 600) % 60
    layer = dense(np.ones((600, 600)), delay=delay.astype(np.float32))
    refused(write(tmp_path / "net.net", source(600), layer), "60 different delays")


def test_cut_files_are_refused(tmp_path: Path) -> None:
    data = MODEL.read_bytes()
    path = tmp_path / "net.net"
    for length in range(0, len(data) - 1, 2999):
        path.write_bytes(data[:length])
        assert not survives(path)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_odd_numbers_in_any_place_load_or_are_refused_in_a_sentence(
    data: st.DataObject, tmp_path: Path
) -> None:
    layers = [
        source(1, 4, 4),
        conv(np.ones((2, 1, 3, 3)), (2, 4, 4), padding=[1, 1], bias=np.ones(2)),
        {"type": "flatten", "shape": [32, 1, 1]},
        dense(np.ones((3, 32)), delay=np.ones(3), bias=np.ones(3)),
    ]
    layer = data.draw(st.sampled_from(layers))
    key = data.draw(st.sampled_from(sorted(layer)))
    odd = st.sampled_from(
        [-1, 0, 2, 7, 2**40, 2.5, float("nan"), float("inf"), "", "conv", "CUBA", b"\xff",
         np.zeros(0), np.ones((2, 2)), np.array([1, 2, 3]), np.array(["a"], "S1"),
         np.array([-(2**62)])]
    )  # fmt: skip
    layer[key] = data.draw(odd)
    survives(write(tmp_path / "net.net", *layers))
