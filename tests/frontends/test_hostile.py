"""Damaged and malicious files give one sentence that names the file, never another exception."""

from __future__ import annotations

import io
import json
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from files import (
    MODELS,
    edit_weights,
    layer,
    parts,
    sequential,
    survives,
    weights_file,
    write_keras,
)
from mutations import changed_configuration

from nmcompile.errors import ModelError
from nmcompile.frontends import load
from nmcompile.frontends.heaps import COLLECTION

FILES = ("cnn.keras", "cnn.h5", "residual_plain.keras2.h5")


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_cut_short_is_refused(name: str, tmp_path: Path) -> None:
    data = (MODELS / name).read_bytes()
    path = tmp_path / name
    lengths = [0, 1, 2, 4, 8, 9, 100, *range(0, len(data) - 1, len(data) // 60), len(data) - 1]
    for length in lengths:
        path.write_bytes(data[:length])
        assert not survives(path), length


@pytest.mark.parametrize("name", FILES)
def test_flipped_bits_never_raise_anything_else(name: str, tmp_path: Path) -> None:
    data = (MODELS / name).read_bytes()
    path, rng = tmp_path / name, np.random.default_rng(5)
    outcomes = set()
    for _ in range(150):
        broken = bytearray(data)
        for place in rng.integers(0, len(data), int(rng.integers(1, 4))):
            broken[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(broken)
        outcomes.add(survives(path))
    assert False in outcomes


def test_flipped_bits_in_the_weights_never_raise_anything_else(tmp_path: Path) -> None:
    config, weights = parts("nested.keras")
    path, rng = tmp_path / "model.keras", np.random.default_rng(6)
    for _ in range(150):
        broken = bytearray(weights)
        for place in rng.integers(0, len(weights), int(rng.integers(1, 6))):
            broken[place] = int(rng.integers(256))
        survives(write_keras(path, config, bytes(broken)))


@pytest.mark.parametrize("name", ["nested.keras", "residual.keras", "conv1d.keras"])
def test_a_changed_configuration_never_raises_anything_else(name: str, tmp_path: Path) -> None:
    config, weights = parts(name)
    text, rng = json.dumps(config), np.random.default_rng(7)
    path, outcomes = tmp_path / "model.keras", set()
    for _ in range(200):
        broken = json.loads(text)
        for _ in range(int(rng.integers(1, 3))):
            changed_configuration(broken, rng)
        outcomes.add(survives(write_keras(path, broken, weights)))
    assert False in outcomes


def bad_configurations() -> dict[str, str]:
    return {
        "not_json": "{",
        "not_utf8": "\udcff",
        "no_object": "[1, 2]",
        "null": "null",
        "deep": "[" * 100_000 + "]" * 100_000,
        "deep_layers": '{"class_name":"Sequential","config":{"layers":[' * 300 + "]}}" * 300,
        "no_config": '{"class_name": "Sequential"}',
        "layers_text": '{"class_name": "Sequential", "config": {"layers": "abc"}}',
    }


@pytest.mark.parametrize("name", bad_configurations())
def test_a_senseless_configuration_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "config.json", bad_configurations()[name].encode("utf-8", "surrogateescape")
        )
        archive.writestr("model.weights.h5", weights_file({}))
    assert not survives(path)


def test_a_cycle_is_refused(tmp_path: Path) -> None:
    config, weights = parts("residual.keras")
    layers = {each["name"]: each for each in config["config"]["layers"]}
    history = layers["stem"]["inbound_nodes"][0]["args"][0]["config"]["keras_history"]
    history[0] = "bn"
    path = write_keras(tmp_path / "model.keras", config, weights)
    with pytest.raises(ModelError, match="cycle"):
        load(path)


@pytest.mark.parametrize("part", ["config.json", "model.weights.h5"])
def test_a_zip_without_one_of_its_parts_is_refused(part: str, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(MODELS / "cnn.keras") as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            if name != part:
                target.writestr(name, source.read(name))
    with pytest.raises(ModelError, match=part):
        load(path)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes(20_000_000))
    with pytest.raises(ModelError, match="20000000 bytes"):
        load(path, max_bytes=1_000_000)


def test_a_zip_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes(20_000_000))
    data = buffer.getvalue().replace((20_000_000).to_bytes(4, "little"), (9).to_bytes(4, "little"))
    path = tmp_path / "model.keras"
    path.write_bytes(data)
    assert not survives(path)


def test_a_file_over_the_limit_is_refused() -> None:
    with pytest.raises(ModelError, match="limit of 100"):
        load(MODELS / "cnn.keras", max_bytes=100)


def test_compressed_weights_over_the_limit_are_refused(tmp_path: Path) -> None:
    def grow(file: h5py.File) -> None:
        del file["layers/dense/vars/0"]
        file.create_dataset(
            "layers/dense/vars/0", (4, 10**6), "f4", chunks=(4, 10**4), compression="gzip"
        )

    config = sequential(layer("Dense", "d", units=10**6, use_bias=False), shape=(4,))
    weights = edit_weights(weights_file({"layers/dense/vars/0": [0.0]}), grow)
    path = write_keras(tmp_path / "model.keras", config, weights)
    with pytest.raises(ModelError, match="beyond the limit"):
        load(path, max_bytes=10**6)


def external_link(file: h5py.File) -> None:
    with h5py.File("outside.h5", "w") as outside:
        outside["w"] = np.ones((1, 1, 1, 4), np.float32)
    file["layers/conv2d/vars/0"] = h5py.ExternalLink("outside.h5", "w")


def soft_link(file: h5py.File) -> None:
    file["other"] = np.ones((1, 1, 1, 4), np.float32)
    file["layers/conv2d/vars/0"] = h5py.SoftLink("/other")


def external_storage(file: h5py.File) -> None:
    Path("outside.bin").write_bytes(bytes(16))
    file["layers/conv2d/vars"].create_dataset(
        "0", (1, 1, 1, 4), "f4", external=[("outside.bin", 0, 16)]
    )


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((1, 1, 1, 4), "f4")
    layout[0, 0, 0, :] = h5py.VirtualSource("outside.h5", "w", (4,))
    file["layers/conv2d/vars"].create_virtual_dataset("0", layout)


@pytest.mark.parametrize("change", [external_link, soft_link, external_storage, virtual])
def test_weights_that_point_elsewhere_are_refused(
    change: Callable[[h5py.File], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config, weights = parts("cnn.keras")

    def edit(file: h5py.File) -> None:
        del file["layers/conv2d/vars/0"]
        change(file)

    path = write_keras(tmp_path / "model.keras", config, edit_weights(weights, edit))
    with pytest.raises(ModelError, match=r"anywhere|outside"):
        load(path)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("layers/conv2d/vars/0", np.full((1, 1, 1, 4), np.nan), "'conv2d': 4 of the 4 numbers"),
        ("layers/conv2d/vars/1", [0, np.inf, 0, 0], "'conv2d': 1 of the 4 numbers of its bias"),
        ("layers/conv2d/vars/1", [0, 1e300, 0, 0], "'conv2d': 1 of the 4 numbers of its bias"),
        ("layers/conv2d/vars/0", np.ones((4, 1, 1, 1)), r"shape \(4, 1, 1, 1\), expected"),
        ("layers/conv2d/vars/1", [b"a"] * 4, "not numbers"),
        ("layers/conv2d/vars/2", [1.0], "holds 3 weight arrays, expected 2"),
        ("layers/batch_normalization/vars/3", [-1.0] * 6, "variance is negative"),
    ],
)
def test_impossible_weights_are_refused_with_layer_and_number(
    place: str, value: Any, words: str, tmp_path: Path
) -> None:
    config, weights = parts("cnn.keras")

    def edit(file: h5py.File) -> None:
        if place in file:
            del file[place]
        file[place] = np.asarray(value)

    path = write_keras(tmp_path / "model.keras", config, edit_weights(weights, edit))
    with pytest.raises(ModelError, match=words) as caught:
        load(path)
    assert path.name in str(caught.value)


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    config, _ = parts("cnn.keras")
    with pytest.raises(ModelError, match="conv2d"):
        load(write_keras(tmp_path / "model.keras", config))


def test_swapped_weights_are_refused(tmp_path: Path) -> None:
    config, weights = parts("cnn.keras")

    def edit(file: h5py.File) -> None:
        file["layers/conv2d/vars"].attrs["name"] = "another"

    path = write_keras(tmp_path / "model.keras", config, edit_weights(weights, edit))
    with pytest.raises(ModelError, match="another"):
        load(path)


@pytest.mark.parametrize(
    "content", [b"hello", b"PK", b"\x89HDF\r\n\x1a\n", b"PK\x05\x06" + bytes(18)]
)
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    assert not survives(path)


def test_weights_alone_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    path.write_bytes(weights_file({"a": [1.0]}))
    with pytest.raises(ModelError, match="no model"):
        load(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.keras", tmp_path, "bad\0name"):
        with pytest.raises(ModelError):
            load(path)


def test_an_absurdly_large_layer_is_refused(tmp_path: Path) -> None:
    config = sequential(layer("ZeroPadding2D", "pad", padding=10**9))
    with pytest.raises(ModelError, match="'pad'"):
        load(write_keras(tmp_path / "model.keras", config))


def test_a_heap_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    config, weights = parts("random_102.keras")
    start = weights.index(b"GCOL")
    free = start + 16
    while int.from_bytes(weights[free : free + 2], "little"):
        free += 16 + -(-int.from_bytes(weights[free + 8 : free + 16], "little") // 8) * 8
    broken = weights[: free + 8] + bytes(8) + weights[free + 16 :]
    with pytest.raises(ModelError, match=f"the heap at byte {start} is damaged"):
        load(write_keras(tmp_path / "model.keras", config, broken))


def test_an_address_beyond_all_files_is_refused(tmp_path: Path) -> None:
    config, weights = parts("random_102.keras")
    for place in range(16, 96, 8):  # addresses and lengths in the superblock
        broken = weights[:place] + b"\xf0" * 8 + weights[place + 8 :]
        survives(write_keras(tmp_path / "model.keras", config, broken))


def test_an_impossible_neuron_within_a_time_axis_is_refused_with_the_file(tmp_path: Path) -> None:
    config, weights = parts("over_time.keras")
    text = json.dumps(config)
    assert '"intercept": -0.2' in text
    broken = json.loads(text.replace('"intercept": -0.2', '"intercept": {}'))
    assert not survives(write_keras(tmp_path / "model.keras", broken, weights))


@pytest.mark.parametrize("name", ["cnn.keras", "cnn.h5", "cnn.keras2.h5"])
def test_a_text_that_claims_a_length_it_does_not_have_takes_no_memory(
    name: str, tmp_path: Path
) -> None:
    def lie(weights: bytes) -> bytes:
        bad, heap = bytearray(weights), weights.find(COLLECTION)
        number, size = struct.unpack_from("<H6xQ", weights, heap + 16)
        entry = struct.pack("<IQI", size, heap, number)
        assert weights.count(entry) == 1
        struct.pack_into("<I", bad, weights.find(entry), 0xFFFFFF00)
        return bytes(bad)

    path = tmp_path / "model.bin"
    if name.endswith(".h5"):
        path.write_bytes(lie((MODELS / name).read_bytes()))
    else:
        with zipfile.ZipFile(MODELS / name) as held, zipfile.ZipFile(path, "w") as made:
            for each in held.namelist():
                data = held.read(each)
                made.writestr(each, lie(data) if each.endswith(".h5") else data)
    with pytest.raises(ModelError, match="claims a length that it does not have"):
        load(path)


def test_texts_in_place_of_weights_are_refused_unread(tmp_path: Path) -> None:
    def put(file: h5py.File) -> None:
        del file["layers/dense/vars/0"]
        file["layers/dense/vars/0"] = np.full((4, 1), "x", h5py.string_dtype())

    config = sequential(layer("Dense", "d", units=1, use_bias=False), shape=(4,))
    weights = edit_weights(weights_file({"layers/dense/vars/0": [0.0]}), put)
    with pytest.raises(ModelError, match="holds object, not numbers"):
        load(write_keras(tmp_path / "model.keras", config, weights))
