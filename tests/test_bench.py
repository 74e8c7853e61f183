"""The benchmarks measure what they say, on Programs that a chip can hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from math import prod
from pathlib import Path

import numpy as np
import pytest

from nmcompile.api import Emulator
from nmcompile.chip.program import Program
from nmcompile.chip.verify import faults
from nmcompile.hardware import load_hardware
from tools.bench import ablation, cnn, page
from tools.bench.record import Figure, at_least, at_most, faster, write
from tools.bench.tables import weights
from tools.bench.whole_chip import (
    Size,
    effective_synapses,
    stored_synapses,
    whole_chip,
)

SMALL = Size(cores=4, compartments=128)


def test_the_shipped_mnist_network_reaches_its_goals() -> None:
    pytest.importorskip("packaging")
    from tools.bench.first_path import network

    figures = {f.name: f for f in network("mnist", None, steps=32, lost=0.3)}
    lost = figures["mnist: 1000 test images, 32 steps, lost"]
    assert lost.met
    assert figures["mnist: 1000 test images, 32 steps, chip accuracy"].value > 98.5


def test_the_ablation_says_what_an_option_is_worth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with np.load(ablation.ROOT / "examples" / "mnist" / "calibrate_500.npz") as file:
        pixels, labels = (255 * file["x"]).round().astype(np.uint8), file["y"]
    np.savez(tmp_path / "mnist.npz", x_train=pixels, y_train=labels)
    monkeypatch.setattr(ablation, "HELD_OUT", 100)
    changes = {"as built": {}, "uncorrected": {"gain_samples": 0}}
    monkeypatch.setattr(ablation, "CHANGES", changes)
    files = {"mnist": tmp_path / "mnist.npz", "fashion": None, "cifar10": None}
    found = {each.name: each.value for each in ablation.figures(files)}
    label = "MNIST CNN, 32 steps"
    errors = [found[f"{label}, {name}: relative error of scores"] for name in changes]
    assert 0 < 2 * errors[0] < errors[1] < 1
    assert abs(found[f"{label}, as built: lost"]) <= 3
    assert 4000 < found[f"{label}, as built: spikes on chip"] < 10000


def test_quantities_of_an_ablation_stand_side_by_side() -> None:
    figures = [
        {"name": "A, 8 steps, as built: lost", "value": 0.5, "unit": "points"},
        {"name": "A, 8 steps, as built: error", "value": 0.25, "unit": ""},
        {"name": "A, 8 steps, slow: lost", "value": 1.5, "unit": "points"},
    ]
    header, rows = page.side_by_side(figures)
    assert header == ("what", "lost, points", "error")
    assert rows == [("A, 8 steps, as built", "0.5", "0.25"), ("A, 8 steps, slow", "1.5", "-")]


@pytest.mark.parametrize("kind", ["stored", "shared"])
def test_whole_chips_pass_the_checks_of_the_chip(kind: str) -> None:
    hardware = load_hardware("loihi1")
    assert not list(faults(whole_chip(kind, SMALL), hardware))
    assert not list(faults(whole_chip(kind, Size(3, 4, 128)), hardware))


@pytest.mark.parametrize("kind", ["stored", "shared"])
def test_whole_chips_fire_at_about_ten_hertz(kind: str) -> None:
    program = whole_chip(kind, SMALL)
    session = Emulator(jobs=1).load(program)
    spikes = [session.run(np.zeros((1, 1)), steps).spikes["neurons"][0] for steps in (300, 800)]
    assert 8 < (spikes[1] - spikes[0]) / 500 / SMALL.neurons * 1000 < 12


def test_a_real_chip_is_full() -> None:
    size = Size(cores=2)
    stored, shared = whole_chip("stored", size), whole_chip("shared", size)
    per_chip = load_hardware("loihi1").chip.cores.value / size.cores
    assert stored_synapses(stored) * per_chip > 14e6
    assert effective_synapses(stored) == stored_synapses(stored)
    assert effective_synapses(shared) * per_chip > 64e6
    assert stored_synapses(shared) < effective_synapses(shared) / 4


def test_the_convolution_read_from_the_tables_is_the_one_in_the_program() -> None:
    network = cnn.build()
    program = network.program
    source, target = program.encoder.name, "conv1"
    kernel = cnn.convolution(program, source, target, (3, 3), program.encoder.shape)
    last = program.layer(target).neurons - 1
    all_weights = weights(program, source, target)
    assert all_weights.shape == (prod(program.encoder.shape), last + 1)
    place = all_weights[:, last].reshape(program.encoder.shape)
    assert np.array_equal(place[24:27, 24:27], kernel[..., -1])
    assert np.count_nonzero(place) == np.count_nonzero(kernel[..., -1])


def test_the_cnn_fires_slowly_and_answers_well() -> None:
    network = cnn.build()
    assert network.neurons == 7812
    result = Emulator().load(network.program).run(network.x)
    assert np.mean(result.answers == network.y) > 0.97
    spikes = sum(result.spikes[name].mean() for name in cnn.LAYERS)
    assert 10 < spikes / network.neurons / cnn.STEPS / network.program.dt_s < 25


def _figures() -> Iterator[Figure]:
    yield at_most("memory", 400.0, "MB", 500)
    yield at_least("events", 2.0, "G/s", 3)
    yield faster("step", 2.0, "µs", "a simulator", 30.0, 10)
    yield Figure("accuracy", 99.0, "%")


def test_records_hold_all_fields_and_whether_goals_are_met(tmp_path: Path) -> None:
    path = write("speed", _figures(), tmp_path)
    records = json.loads(path.read_text("utf-8"))
    names = {"name", "value", "unit", "goal", "met", "other", "other_value", "ratio"}
    assert names == {field.name for field in fields(Figure)}
    assert all(set(record) == names for record in records)
    assert [record["met"] for record in records] == [True, False, True, None]
    assert records[2]["ratio"] == 15


def test_the_page_is_written_from_the_records(tmp_path: Path) -> None:
    write("speed", _figures(), tmp_path)
    write("speed-part", _figures(), tmp_path)
    text = page.page(tmp_path)
    assert text.count("| step | 2 | µs | a simulator | 30 | 15 | at least 10 times | yes |") == 1
    assert "make bench-speed" in text
    assert "make bench-first-path" not in text


def test_whole_chips_survive_their_file(tmp_path: Path) -> None:
    program = whole_chip("shared", SMALL)
    program.save(tmp_path / "chip.nmc")
    again = Program.load(tmp_path / "chip.nmc")
    assert effective_synapses(again) == effective_synapses(program) > 0
