"""Lowering: long runs, weights kept once, and paths chosen by what can happen."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from nmcompile.backends.emulator.lower import Column, layer_compartments, lower
from nmcompile.hardware import parse_target
from nmcompile.passes.options import checked_options
from nmcompile.passes.pipeline import compile_network
from tests.backends.test_partitions import program
from tests.networks import small_cnn

sys.path.insert(0, str(Path(__file__).parents[1] / "differential"))
from dialects import NENGO_LOIHI
from random_programs import random_program


def test_random_programs_take_every_path() -> None:
    met = set()
    for seed in range(150):
        lowered = lower(random_program(seed, NENGO_LOIHI)[0])
        for safe in lowered.segments[:, Column.SAFE]:
            met.add((lowered.accumulator.dtype.name, bool(safe)))
    assert met == {("int16", True), ("int16", False), ("int32", False)}


def test_a_cut_layer_is_one_segment_and_its_spikes_few_runs() -> None:
    alike = 0
    for seed in (4, 7, 8):
        whole = lower(program(seed, {}, None))
        for mapping in range(4):
            made = program(seed, {}, np.random.default_rng(mapping))
            cut = lower(made)
            neurons = sum(layer.neurons for layer in made.layers)
            if sum(len(core.compartments) for core in made.cores) > neurons:
                continue  # What goes to a halo is more runs.
            alike += 1
            assert np.array_equal(whole.segments, cut.segments)
            assert len(cut.fanout.runs) == len(whole.fanout.runs)
    assert alike > 6


def test_equal_weights_are_kept_once() -> None:
    x = np.random.default_rng(0).random((20, 10, 10, 1), dtype=np.float32)
    lowered = lower(compile_network(small_cnn(), parse_target(None), checked_options(), x))
    runs = np.concatenate([lowered.fanout.runs, lowered.host_fanout.runs])
    assert len(np.unique(runs[:, 2])) < len(runs) / 3
    assert lowered.weights.ctypes.data % 64 == 0


def test_compartments_are_numbered_layer_by_layer() -> None:
    made = program(2, {}, np.random.default_rng(0))
    numbers = np.concatenate([layer_compartments(made, layer.name) for layer in made.layers])
    assert np.array_equal(numbers, np.arange(len(numbers)))
    with pytest.raises(KeyError):
        layer_compartments(made, "none")
