"""The Program file: whole, reproducible, free of code, and refused where damaged or wrong."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from nmcompile.analysis.evaluation import float_network
from nmcompile.backends.emulator import Emulator, kernels
from nmcompile.chip import file as chip_file
from nmcompile.chip.core import REGISTERS, TABLES
from nmcompile.chip.file import load_program, program_bytes, program_checksum, save_program
from nmcompile.chip.program import Program
from nmcompile.errors import ProgramFileError
from nmcompile.ir import evaluate
from tests.chip.programs import CORES_OF_300, compiled, random_program, samples, small_program
from tests.networks import random_network, small_cnn

Header = dict[str, Any]
Manifest = dict[str, Any]
Tensors = dict[str, np.ndarray]


def same(first: object, second: object) -> bool:
    """Whether two values of a Program are equal to the last bit."""
    if isinstance(first, np.ndarray):
        assert isinstance(second, np.ndarray)
        return (
            first.dtype == second.dtype
            and first.shape == second.shape
            and np.array_equal(first, second)
        )
    if isinstance(first, tuple | list):
        assert isinstance(second, tuple | list)
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, dict):
        assert isinstance(second, dict)
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if hasattr(first, "__dataclass_fields__"):
        names = [field.name for field in fields(first)]  # type: ignore[arg-type]
        return type(first) is type(second) and all(
            same(getattr(first, name), getattr(second, name)) for name in names
        )
    return first == second


@pytest.mark.parametrize("seed", [None, 0, 1, 2])
def test_a_program_comes_back_as_it_was(seed: int | None, tmp_path: Path) -> None:
    program = small_program() if seed is None else random_program(seed)
    path = tmp_path / "net.nmc"
    program.save(path)
    loaded = Program.load(path)
    for name in [field.name for field in fields(Program)]:
        first, second = getattr(program, name), getattr(loaded, name)
        if name == "manifest":
            first, second = json.loads(json.dumps(first)), json.loads(json.dumps(second))
        assert same(first, second), name
    assert program_bytes(loaded) == path.read_bytes()


def test_a_loaded_program_runs_as_the_one_that_was_saved(tmp_path: Path) -> None:
    program = small_program()
    program.save(tmp_path / "net.nmc")
    x = samples(program, 5)
    first = Emulator().load(program).run(x)
    second = Emulator().load(Program.load(tmp_path / "net.nmc")).run(x)
    np.testing.assert_array_equal(first.scores, second.scores)
    assert first.spikes.keys() == second.spikes.keys()
    assert first.synaptic_events.sum() > 0


def test_the_float_network_travels_along(tmp_path: Path) -> None:
    network = random_network(1)
    random_program(1).save(tmp_path / "net.nmc")
    restored = float_network(Program.load(tmp_path / "net.nmc"))
    x = np.random.default_rng(0).random((3, *network.inputs[0].size), dtype=np.float32)
    expected = evaluate(network, x)[network.outputs[0].name]
    np.testing.assert_array_equal(evaluate(restored, x)[restored.outputs[0].name], expected)


def test_equal_builds_give_equal_bytes() -> None:
    again = compiled(small_cnn(), CORES_OF_300, steps=16)
    assert again is not small_program()
    assert program_bytes(again) == program_bytes(small_program())


def test_equal_builds_give_equal_bytes_in_another_process() -> None:
    code = (
        "import hashlib; from nmcompile.chip.file import program_bytes;"
        "from tests.chip.programs import small_program;"
        "print(hashlib.sha256(program_bytes(small_program())).hexdigest())"
    )
    expected = hashlib.sha256(program_bytes(small_program())).hexdigest()
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONHASHSEED": "12345"},
    )
    assert done.stdout.strip() == expected


def test_another_network_gives_another_checksum() -> None:
    program = small_program()
    other = replace(program, steps=program.steps + 1)
    assert program_checksum(other) != program_checksum(program)
    assert len(program_checksum(program)) == 64


def test_there_is_nothing_but_arrays_and_json() -> None:
    data = program_bytes(small_program())
    tensors = load(data)
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    assert {tensor.dtype.kind for tensor in tensors.values()} <= set("iufb")
    stored = sum(tensor.nbytes for tensor in tensors.values())
    assert len(data) == 8 + size + stored, "something beside header and tensors"
    assert set(header) == {"__metadata__", *tensors}
    inner = json.loads(header["__metadata__"]["nmcompile"])
    assert set(inner) == {"format", "sha256", "manifest"}
    json.loads(inner["manifest"])


def test_a_file_that_cannot_be_replaced_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.nmc"
    small_program().save(path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Exception, match="No space left"):
        random_program(0).save(path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["net.nmc"]


def refused(path: Path) -> str:
    """Check that a file is refused in one line that names it; return the line."""
    with pytest.raises(ProgramFileError) as caught:
        load_program(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


def test_a_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    data = program_bytes(random_program(0))
    path = tmp_path / "net.nmc"
    lengths = {0, 1, 7, 8, 9, 100, len(data) - 1, *range(0, len(data), len(data) // 60)}
    for length in sorted(lengths):
        path.write_bytes(data[:length])
        refused(path)
    path.write_bytes(data + b"\0")
    refused(path)


def test_every_edited_byte_is_noticed(tmp_path: Path) -> None:
    data = program_bytes(random_program(0))
    path, rng = tmp_path / "net.nmc", np.random.default_rng(7)
    header = 8 + int.from_bytes(data[:8], "little")
    places = [*rng.integers(0, header, 120), *rng.integers(header, len(data), 80)]
    for place in places:
        edited = bytearray(data)
        edited[place] ^= int(rng.integers(1, 256))
        path.write_bytes(edited)
        refused(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.nmc"
    assert "no such file" in refused(path)
    assert "no such file" in refused(tmp_path)
    for content in (b"", b"not a Program", b"\x80\x04\x95", b"PK\x03\x04" + bytes(100)):
        path.write_bytes(content)
        assert "not a Program" in refused(path)
    path.write_bytes(save({"a": np.zeros(3)}))
    assert "a safetensors file, but not a Program" in refused(path)
    for metadata in ("[]", "3", "{}", '{"format": [', "[" * 100_000):
        path.write_bytes(save({"a": np.zeros(3)}, {"nmcompile": metadata}))
        assert "not a Program" in refused(path)


def forge(
    path: Path,
    change: Callable[[Manifest, Tensors], object] = lambda manifest, tensors: None,
    header: Header | None = None,
    program: Program | None = None,
) -> Path:
    """A file with a change and a checksum that is right."""
    data = program_bytes(program or small_program())
    size = int.from_bytes(data[:8], "little")
    outer = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["nmcompile"])
    tensors = {name: tensor.copy() for name, tensor in sorted(load(data).items())}
    manifest = json.loads(outer["manifest"])
    changed = change(manifest, tensors)
    text = changed if isinstance(changed, str) else json.dumps(manifest, sort_keys=True)
    tensors = dict(sorted(tensors.items()))
    checksum = chip_file._checksum(text, tensors)
    made = {"format": chip_file.FORMAT, "sha256": checksum, "manifest": text}
    path.write_bytes(save(tensors, {"nmcompile": json.dumps({**made, **(header or {})})}))
    return path


def test_a_forged_file_without_a_change_is_accepted(tmp_path: Path) -> None:
    # Else the tests below would be refused for the forgery alone.
    loaded = load_program(forge(tmp_path / "net.nmc"))
    assert program_bytes(loaded) == program_bytes(small_program())


@pytest.mark.parametrize("number", [4, 99, "1.5", None])
def test_a_newer_format_is_named(tmp_path: Path, number: object) -> None:
    message = refused(forge(tmp_path / "net.nmc", header={"format": number}))
    assert f"format {number}" in message
    assert "update nmcompile" in message


@pytest.mark.parametrize("number", [1, 2, -1])
def test_an_older_format_is_named(tmp_path: Path, number: object) -> None:
    message = refused(forge(tmp_path / "net.nmc", header={"format": number}))
    assert f"format {number}" in message
    assert "build it again" in message


def test_a_checksum_must_match(tmp_path: Path) -> None:
    message = refused(forge(tmp_path / "net.nmc", header={"sha256": "0" * 64}))
    assert "does not match its checksum" in message


@pytest.mark.parametrize("target", ["loihi9:desk", "loihi1", "loihi1:desk", "", "../x:y"])
def test_an_unknown_target_is_named(tmp_path: Path, target: str) -> None:
    def change(manifest: Manifest, tensors: Tensors) -> None:
        manifest["target"] = target

    message = refused(forge(tmp_path / "net.nmc", change))
    assert target.partition(":")[0] in message


def set_tensor(name: str, value: object, row: int = -1) -> Callable[[Manifest, Tensors], None]:
    def change(manifest: Manifest, tensors: Tensors) -> None:
        tensors[name].reshape(-1)[row] = value

    return change


def set_manifest(*path: object) -> Callable[[Manifest, Tensors], None]:
    *keys, last, value = path

    def change(manifest: Manifest, tensors: Tensors) -> None:
        place: Any = manifest
        for key in keys:
            place = place[key]
        place[last] = value

    return change


def shaped(name: str, make: Callable[[np.ndarray], np.ndarray]) -> Callable[..., None]:
    def change(manifest: Manifest, tensors: Tensors) -> None:
        tensors[name] = np.ascontiguousarray(make(tensors[name]))

    return change


def without(name: str) -> Callable[[Manifest, Tensors], None]:
    def change(manifest: Manifest, tensors: Tensors) -> None:
        manifest.pop(name, None)
        tensors.pop(name, None)

    return change


FORGERIES: dict[str, Callable[[Manifest, Tensors], object]] = {
    "synapse target": set_tensor("cores/synapses/target", 65535),
    "weight": set_tensor("cores/synapses/mantissa", 9999),
    "synaptic delay": set_tensor("cores/synapses/delay", 255),
    "block start": set_tensor("cores/blocks/start", 2**31 - 1),
    "negative block start": set_tensor("cores/blocks/start", -5),
    "block atoms": set_tensor("cores/blocks/atoms", 65535),
    "block length": set_tensor("cores/blocks/length", 65535),
    "block format": set_tensor("cores/blocks/format", 200),
    "axon block": set_tensor("cores/input_axons/block", 2**30),
    "negative axon block": set_tensor("cores/input_axons/block", -1),
    "axon base": set_tensor("cores/input_axons/base", 255),
    "axon kind": set_tensor("cores/input_axons/kind", 7),
    "output core": set_tensor("cores/output_axons/core", 10_000),
    "negative output core": set_tensor("cores/output_axons/core", -1),
    "output axon": set_tensor("cores/output_axons/axon", 65535),
    "output source": set_tensor("cores/output_axons/source", 65535),
    "profile of a compartment": set_tensor("cores/compartments/profile", 250),
    "threshold of a compartment": set_tensor("cores/compartments/threshold", 250),
    "population": set_tensor("cores/compartments/population", 30_000),
    "atom": set_tensor("cores/compartments/atom", 60_000, 0),
    "decay": set_tensor("cores/profiles/decay_v", 4096),
    "threshold": set_tensor("cores/thresholds/mantissa", 0),
    "refractory": set_tensor("cores/profiles/refractory", 64),
    "vmin": set_tensor("cores/vmin_exponent", 40),
    "chip": set_tensor("cores/chip", 2),
    "position": set_tensor("cores/position", 128),
    "injection core": set_tensor("injection/core", 500),
    "negative injection core": set_tensor("injection/core", -1),
    "injection axon": set_tensor("injection/axon", 65535),
    "injection atom": set_tensor("injection/atom", 65535),
    "injection neuron": set_tensor("injection/neuron", 10**6),
    "negative injection neuron": set_tensor("injection/neuron", -1, 0),
    "layer core": set_tensor("layers/0/core", 99),
    "layer compartment": set_tensor("layers/0/compartment", 2**20),
    "negative layer compartment": set_tensor("layers/0/compartment", -1),
    "view": set_tensor("encoder/0/view", 10**6),
    "negative view": set_tensor("encoder/0/view", -7),
    "huge encoder bias": set_tensor("encoder/0/bias", 2**62),
    "fewer biases": shaped("encoder/0/bias", lambda a: a[:-1]),
    "encoder weights of another shape": shaped("encoder/0/weights", lambda a: a[..., :1]),
    "encoder weights as floats": shaped("encoder/0/weights", lambda a: a.astype(np.float32)),
    "first rows": set_tensor("cores/synapses/first_row", 10**12, 1),
    "first rows backwards": set_tensor("cores/compartments/first_row", -1),
    "column of another length": shaped("cores/synapses/target", lambda a: a[:-1]),
    "column of another type": shaped("cores/synapses/target", lambda a: a.astype(np.int64)),
    "column with two axes": shaped("cores/synapses/target", lambda a: a[:, None]),
    "layer with two axes": shaped("layers/0/core", lambda a: a[:, None]),
    "layer as floats": shaped("layers/0/core", lambda a: a.astype(np.float64)),
    "read-out of another shape": shaped("read_out/weights", lambda a: a[:-1]),
    "bias of another shape": shaped("read_out/bias", lambda a: a[:-1]),
    "no tensor": without("cores/blocks/start"),
    "encoder shape": set_manifest("encoder", "shape", [10, 10, 4]),
    "input shape": set_manifest("encoder", "input_shape", [3]),
    "encoder threshold": set_manifest("encoder", "threshold", 0),
    "threshold below currents": set_manifest("encoder", "threshold", 1),
    "input scale": set_manifest("encoder", "input_scale", float("inf")),
    "shift": set_manifest("encoder", "layers", 0, "shift", -1),
    "stride": set_manifest("encoder", "layers", 0, "stride", [0, 0]),
    "dilation": set_manifest("encoder", "layers", 0, "dilation", [0, 1]),
    "padding": set_manifest("encoder", "layers", 0, "padding", [[-1, 0], [0, 0]]),
    "cropping of all": set_manifest("encoder", "layers", 0, "padding", [[-50, 50], [0, 0]]),
    "groups": set_manifest("encoder", "layers", 0, "groups", 7),
    "no encoder layers": set_manifest("encoder", "layers", []),
    "too few cores": set_manifest("cores", 1),
    "too many cores": set_manifest("cores", 10**9),
    "no cores": set_manifest("cores", 0),
    "cores as text": set_manifest("cores", "several"),
    "infinitely many cores": set_manifest("cores", float("inf")),
    "steps": set_manifest("steps", 0),
    "dt": set_manifest("dt_s", float("nan")),
    "read-out kind": set_manifest("read_out", "kind", "magic"),
    "read-out layer": set_manifest("read_out", "layers", ["nowhere"]),
    "read-out of the encoder": set_manifest("read_out", "layers", ["enc"]),
    "no read-out layer": set_manifest("read_out", "layers", []),
    "layer shape": set_manifest("layers", 0, "shape", [1]),
    "layers of another kind": set_manifest("layers", {"a": 3}),
    "manifest of another kind": set_manifest("manifest", 3),
    "no encoder": without("encoder"),
    "a list": lambda manifest, tensors: "[]",
    "no JSON": lambda manifest, tensors: "{",
    "deep JSON": lambda manifest, tensors: "[" * 100_000,
}


@pytest.mark.parametrize("what", FORGERIES)
def test_a_right_checksum_does_not_make_wrong_tables_right(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ran(*_: object) -> None:
        raise AssertionError("a kernel ran")

    monkeypatch.setattr(kernels, "run_samples", ran)
    message = refused(forge(tmp_path / "net.nmc", FORGERIES[what]))
    assert "does not match its checksum" not in message


def test_random_numbers_with_a_right_checksum_never_do_harm(tmp_path: Path) -> None:
    """Any number anywhere in the tables: refused, or harmless enough to run."""
    rng = np.random.default_rng(11)
    program = random_program(0)
    x = samples(program, 1)
    names = [f"cores/{name}" for name in REGISTERS]
    names += [
        f"cores/{name}/{column}" for name, table in TABLES.items() for column in table.dtypes()
    ]
    names += ["injection/neuron", "injection/core", "injection/axon", "injection/atom"]
    outcomes = set()
    for name in names:
        for _ in range(4):

            def change(manifest: Manifest, tensors: Tensors, name: str = name) -> None:
                tensor = tensors[name].reshape(-1)
                if tensor.size:
                    info = np.iinfo(tensor.dtype)
                    choices = [info.min, info.max, 0, 1, int(rng.integers(info.min, info.max))]
                    tensor[rng.integers(tensor.size)] = rng.choice(np.array(choices, object))

            path = forge(tmp_path / "net.nmc", change, program=program)
            try:
                loaded = load_program(path)
            except ProgramFileError:
                outcomes.add("refused")
                continue
            outcomes.add("ran")
            Emulator(1).load(loaded).run(x, 4)
    assert outcomes == {"refused", "ran"}


def test_saving_goes_where_it_is_told(tmp_path: Path) -> None:
    save_program(small_program(), str(tmp_path / "a.nmc"))
    small_program().save(tmp_path / "b.nmc")
    assert (tmp_path / "a.nmc").read_bytes() == (tmp_path / "b.nmc").read_bytes()
