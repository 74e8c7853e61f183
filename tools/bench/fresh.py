"""Load a Program's file in a fresh process, run one sample, and print what that took, as JSON.

    python -m tools.bench.fresh chip.nmc --jobs 2 --warm 300 --steps 1000

Time, spikes and events are those of the steps after the warm ones: two runs of different lengths
are subtracted. Memory is the most that the process ever held, loading and lowering included.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np

from nmcompile.api import Emulator, Program


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.fresh")
    parser.add_argument("program", type=Path)
    parser.add_argument("--jobs", type=int, default=None)
    parser.add_argument("--warm", type=int, default=300)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    begin = time.perf_counter()
    program = Program.load(options.program)
    session = Emulator(jobs=options.jobs).load(program)
    x = np.zeros((1, *program.encoder.input_shape), np.float32)
    session.run(x, steps=2)
    ready = time.perf_counter() - begin
    short, long = [], []
    for _ in range(options.repeats):
        short.append(session.run(x, steps=options.warm))
        long.append(session.run(x, steps=options.warm + options.steps))
    first, last = (sum(int(s.sum()) for s in r[0].spikes.values()) for r in (short, long))
    events = long[0].synaptic_events.sum() - short[0].synaptic_events.sum()
    taken = min(r.seconds for r in long) - min(r.seconds for r in short)
    neurons = sum(len(core.compartments) for core in program.cores)
    print(
        json.dumps(
            {
                "neurons": neurons,
                "seconds_to_ready": ready,
                "seconds_per_step": taken / options.steps,
                "spikes_per_step": (last - first) / options.steps,
                "events_per_step": float(events) / options.steps,
                "rate_hz": (last - first) / options.steps / neurons / program.dt_s,
                "peak_mb": _peak_mb(),
            }
        )
    )


def _peak_mb() -> float:
    """Most memory held since the process began, in MB.

    Where Linux says it, from there: getrusage counts what the parent held at the start, too.
    """
    try:
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    high = next(line for line in lines if line.startswith("VmHWM:"))
    return int(high.split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    main()
