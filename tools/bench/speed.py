"""How fast the emulator is, beside other simulators on the same network and at whole-chip scale.

Writes `build/bench/speed.json`. Both sides of a ratio are measured in turns in the same run, and
the best of each counts, since other work on the machine can only add time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import nmcompile
from tools.bench import versus
from tools.bench.accuracy import images
from tools.bench.record import ROOT, Figure, at_least, at_most, progress, write
from tools.bench.whole_chip import (
    BUSY_RATES,
    Size,
    effective_synapses,
    stored_synapses,
    whole_chip,
)

JOBS = 2
MNIST_IMAGES, MNIST_STEPS = 10_000, 32
CHIPS = 10


def main() -> None:
    """Measure what is asked for, everything by default."""
    parts = {"versus": versus.figures, "chip": chips, "events": events, "mnist": mnist}
    parser = argparse.ArgumentParser(prog="python -m tools.bench.speed", description=__doc__)
    parser.add_argument("--mnist", type=Path, help="mnist.npz with x_test and y_test")
    parser.add_argument("--only", choices=parts, help="a part; leaves the record as it is")
    options = parser.parse_args()

    def figures() -> Iterator[Figure]:
        for name, part in parts.items():
            if options.only in (None, name):
                progress(f"measuring: {name}")
                with tempfile.TemporaryDirectory() as folder:
                    yield from part(Path(folder), options.mnist)

    write("speed" if options.only is None else f"speed-{options.only}", figures())


def fresh(program: Path, *options: str) -> dict[str, Any]:
    """What `tools.bench.fresh` measures of a Program."""
    command = [sys.executable, "-m", "tools.bench.fresh", str(program), *options]
    return dict(
        json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT).stdout)
    )


def chips(folder: Path, _: Path | None) -> Iterator[Figure]:
    """A whole chip with its memory full, twice, and ten chips."""
    one: dict[str, Any] = {}
    for kind, count, synapses in (
        ("shared", "effective", effective_synapses),
        ("stored", "stored", stored_synapses),
    ):
        path = folder / f"{kind}.nmc"
        program = whole_chip(kind, Size())
        program.save(path)
        number = synapses(program)
        label = f"whole chip, {number / 1e6:.1f} M {count} synapses"
        yield at_least(label, number / 1e6, "M", {"shared": 64.0, "stored": 14.0}[kind])
        del program
        fresh(path, "--steps", "10", "--repeats", "1")  # compiles the kernels
        one = fresh(path, "--jobs", str(JOBS))
        yield Figure(
            f"{label}, mean rate", one["rate_hz"], "Hz", "8 to 12", 8 < one["rate_hz"] < 12
        )
        yield at_most(f"{label}, step", 1e3 * one["seconds_per_step"], "ms", 0.4)
        yield at_most(
            f"{label}, memory of a process that loads and runs it", one["peak_mb"], "MB", 500
        )
        yield Figure(f"{label}, load and lower", one["seconds_to_ready"], "s")
    path = folder / "ten.nmc"
    whole_chip("stored", Size(chips=CHIPS)).save(path)
    ten = fresh(path, "--jobs", str(JOBS), "--steps", "300")
    label = f"{CHIPS} chips, {ten['neurons'] / 1e6:.2f} M neurons"
    yield Figure(f"{label}, step", 1e3 * ten["seconds_per_step"], "ms")
    yield Figure(f"{label}, mean rate", ten["rate_hz"], "Hz")
    yield Figure(f"{label}, memory", ten["peak_mb"], "MB")
    growth = max(ten[key] / one[key] for key in ("neurons", "spikes_per_step"))
    slower = ten["seconds_per_step"] / one["seconds_per_step"]
    yield at_most(
        f"{label}: growth of a step's time over that of neurons or spikes", slower / growth, "", 1
    )


def events(folder: Path, _: Path | None) -> Iterator[Figure]:
    """Synaptic events where there are many: the shared synapses at ten times the rate."""
    path = folder / "busy.nmc"
    whole_chip("shared", Size(), rates=BUSY_RATES).save(path)
    found = fresh(path, "--jobs", "1", "--warm", "100", "--steps", "200")
    label = f"synaptic events, whole chip at {found['rate_hz']:.0f} Hz, one core"
    rate = found["events_per_step"] / found["seconds_per_step"] / 1e9
    yield at_least(label, rate, "G/s", 3)


def mnist(folder: Path, test_set: Path | None) -> Iterator[Figure]:
    """The shipped MNIST network on as many images as its test set has."""
    example = ROOT / "examples" / "mnist"
    program = nmcompile.build(
        example / "mnist.keras", calibrate=example / "calibrate_500.npz", steps=MNIST_STEPS
    )
    program.save(folder / "net.nmc")
    if test_set is not None:
        data = images(test_set, "test", program.encoder.input_shape)
        x, y = data.x, data.y
    else:
        with np.load(example / "test_1000.npz") as file:
            again = MNIST_IMAGES // len(file["y"])
            x, y = np.tile(file["x"], (again, 1, 1, 1)), np.tile(file["y"], again)
    np.savez(folder / "data.npz", x=x, y=y)
    what = "test images" if test_set is not None else "images, ten times the 1,000 shipped"
    label = f"mnist: {len(y):,} {what}, {MNIST_STEPS} steps"
    runs = []
    for _ in range(2):
        command = [sys.executable, "-m", "nmcompile", "eval", str(folder / "net.nmc"), "--json"]
        command += ["--data", str(folder / "data.npz"), "--jobs", str(JOBS)]
        begin = time.perf_counter()
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            check=True,
            cwd=ROOT,
            env={**os.environ, "NUMBA_CACHE_DIR": str(folder / "kernels")},
        )
        runs.append((json.loads(done.stdout), time.perf_counter() - begin))
    yield Figure(f"{label}, first run of a fresh installation, kernels compiled", runs[0][1], "s")
    yield at_most(f"{label}, emulator", runs[1][0]["seconds"], "s", 5)
    yield Figure(f"{label}, whole command from its second run on", runs[1][1], "s")
    yield Figure(f"{label}, chip accuracy", 100 * runs[1][0]["accuracy"], "%")


if __name__ == "__main__":
    main()
