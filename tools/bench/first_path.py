"""Measure the figures of the README and write `build/bench/first-path.json`.

Without whole test sets the samples that the repository ships are used.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import nmcompile
from tools.bench.accuracy import images
from tools.bench.record import ROOT, Figure, write


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.bench.first_path", description=__doc__)
    parser.add_argument("--mnist", type=Path, help="mnist.npz with x_test and y_test")
    parser.add_argument("--fashion", type=Path, help="fashion_mnist.npz with x_test and y_test")
    options = parser.parse_args()
    write("first-path", figures(options.mnist, options.fashion))


def figures(mnist: Path | None, fashion: Path | None) -> Iterator[Figure]:
    """All figures; whole test sets where given."""
    yield from startup()
    yield from installed()
    yield from network("mnist", mnist, steps=32, lost=0.3, build=5.0, seconds=60.0)
    yield from network("fashion_mnist", fashion, steps=64, lost=1.0)


def startup() -> Iterator[Figure]:
    """Time that `import nmcompile` takes in a fresh process, the best of five."""
    code = "import time; t = time.perf_counter(); import nmcompile; print(time.perf_counter() - t)"
    times = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(5)
    ]
    yield Figure("import nmcompile", min(times), "s", "under 0.3", min(times) < 0.3)


def installed() -> Iterator[Figure]:
    """Size of nmcompile and all that it needs without extras, as installed here."""
    names, todo = set(), ["nmcompile"]
    while todo:
        name = todo.pop()
        if name in names:
            continue
        names.add(name)
        for text in distribution(name).requires or []:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                todo.append(canonicalize_name(needed.name))
    files = [file.locate() for name in names for file in distribution(name).files or []]
    size = sum(Path(str(file)).stat().st_size for file in files if Path(str(file)).is_file()) / 1e6
    yield Figure(
        f"installed, {len(names)} packages without extras", size, "MB", "under 400", size < 400
    )


def network(
    name: str,
    test_set: Path | None,
    *,
    steps: int,
    lost: float,
    build: float | None = None,
    seconds: float | None = None,
) -> Iterator[Figure]:
    """Build a shipped network in a fresh process, and evaluate it."""
    folder = ROOT / "examples" / name
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "net.nmc"
        command = [
            *(sys.executable, "-m", "nmcompile", "build", str(folder / f"{name}.keras")),
            *("--calibrate", str(folder / "calibrate_500.npz")),
            *("--steps", str(steps), "-o", str(path)),
        ]
        begin = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
        took = time.perf_counter() - begin
        goal = f"under {build:g}" if build else "-"
        yield Figure(f"{name}: build command", took, "s", goal, took < build if build else None)
        program = nmcompile.Program.load(path)
    nmcompile.evaluate(program, folder / "test_1000.npz", limit=2)  # compiles the kernels
    data = images(test_set, "test", program.encoder.input_shape) if test_set else None
    found = nmcompile.evaluate(program, data or folder / "test_1000.npz")
    points = 100 * found.lost
    label = f"{name}: {found.samples} test images, {steps} steps"
    floor = 100 * found.float_accuracy >= 99.0 if name == "mnist" else None
    yield Figure(
        f"{label}, float accuracy",
        100 * found.float_accuracy,
        "%",
        "at least 99.0" if floor is not None else "-",
        floor,
    )
    yield Figure(f"{label}, chip accuracy", 100 * found.accuracy, "%")
    yield Figure(f"{label}, lost", points, "points", f"at most {lost:g}", points <= lost)
    yield Figure(f"{label}, lost, 95 % interval from", 100 * found.lost_low, "points")
    yield Figure(f"{label}, lost, 95 % interval to", 100 * found.lost_high, "points")
    goal = f"under {seconds:g}" if seconds else "-"
    yield Figure(
        f"{label}, emulator", found.seconds, "s", goal, found.seconds < seconds if seconds else None
    )
    yield Figure(f"{label}, spikes on chip", found.spikes_per_sample, "per image")
    yield Figure(f"{label}, cores", found.cores, "cores")


if __name__ == "__main__":
    main()
