"""How the mapper copes with larger and larger networks, from one chip to all of the largest board.

Writes `build/bench/map-scale.json`. The networks are stacks of 3x3 and 1x1 convolutions over images
whose sides grow. Up to 64 chips they are mapped, placed, made into Programs and run; beyond, they
are mapped and placed by shape alone. Each is measured in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import inf, log, prod
from typing import Any

import numpy as np

from nmcompile.chip.arithmetic import MIXED
from nmcompile.chip.discrete import DiscreteConnection, DiscreteGraph, DiscreteLayer
from nmcompile.chip.program import Encoder
from nmcompile.hardware import load_hardware, parse_target
from nmcompile.ir.layers import Connection, Window
from tools.bench.fresh import _peak_mb
from tools.bench.map import limit_memory
from tools.bench.record import ROOT, Figure, at_most, write

#: Chips that whole Programs are made for, and those beyond, known by shape.
WHOLE, SHAPES = (1, 2, 4, 8, 16, 32, 64), (128, 256, 512, 768)
#: Side of the images that fill one chip.
SIDE = 23.1
#: (kernel, channels) of the layers behind an encoder of so many channels.
INPUTS = 4
LAYERS = ((3, 32), (1, 64), (3, 32), (1, 64), (3, 32), (1, 16))
STEPS = 10
#: Chips up to which every spike is compared with those of the layers without a mapping.
COMPARED = 8
#: Growth is judged between networks of at least so many chips.
LARGE = 8
LARGEST_WEIGHT = 40
#: Bytes that a process may ask for in all when it runs a Program.
ROOM = 12 << 30


def main() -> None:
    """Measure all sizes, or those asked for."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.map_scale", description=__doc__)
    parser.add_argument("--most", type=int, default=max(SHAPES), help="chips of the largest")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        for found in measured(options.measure, whole=options.measure in WHOLE):
            print(json.dumps(found), flush=True)
        return
    sizes = [chips for chips in (*WHOLE, *SHAPES) if chips <= options.most]
    write("map-scale" if options.most == max(SHAPES) else "map-scale-part", figures(sizes))


def figures(sizes: Sequence[int]) -> Iterator[Figure]:
    """Figures of each size, then how they grow."""
    found: list[dict[str, Any]] = []
    for chips in sizes:
        command = [sys.executable, "-m", "tools.bench.map_scale", "--measure", str(chips)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False, cwd=ROOT)
        row: dict[str, Any] = {}
        for line in done.stdout.splitlines():
            row |= json.loads(line)
        if not row:
            yield Figure(f"{chips} chips, measured", 0, "", "at least 1", met=False)
            continue
        found.append(row)
        label = f"{row['cores']:,} cores"
        chips_of = f"{row['chips']} chips of {row['neurons'] / 1e6:.3g} M neurons"
        yield Figure(f"{label}, {chips_of}, over the bound", row["cores"] / row["bound"], "")
        for what, seconds in row["seconds"].items():
            yield Figure(f"{label}, {what}", seconds, "s")
        yield Figure(f"{label}, peak memory", row["peak_mb"], "MB")
        if chips in WHOLE:
            yield Figure(f"{label}, peak memory of the run", row.get("run_mb", inf), "MB")
        if chips <= COMPARED:
            yield at_most(f"{label}, differing spikes", row.get("differing", inf), "spikes", 0)
    yield from growth(found)


def growth(found: list[dict[str, Any]]) -> Iterator[Figure]:
    """How times and memory grow with cores, beside n log n."""
    for what in ("partition", "fill tables", "place", "emit and check", "load", "a step"):
        rows = [row for row in found if what in row["seconds"]]
        yield from _growth(what, rows, [row["seconds"][what] for row in rows])
    whole = [row for row in found if "fill tables" in row["seconds"]]
    yield from _growth("memory of Programs", whole, [row["peak_mb"] for row in whole])
    shapes = [row for row in found if "fill tables" not in row["seconds"]]
    yield from _growth("memory of shapes", shapes, [row["peak_mb"] for row in shapes])


def _growth(what: str, rows: list[dict[str, Any]], values: list[float]) -> Iterator[Figure]:
    large = [
        (row["cores"], value)
        for row, value in zip(rows, values, strict=True)
        if row["chips"] >= LARGE
    ]
    if len(large) < 2:
        return
    cores, taken = np.array(large).T
    exponent = float(np.polyfit(np.log(cores), np.log(taken), 1)[0])
    yield Figure(f"{what}, exponent over {cores[0]:,.0f} to {cores[-1]:,.0f} cores", exponent, "")
    wanted = cores[-1] * log(cores[-1]) / (cores[0] * log(cores[0]))
    yield at_most(f"{what}, growth over that of n log n", taken[-1] / taken[0] / wanted, "", 1.2)


