"""Records what nengo-loihi's emulator does with random Programs, for tests/differential.

    python tools/record_nengo_loihi.py [PROGRAMS]

Needs the environment of requirements/reference.txt. Takes seeds from 0 on, skips Programs in
which fewer than 5 % of the compartments fire, and prints what the rest covers.
"""

from __future__ import annotations

import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "tests" / "differential"
sys.path.insert(0, str(FOLDER))

from exercised import table  # noqa: E402
from nengo_loihi_twin import nengo_loihi_trace  # noqa: E402
from random_programs import digest, random_program  # noqa: E402
from traces import FIRING, Recording, save_recordings  # noqa: E402


def record(programs: int) -> list[Recording]:
    """The first so many seeds whose Programs fire enough."""
    recordings: list[Recording] = []
    seed = 0
    while len(recordings) < programs:
        program, inputs = random_program(seed)
        trace = nengo_loihi_trace(program, inputs)
        if trace.firing >= FIRING:
            recordings.append(Recording(seed, digest(program, inputs), trace))
        seed += 1
    print(f"{seed - programs} of {seed} seeds skipped")
    return recordings


def main() -> None:
    recordings = record(int(sys.argv[1]) if len(sys.argv) > 1 else 240)
    path = FOLDER / "nengo_loihi_traces.npz"
    save_recordings(path, recordings)
    print(table((random_program(one.seed)[0], one.trace) for one in recordings))
    print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
