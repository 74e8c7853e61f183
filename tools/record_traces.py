"""Records what a reference emulator does with random Programs, for tests/differential.

    python tools/record_traces.py {nengo-loihi,brian2-loihi,lava} [PROGRAMS]

First the known differences, then so many random Programs, 0 for none. Needs the environment of
requirements/reference.txt, for Lava of requirements/lava.txt. Takes seeds from 0 on, skips
Programs that do not count, and prints why, and what the rest covers.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter
from pathlib import Path

FOLDER = Path(__file__).parents[1]
sys.path[:0] = [str(FOLDER / "tests" / "differential"), str(FOLDER)]

from exercised import Coverage, covered  # noqa: E402
from known_differences import record_known  # noqa: E402
from random_programs import digest, random_program  # noqa: E402
from recordings import Recording, save_recordings  # noqa: E402
from references import REFERENCES, Reference  # noqa: E402
from traces import unequal  # noqa: E402


def record(reference: Reference, programs: int) -> list[Recording]:
    """The first so many seeds whose Programs count."""
    trace_of = reference.tracer()
    dialect = reference.dialect
    recordings: list[Recording] = []
    coverage = Coverage()
    skipped: Counter[str] = Counter()
    seed = 0
    while len(recordings) < programs:
        program, inputs = random_program(seed, dialect)
        trace = trace_of(program, inputs)
        reason = unequal(dialect, program, trace)
        if reason is None:
            recordings.append(Recording.of(seed, digest(program, inputs), program, trace))
            coverage.add(covered(program, trace), trace.firing)
        else:
            skipped[reason] += 1
        seed += 1
    print(coverage.table(dialect))
    print(f"skipped {seed - programs} of {seed} seeds: {dict(skipped.most_common())}")
    return recordings


def main() -> None:
    parser = argparse.ArgumentParser(description="Record a reference emulator's traces.")
    parser.add_argument("reference", choices=REFERENCES)
    parser.add_argument("programs", type=int, nargs="?", help="0 for known differences only")
    asked = parser.parse_args()
    reference = REFERENCES[asked.reference]
    warnings.simplefilter("ignore")  # The reference's own affair.
    record_known(reference)
    if asked.programs == 0:
        return
    save_recordings(reference.path, record(reference, asked.programs or reference.recorded))
    print(f"{reference.path.name}: {reference.path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
