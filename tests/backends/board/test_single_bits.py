"""A single flipped bit in an image is found: by its checksum, by the decoder, or by a run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nmcompile.backends.board.encode import encode
from nmcompile.backends.board.host import host_spikes
from nmcompile.backends.board.image import RegisterImage
from nmcompile.backends.board.portable import runner
from nmcompile.backends.board.registers import registers
from nmcompile.backends.board.replay import Replay
from nmcompile.errors import BoardError
from tests.backends.board.cases import case
from tests.backends.board.through import written

FILE_FAULTS, FIELD_FAULTS, SLOW = 60, 60, 1000


def flip_file(folder: Path, rng: np.random.Generator) -> None:
    """One bit of one file that has a checksum."""
    names = sorted(json.loads((folder / "image.json").read_text())["sha256"])
    path = folder / names[rng.integers(len(names))]
    data = bytearray(path.read_bytes())
    data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)


@pytest.mark.parametrize("faults", [FILE_FAULTS, pytest.param(SLOW, marks=pytest.mark.slow)])
def test_every_flipped_bit_of_a_file_is_found_by_its_checksum(faults: int, tmp_path: Path) -> None:
    program, x = case(4)
    written(program, x, tmp_path)
    whole = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    rng = np.random.default_rng(1)
    for _ in range(faults):
        flip_file(tmp_path, rng)
        with pytest.raises(runner.RunError, match="checksum"):
            runner.Image(str(tmp_path))
        for path, data in whole.items():
            path.write_bytes(data)
    runner.Image(str(tmp_path))


def flip_field(image: RegisterImage, rng: np.random.Generator) -> RegisterImage:
    """One bit of one field, of all that registers hold."""
    sizes = [
        len(table) * sum(registers()[table.register].fields[name].bits for name in table.fields)
        for table in image.tables
    ]
    number = int(rng.choice(len(sizes), p=np.array(sizes) / sum(sizes)))
    table = image.tables[number]
    known = registers()[table.register].fields
    bits = [(name, bit) for name in table.fields for bit in range(known[name].bits)]
    name, bit = bits[rng.integers(len(bits))]
    row = int(rng.integers(len(table)))
    values = table.fields[name].astype(np.int64)
    span = 1 << known[name].bits
    flipped = (int(values[row]) % span) ^ (1 << bit)
    values[row] = flipped - span if known[name].signed and flipped >= span // 2 else flipped
    changed = replace(table, fields={**table.fields, name: values})
    tables = list(image.tables)
    tables[number] = changed
    return RegisterImage(image.cores, tuple(tables))


def states(image: RegisterImage, sent: list[np.ndarray], places: np.ndarray) -> list[np.ndarray]:
    """Spikes, currents and voltages of all compartments."""
    replay = Replay(image, places)
    sizes = [len(core.compartments) for core in replay.cores]
    record = replay.run(sent, np.arange(sum(sizes)))
    return [record.spikes, record.u, record.v]


@pytest.mark.parametrize("faults", [FIELD_FAULTS, pytest.param(SLOW, marks=pytest.mark.slow)])
def test_a_flipped_bit_of_a_field_is_refused_or_seen_if_it_matters(faults: int) -> None:
    """Without checksums. What is neither refused nor seen must leave the decoded cores alone, or
    lie where no spike of the run came by."""
    program, x = case(0)
    image = encode(program)
    spikes = host_spikes(program, x, program.steps)
    places = np.stack([spikes.chip, spikes.core, spikes.axon, spikes.atom], 1).astype(np.int64)
    numbers = Replay(image, places).numbers(places)
    sent = [numbers[spikes.step == step + 1] for step in range(program.steps)]
    whole = states(image, sent, places)
    rng = np.random.default_rng(2)
    refused = seen = idle = 0
    for _ in range(faults):
        faulty = flip_field(image, rng)
        assert faulty.digest() != image.digest()
        try:
            found = states(faulty, sent, places)
        except BoardError:
            refused += 1
            continue
        if any(
            a.shape != b.shape or not np.array_equal(a, b)
            for a, b in zip(found, whole, strict=True)
        ):
            seen += 1
            continue
        idle += 1
    assert refused > faults // 10
    assert seen > faults // 10
    print(f"{faults} bits: {refused} refused, {seen} seen in the run, {idle} without effect")
