"""Measure what each option of a conversion is worth, and write `build/bench/ablation.json`.

Judged on images that training held out, so that no choice is made on test images.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import nmcompile
from nmcompile.backends.emulator import Emulator
from nmcompile.ir import evaluate
from nmcompile.ir.nodes import Softmax
from tools.bench.accuracy import CALIBRATED, CASES, SEED, Case, images
from tools.bench.record import ROOT, Figure, progress, write

#: Images held out by `examples/training.py`, whose order this seed gives.
HELD_OUT = 5000
#: Of these, so many are judged.
JUDGED = 1000
#: What differs from the defaults, in words, and the options.
CHANGES: Mapping[str, Mapping[str, Any]] = {
    "as built without options": {},
    "no correction at all": {"gain_samples": 0},
    "amplitudes of layers only": {"gain": "layer"},
    "no correction of biases": {"correct_bias": False},
    "voltages begin at zero": {"initial_voltage": "zero"},
    "thresholds searched": {"threshold_factors": (0.8, 0.9, 1.0, 1.15)},
    "channels half equalised": {"equalise": 0.5},
    "threshold gain 1": {"threshold_gain": 1.0},
    "percentile 99.9": {"percentile": 99.9},
    "rates up to 300 Hz": {"neuron": {"max_rate": 300.0}},
    "rates up to 400 Hz": {"neuron": {"max_rate": 400.0}},
    "rates up to 600 Hz": {"neuron": {"max_rate": 600.0}},
    "rates up to 1,000 Hz": {"neuron": {"max_rate": 1000.0}},
    "currents decay in 1 ms": {"neuron": {"synapse": 0.001}},
    "last three quarters of the steps read": {"window": 0.75},
    "read-out filtered, 20 ms": {"read_synapse": 0.02},
    "rounded for the output": {"rounding": "output"},
    "4-bit weights": {"weight_bits": 4},
    "4-bit weights, rounded for the output": {"weight_bits": 4, "rounding": "output"},
}
NETWORKS = {("mnist", 32), ("cifar10", 32), ("fashion", 64)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.bench.ablation", description=__doc__)
    for name in ("mnist", "fashion", "cifar10"):
        parser.add_argument(f"--{name}", type=Path, help="file with x_train and y_train")
    write("ablation", figures(vars(parser.parse_args())))


def figures(files: Mapping[str, Path | None]) -> Iterator[Figure]:
    """What is lost, and how far scores are off, for each network and change."""
    chosen: dict[str, Case] = {}
    for case in CASES:
        if (case.data, case.steps) in NETWORKS:
            chosen.setdefault(case.data, case)
    for data, case in chosen.items():
        path = files[data]
        if path is None:
            progress(f"{case.name} is left out: give its file with --{data}.")
            continue
        for words, options in CHANGES.items():
            yield from changed(case, path, words, options)


def changed(case: Case, path: Path, words: str, options: Mapping[str, Any]) -> Iterator[Figure]:
    """One network, built with one change."""
    model = ROOT / "examples" / case.file
    network = nmcompile.load(model).network
    train = images(path, "train", network.inputs[0].size)
    assert train.y is not None
    order = np.random.default_rng(SEED).permutation(len(train))
    held_out, seen = order[:HELD_OUT][:JUDGED], order[HELD_OUT:][:CALIBRATED]
    x, y = train.x[held_out], train.y[held_out]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = nmcompile.build(model, calibrate=train.x[seen], steps=case.steps, **options)
        found = Emulator().load(program).run(x)
    before_softmax = [node.inputs[0] for node in network if isinstance(node, Softmax)]
    name = before_softmax[0] if before_softmax else network.outputs[0].name
    wanted = evaluate(network, x, keep=[name])[name].reshape(len(x), -1)
    lost = np.mean(wanted.argmax(axis=1) == y) - np.mean(found.answers == y)
    scores, wanted = (each - each.mean(axis=1, keepdims=True) for each in (found.scores, wanted))
    label = f"{case.name}, {case.steps} steps, {words}"
    yield Figure(f"{label}: lost", 100 * float(lost), "points")
    error = float(np.sqrt(((scores - wanted) ** 2).sum() / (wanted**2).sum()))
    yield Figure(f"{label}: relative error of scores", error, "")
    spikes = sum(int(found.spikes[layer.name].sum()) for layer in program.layers) / len(x)
    yield Figure(f"{label}: spikes on chip", spikes, "per image")


if __name__ == "__main__":
    main()
