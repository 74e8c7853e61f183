"""Reads many mutated model files, each within a limit on memory and time, and reports findings.

    python tools/fuzz_files.py --files 20000 --format onnx --seed 0

A file may load or be refused in one sentence that names it. Anything else is a finding: another
exception, a crash, a file that takes too long or too much memory. A child process reads the
files, so that it may die; `--replay SEED` reads one again in this process. Returns 1 if there was
a finding.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from functools import cache
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

FOLDER = Path(__file__).parents[1]
FRONTENDS = FOLDER / "tests" / "frontends"
sys.path[:0] = [str(FRONTENDS), str(FOLDER)]

import numpy as np  # noqa: E402
from mutations import mutated  # noqa: E402

from nmcompile.errors import NmcompileError  # noqa: E402
from nmcompile.frontends import load  # noqa: E402

#: Seconds and bytes that one file may take, and the size guard that must keep them.
SECONDS, MEMORY, MAX_BYTES = 10.0, 256 * 2**20, 32 * 2**20
#: Findings after which there is no point in going on, and seconds between lines of progress.
ENOUGH, PROGRESS_S = 20, 10.0
FILES = {
    "lava": sorted((FRONTENDS / "lava_models").glob("*.net")),
    "nir": sorted((FRONTENDS / "nir_models").glob("*.nir")),
    "onnx": sorted((FRONTENDS / "onnx_models").glob("*.onnx")),
    "keras": sorted(
        path for path in (FRONTENDS / "models").iterdir() if path.suffix in (".keras", ".h5")
    ),
}


def read_mutated(form: str, seed: int, path: Path) -> str:
    """What came of one file: ``loaded``, ``refused``, or a finding in words."""
    rng = np.random.default_rng(seed)
    source = FILES[form][int(rng.integers(len(FILES[form])))]
    path.write_bytes(mutated(content(source), form, rng))
    before = peak()
    try:
        dialect = source.stem.partition("_")[0] if form == "nir" else None
        load(path, max_bytes=MAX_BYTES, dialect=dialect)
        outcome = "loaded"
    except NmcompileError as error:
        text = str(error)
        outcome = "refused"
        if "\n" in text or path.name not in text:
            outcome = f"its message is no sentence with the file's name: {text[:200]!r}"
        elif "MemoryError" in text:
            outcome = f"it ran out of memory: {text[:200]!r}"
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        outcome = f"{type(error).__name__}: {error} in {place.filename}:{place.lineno}"
    grown = peak() - before
    return outcome if grown <= MEMORY else f"it took {grown / 2**20:.0f} MiB ({outcome})"


@cache
def content(path: Path) -> bytes:
    """A valid file."""
    return path.read_bytes()


def peak() -> int:
    """Most bytes of memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def child(form: str, seeds: Connection) -> None:
    """Read the file of each seed that is sent."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model.{form}"
        read_mutated(form, 0, path)  # loads what all files need
        size = 4 * peak() + MEMORY + 2**31
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
        while True:
            seeds.send(read_mutated(form, seeds.recv(), path))


class Reader:
    """A child process that is started again where it died."""

    def __init__(self, form: str) -> None:
        self._form = form
        self._context = get_context("spawn")
        self._start()

    def _start(self) -> None:
        self._here, there = self._context.Pipe()
        self._process = self._context.Process(target=child, args=(self._form, there), daemon=True)
        self._process.start()
        there.close()
        self._fresh = True

    def read(self, seed: int) -> str:
        """What came of one seed."""
        limit = SECONDS + (60.0 if self._fresh else 0.0)
        self._fresh = False
        try:
            self._here.send(seed)
            if self._here.poll(limit):
                return str(self._here.recv())
            found = f"it took more than {SECONDS:g} s"
        except (EOFError, OSError):
            self._process.join(5)
            found = f"the process died with exit status {self._process.exitcode}"
        self.close()
        self._start()
        return found

    def close(self) -> None:
        """End the child process."""
        self._process.kill()
        self._process.join()
        self._here.close()


def fuzz(form: str, files: int, seed: int, say: Callable[[str], None] = print) -> list[str]:
    """Read so many files; the findings."""
    findings: list[str] = []
    counts: Counter[str] = Counter()
    reader, shown = Reader(form), time.monotonic()
    try:
        for number in range(seed, seed + files):
            outcome = reader.read(number)
            if outcome in ("loaded", "refused"):
                counts[outcome] += 1
            else:
                findings.append(f"seed {number}: {outcome}")
                say(findings[-1])
                if len(findings) >= ENOUGH:
                    break
            if time.monotonic() - shown > PROGRESS_S:
                shown = time.monotonic()
                say(f"{sum(counts.values()):,} of {files:,} files, findings: {len(findings)}")
    finally:
        reader.close()
    say(
        f"{sum(counts.values()) + len(findings):,} mutated {form} files: {counts['loaded']:,} "
        f"loaded, {counts['refused']:,} refused in one sentence, findings: {len(findings)}"
    )
    return findings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--format", choices=sorted(FILES), default="onnx")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--replay", type=int, help="read the file of one seed in this process")
    given = parser.parse_args()
    if given.replay is None:
        return int(bool(fuzz(given.format, given.files, given.seed)))
    path = Path(tempfile.gettempdir()) / f"model.{given.format}"
    print(f"{path}: {read_mutated(given.format, given.replay, path)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
