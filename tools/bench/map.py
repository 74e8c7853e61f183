"""How many cores and chips well-known networks take, and how long it takes to find out.

Writes `build/bench/map.json`. Each network is mapped in a process of its own, so that its peak of
memory is its own. The mapped Program then runs on the emulator, and every spike must be one of the
layers as they are without any mapping.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from nmcompile.chip.discrete import DiscreteGraph
from nmcompile.chip.program import Program
from nmcompile.hardware import HardwareModel, load_hardware, parse_target
from tools.bench import networks
from tools.bench.fresh import _peak_mb
from tools.bench.record import ROOT, Figure, at_least, at_most, progress, write
from tools.bench.sides import SIDES, available

#: Steps that a mapped network runs beyond those that its first spikes take to the last layer.
STEPS = 24
#: Most seconds and megabytes that mapping the largest networks may take.
SECONDS, MEGABYTES = 120, 4000
#: Bytes that a process may ask for in all when it runs a Program.
ROOM = 12 << 30
RANDOM = 100


@dataclass(frozen=True)
class Row:
    """A network, and what its mapping should reach.

    Attributes
    ----------
    make : the network's discretised layers
    cores, chips, ratio : at most so many; the ratio is cores over the lower bound
    large : whether time, memory and traffic between chips have goals too
    """

    make: Callable[[HardwareModel], DiscreteGraph]
    cores: float | None = None
    chips: float | None = None
    ratio: float | None = None
    large: bool = False


def _made(network: Callable[[], Any], host_layers: int | None = None) -> Callable[..., Any]:
    return lambda hardware: networks.discrete(network(), hardware, host_layers=host_layers)


ROWS = {
    "keras-to-loihi": Row(_made(networks.keras_to_loihi), cores=10),
    "mobilenet, first layer on host": Row(_made(networks.mobilenet, 1), chips=13, large=True),
    "mobilenet": Row(_made(networks.mobilenet), chips=14, large=True),
    "cifar10-cnn": Row(_made(networks.cifar10_cnn), ratio=1.15),
    "vgg16": Row(_made(networks.vgg16), ratio=1.25),
    "resnet20": Row(_made(networks.resnet20), ratio=1.25),
    "pilotnet": Row(_made(networks.pilotnet, 1), ratio=1.25),
    "mlp": Row(_made(networks.mlp), ratio=1.25),
    "reservoir": Row(lambda _: networks.reservoir(), cores=190),
}


def main() -> None:
    """Map what is asked for, everything by default."""
    parts: dict[str, Callable[[], Iterator[Figure]]] = {
        **{name: partial(mapped, name) for name in ROWS},
        "random": random,
    }
    parser = argparse.ArgumentParser(prog="python -m tools.bench.map", description=__doc__)
    parser.add_argument("--only", choices=parts, help="a network; leaves the record as it is")
    parser.add_argument("--measure", choices=ROWS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        for found in measured(ROWS[options.measure]):
            print(json.dumps(found), flush=True)
        return

    def figures() -> Iterator[Figure]:
        for name, part in parts.items():
            if options.only in (None, name):
                progress(f"measuring: {name}")
                yield from part()

    write("map" if options.only is None else "map-part", figures())


def mapped(name: str) -> Iterator[Figure]:
    """Figures of one network."""
    row = ROWS[name]
    command = [sys.executable, "-m", "tools.bench.map", "--measure", name]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False, cwd=ROOT)
    found: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        found |= json.loads(line)
    if "cores" not in found:
        yield Figure(f"{name}, cores", inf, "cores", "mapped at all", met=False)
        return
    if name == "keras-to-loihi" and available("nengo-loihi"):
        yield _beside_nengo_loihi(name, row, found["cores"])
    else:
        yield _goal(f"{name}, cores", found["cores"], "cores", row.cores)
    yield Figure(f"{name}, lower bound", found["bound"], "cores")
    yield _goal(f"{name}, cores over the bound", found["cores"] / found["bound"], "", row.ratio)
    yield _goal(f"{name}, chips", found["chips"], "chips", row.chips)
    for what in ("map", "fill tables", "place"):
        yield Figure(f"{name}, {what}", found["seconds"][what], "s")
    total = sum(found["seconds"].values())
    yield _goal(f"{name}, all passes", total, "s", SECONDS if row.large else None)
    peak = found["peak_mb"]
    yield _goal(f"{name}, peak memory", peak, "MB", MEGABYTES if row.large else None)
    if found["chips"] > 1:
        saved = 100 * (1 - found["between"] / found["in_order"])
        yield (at_least if row.large else Figure)(
            f"{name}, messages between chips saved over layer order",
            saved,
            "%",
            *([30] if row.large else []),
        )
    if done.returncode:
        progress(f"  {name}: the run ended with status {done.returncode}")
    yield Figure(f"{name}, peak memory of the run", found.get("run_mb", inf), "MB")
    label = f"{name}, spikes in {found['steps']} steps"
    active = found.get("silent") == 0
    yield Figure(label, found.get("spikes", 0), "spikes", "in every layer", active)
    yield at_most(f"{name}, differing spikes", found.get("differing", inf), "spikes", 0)


def _goal(name: str, value: float, unit: str, limit: float | None) -> Figure:
    return Figure(name, value, unit) if limit is None else at_most(name, value, unit, limit)


def _beside_nengo_loihi(name: str, row: Row, cores: int) -> Figure:
    """Cores beside the blocks that nengo-loihi cuts its example into."""
    folder = SIDES["nengo-loihi"][0]
    command = [ROOT / folder / "bin" / "python", Path(__file__).parent / "side_blocks.py"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT)
    side = json.loads(done.stdout)
    return Figure(
        f"{name}, cores",
        cores,
        "cores",
        f"at most {row.cores:g}",
        cores <= (row.cores or cores),
        f"nengo-loihi {side['version']}",
        side["blocks"],
        side["blocks"] / cores,
    )


def measured(row: Row) -> Iterator[dict[str, Any]]:
    """Map a network in this process, then run it and compare its spikes."""
    from nmcompile.mapper.bounds import network_bound
    from nmcompile.mapper.chips import in_order
    from nmcompile.passes.allocate import Allocate
    from nmcompile.passes.emit import Emit, Verify
    from nmcompile.passes.options import checked_options
    from nmcompile.passes.partition import PartitionLayers
    from nmcompile.passes.place import Place

    hardware = load_hardware("loihi1")
    graph = row.make(hardware)
    steps = max(layer.depth for layer in graph.layers) + STEPS
    seconds: dict[str, float] = {}

    def timed(what: str, run: Callable[[Any], Any], value: object) -> Any:
        begin = time.perf_counter()
        result = run(value)
        seconds[what] = seconds.get(what, 0.0) + time.perf_counter() - begin
        return result

    partition = timed("map", PartitionLayers(hardware).run, graph)
    allocation = timed("fill tables", Allocate(hardware).run, partition)
    placement = timed("place", Place(parse_target("loihi1")).run, allocation)
    emit = Emit(options=checked_options(steps=steps), manifest={}, attachments={})
    program = timed("fill tables", emit.run, placement)
    timed("check", Verify(hardware).run, program)
    peak = _peak_mb()
    chip, _ = placement.places()
    order = in_order(len(chip), hardware.chip.cores.value)
    yield {
        "cores": partition.n_cores,
        "bound": network_bound(partition.problem).cores,
        "chips": len(set(chip.tolist())),
        "seconds": seconds,
        "peak_mb": peak,
        "between": placement.traffic.between_chips(chip),
        "in_order": placement.traffic.between_chips(order),
        "steps": steps,
    }
    del partition, allocation, placement
    limit_memory(ROOM)
    yield {**compared(graph, program, steps), "run_mb": _peak_mb()}


def limit_memory(room: int) -> None:
    """Have this process fail rather than leave the machine without memory."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or hard > room:
        resource.setrlimit(resource.RLIMIT_AS, (room, hard))


