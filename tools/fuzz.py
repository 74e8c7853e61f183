"""Compares the emulator with a reference on many random Programs, for as long as is asked.

    python tools/fuzz.py --programs 100000 --reference nengo-loihi --jobs 2 --seed 1000000

Prints each mismatch as it is found, a line of progress now and then, and in the end, or when
interrupted, what was covered. Returns 1 if there was a mismatch. Programs that fire too little
are compared but not counted; those in which something happens that the reference does not model
are neither.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context, set_start_method
from pathlib import Path

FOLDER = Path(__file__).parents[1]
sys.path[:0] = [str(FOLDER / "tests" / "differential"), str(FOLDER)]

from exercised import Coverage, covered  # noqa: E402
from random_programs import random_program  # noqa: E402
from references import REFERENCES, Reference  # noqa: E402
from traces import TOO_QUIET, difference, emulator_trace, unequal  # noqa: E402

#: Seconds between lines of progress, and seeds that a process takes at a time.
PROGRESS_S, SEEDS = 10, 10
TASKS = 20
#: Mismatches after which there is no point in going on.
ENOUGH = 50


@dataclass(frozen=True)
class Outcome:
    """What came of one seed.

    Attributes
    ----------
    skipped : why it does not count, or None
    differs : the first difference in words, or None
    covered, firing : what it exercised, and the share of compartments that fired
    """

    skipped: str | None
    differs: str | None
    covered: frozenset[str]
    firing: float


@dataclass
class Tally:
    """All outcomes so far, and the seed to go on with."""

    next_seed: int
    coverage: Coverage = field(default_factory=Coverage)
    skipped: Counter[str] = field(default_factory=Counter)
    mismatches: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def counted(self) -> int:
        """Programs that were compared and fired enough."""
        return len(self.coverage.firing)

    def add(self, outcome: Outcome) -> None:
        """Count one seed, and say what differs."""
        self.next_seed += 1
        if outcome.differs:
            self.mismatches += 1
            print(outcome.differs, flush=True)
        if outcome.skipped:
            self.skipped[outcome.skipped] += 1
        else:
            self.coverage.add(outcome.covered, outcome.firing)

    def line(self) -> str:
        """Progress."""
        spent = time.monotonic() - self.started
        return (
            f"{self.counted:,} programs, {sum(self.skipped.values()):,} skipped, "
            f"{self.mismatches} mismatches, {spent:,.0f} s, {self.counted / spent:.1f} programs/s"
        )


def check(name: str, first: int, last: int) -> list[Outcome]:
    """Compare the Programs of some seeds."""
    warnings.simplefilter("ignore")  # The reference's own affair.
    reference = REFERENCES[name]
    return [check_one(reference, seed) for seed in range(first, last)]


def check_one(reference: Reference, seed: int) -> Outcome:
    dialect = reference.dialect
    program, inputs = random_program(seed, dialect)
    theirs = reference.tracer()(program, inputs)
    skipped = unequal(dialect, program, theirs)
    differs = None
    if skipped in (None, TOO_QUIET):
        ours = emulator_trace(program, inputs)
        differs = difference(program, ours, theirs, dialect.reference, seed)
    found = frozenset(covered(program, theirs)) if skipped is None else frozenset()
    return Outcome(skipped, differs, found, theirs.firing)


def outcomes(reference: Reference, first: int, jobs: int) -> Iterator[Outcome]:
    """Those of all seeds from `first` on, in order, worked out in several processes."""
    # A process of a reference that keeps memory is replaced after so many tasks, which forked ones
    # cannot be.
    way, tasks = ("fork", {}) if reference.forgets else ("spawn", {"max_tasks_per_child": TASKS})
    # Lava chooses how its own processes start, and wants to be the first to.
    reset = {"initializer": set_start_method, "initargs": (None, True)}
    with ProcessPoolExecutor(jobs, mp_context=get_context(way), **reset, **tasks) as pool:
        waiting: deque[Future[list[Outcome]]] = deque()
        seed = first
        try:
            while True:
                while len(waiting) < 3 * jobs:
                    waiting.append(pool.submit(check, reference.name, seed, seed + SEEDS))
                    seed += SEEDS
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def fuzz(reference: Reference, programs: int, jobs: int, seed: int) -> Tally:
    """Compare until so many Programs count."""
    tally = Tally(seed)
    said = time.monotonic()
    found = outcomes(reference, seed, jobs)
    try:
        while tally.counted < programs and tally.mismatches < ENOUGH:
            tally.add(next(found))
            if time.monotonic() - said > PROGRESS_S:
                said = time.monotonic()
                print(tally.line(), flush=True)
    except KeyboardInterrupt:
        print("interrupted")
    finally:
        found.close()
    return tally


def positive(text: str) -> int:
    """A whole number above 0."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare with a reference on random Programs.")
    parser.add_argument("--reference", choices=REFERENCES, default="nengo-loihi")
    parser.add_argument("--programs", type=positive, default=1000)
    parser.add_argument("--jobs", type=positive, default=2, help="processes")
    parser.add_argument("--seed", type=int, default=1_000_000, help="the first one")
    asked = parser.parse_args()
    reference = REFERENCES[asked.reference]
    if not reference.installed:
        parser.error(f"{reference.dialect.reference} is not installed here; see requirements/")
    tally = fuzz(reference, asked.programs, asked.jobs, asked.seed)
    print(tally.coverage.table(reference.dialect))
    for reason, times in tally.skipped.most_common():
        print(f"skipped, {reason}: {times:,}")
    print(f"seeds {asked.seed}..{tally.next_seed - 1}; SEED={tally.next_seed} goes on from there")
    print(f"against {reference.dialect.reference}: {tally.line()}")
    return 1 if tally.mismatches else 0


if __name__ == "__main__":
    sys.exit(main())