def measured(chips: int, *, whole: bool) -> Iterator[dict[str, Any]]:
    """Map one network in this process, then run it."""
    from nmcompile.mapper.bounds import network_bound
    from nmcompile.mapper.core_traffic import core_traffic
    from nmcompile.mapper.place import place_cores
    from nmcompile.passes.allocate import Allocate
    from nmcompile.passes.emit import Emit, Verify
    from nmcompile.passes.options import checked_options
    from nmcompile.passes.partition import PartitionLayers
    from nmcompile.passes.place import Place

    hardware = load_hardware("loihi1")
    graph = stack(int(SIDE * chips**0.5), whole=whole)
    warm_up()
    seconds: dict[str, float] = {}
    begin = time.perf_counter()

    def lap(what: str) -> None:
        nonlocal begin
        now = time.perf_counter()
        seconds[what] = now - begin
        print(f"{chips} chips, {what}: {seconds[what]:.3g} s", file=sys.stderr, flush=True)
        begin = time.perf_counter()

    partition = PartitionLayers(hardware).run(graph)
    lap("partition")
    found = {
        "cores": partition.n_cores,
        "chips": -(-partition.n_cores // hardware.chip.cores.value),
        "bound": network_bound(partition.problem).cores,
        "neurons": sum(layer.size for layer in graph.layers),
        "seconds": seconds,
    }
    if not whole:
        traffic = core_traffic(partition.problem, partition.choice, partition.packing)
        place_cores(traffic, hardware.boards[-1].chips, hardware)
        lap("place")
        yield {**found, "peak_mb": _peak_mb()}
        return
    begin = time.perf_counter()
    allocation = Allocate(hardware).run(partition)
    lap("fill tables")
    placement = Place(parse_target("loihi1")).run(allocation)
    lap("place")
    emit = Emit(options=checked_options(steps=STEPS), manifest={}, attachments={})
    program = emit.run(placement)
    Verify(hardware).run(program)
    lap("emit and check")
    yield {**found, "peak_mb": _peak_mb()}
    del partition, allocation, placement
    limit_memory(ROOM)
    yield {**run(graph, program, seconds, compare=chips <= COMPARED), "seconds": seconds}


def run(
    graph: DiscreteGraph, program: Any, seconds: dict[str, float], *, compare: bool
) -> dict[str, Any]:
    """Run a Program for a few steps."""
    from nmcompile.api import Emulator
    from nmcompile.backends.base import Probe
    from tools.bench.unpartitioned import unpartitioned

    begin = time.perf_counter()
    session = Emulator(jobs=1).load(program)
    seconds["load"] = time.perf_counter() - begin
    x = np.random.default_rng(1).random((1, *graph.encoder.input_shape), dtype=np.float32)
    session.run(x, 1)
    result = session.run(x, STEPS)
    seconds["a step"] = result.seconds / STEPS
    found: dict[str, Any] = {"run_mb": _peak_mb()}
    silent = [name for name, spikes in result.spikes.items() if not spikes.any()]
    if silent:
        raise RuntimeError(f"layers stay silent: {', '.join(silent)}")
    if compare:
        probes = [Probe(layer.name, "spikes") for layer in graph.layers]
        probed = session.run(x, STEPS, probes).probes
        wanted = unpartitioned(graph, x, STEPS)
        found["differing"] = sum(
            int(np.count_nonzero(probed[each] != wanted[each.layer])) for each in probes
        )
    return found


def warm_up() -> None:
    """Compile the kernels that placement uses, which takes long the first time of all."""
    from nmcompile.mapper.place import place_cores
    from nmcompile.mapper.traffic import Traffic

    hardware = load_hardware("loihi1")
    cores = 2 * hardware.chip.cores.value
    ring = np.arange(cores, dtype=np.int32)
    place_cores(Traffic(cores, ring, np.roll(ring, 1), np.ones(cores)), 2, hardware)


def stack(side: int, *, whole: bool, seed: int = 0) -> DiscreteGraph:
    """Convolutions over square images; weights are one number each unless `whole`."""
    rng = np.random.default_rng(seed)
    grid = (side, side, INPUTS)
    layers: list[DiscreteLayer] = []
    connections: list[DiscreteConnection] = []
    last = "input"
    for number, (kernel, channels) in enumerate(LAYERS, start=1):
        name, pad = f"conv{number}", kernel // 2
        shape = (kernel, kernel, grid[2], channels)
        weights = np.broadcast_to(np.int16(2), shape)
        if whole:
            drawn = rng.integers(-LARGEST_WEIGHT, LARGEST_WEIGHT + 1, shape)
            weights = (2 * drawn).astype(np.int16)
        view = np.arange(prod(grid), dtype=np.int32).reshape(grid)
        window = Window((kernel, kernel), padding=((pad, pad), (pad, pad)))
        connections.append(
            DiscreteConnection(
                Connection(last, name, view, weights, window),
                exponent=0,
                weight_bits=8,
                sign_mode=MIXED,
            )
        )
        grid = (side, side, channels)
        layers.append(_layer(name, grid, number))
        last = name
    size = prod(grid)
    return DiscreteGraph(
        name=f"stack-{side}",
        dt_s=0.001,
        encoder=_encoder((side, side, INPUTS)),
        layers=tuple(layers),
        connections=tuple(connections),
        read_kind="counts",
        read_layers=(last,),
        read_weights=np.broadcast_to(np.float32(1 / size), (size, 1)),
        read_bias=np.zeros(1, np.float32),
    )


def _layer(name: str, grid: tuple[int, int, int], depth: int) -> DiscreteLayer:
    size = prod(grid)
    return DiscreteLayer(
        name=name,
        shape=grid,
        decay_u=1024,
        decay_v=256,
        refractory=1,
        threshold_mantissa=300,
        bias_mantissa=np.broadcast_to(np.int16(40), size),
        bias_exponent=np.broadcast_to(np.uint8(5), size),
        initial_voltage=np.broadcast_to(np.int32(0), size),
        vmin_exponent=23,
        vmax_exponent=7,
        voltage_scale=1.0,
        amplitude=1.0,
        depth=depth,
    )


def _encoder(shape: tuple[int, int, int]) -> Encoder:
    """A neuron for each number of an image, whose current that number is."""
    passing = Encoder.passing("input", prod(shape), input_scale=1000.0, threshold=1000)
    return replace(passing, input_shape=shape, shape=shape)


if __name__ == "__main__":
    main()