def compared(graph: DiscreteGraph, program: Program, steps: int) -> dict[str, Any]:
    """Spikes on the emulator, and in how many places they differ from those without a mapping."""
    from nmcompile.api import Emulator
    from nmcompile.backends.base import Probe
    from tools.bench.unpartitioned import unpartitioned

    x = np.random.default_rng(1).random((1, *graph.encoder.input_shape), dtype=np.float32)
    probes = [Probe(layer.name, "spikes") for layer in graph.layers]
    result = Emulator(jobs=1).load(program).run(x, steps, probes)
    wanted = unpartitioned(graph, x, steps)
    differing = sum(
        int(np.count_nonzero(result.probes[each] != wanted[each.layer])) for each in probes
    )
    counts = [int(np.count_nonzero(wanted[each.layer])) for each in probes]
    return {"differing": differing, "spikes": sum(counts), "silent": counts.count(0)}


def random() -> Iterator[Figure]:
    """Small random networks beside their bounds and the fewest cores of all."""
    from tools.bench.exact import compared

    begin = time.perf_counter()
    outcomes = [compared(seed) for seed in range(RANDOM)]
    progress(f"  {RANDOM} networks took {time.perf_counter() - begin:.0f} s")
    label = f"{RANDOM} random networks"
    wrong = [each.seed for each in outcomes if not each.in_order]
    if wrong:
        progress(f"  out of order: {wrong}")
    yield at_most(f"{label}, out of the order of bound, best and ours", len(wrong), "", 0)
    both = [(each.ours, each.exact) for each in outcomes if each.ours and each.exact]
    refused = len(outcomes) - len(both)
    yield at_most(f"{label}, refused though they fit", refused, "", 0)
    ratios = [ours / exact for ours, exact in both]
    yield at_most(f"{label}, our cores over the fewest, mean", float(np.mean(ratios)), "", 1.1)
    yield Figure(f"{label}, our cores over the fewest, largest", max(ratios), "")
    best = 100 * float(np.mean([ours == exact for ours, exact in both]))
    yield Figure(f"{label}, mapped to the fewest", best, "%")
    gaps = [each.exact / each.bound for each in outcomes if each.exact]
    yield Figure(f"{label}, fewest cores over the bound, mean", float(np.mean(gaps)), "")


if __name__ == "__main__":
    main()
