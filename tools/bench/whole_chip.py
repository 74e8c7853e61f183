"""Programs that fill whole chips, for measuring how the emulator copes with them.

Every core has all its compartments, each a neuron with a synaptic current, a leak and a refractory
period, kept at about 10 Hz by its bias; weights add up to about nothing. The synaptic memory is
full, either of long rows that one neuron each uses, or of blocks that several populations share.

    python -m tools.bench.whole_chip {stored,shared} --chips 1 -o chip.nmc
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from nmcompile.chip.arithmetic import MIXED, THRESHOLD_SHIFT, mantissa_step
from nmcompile.chip.bill import block_words
from nmcompile.chip.core import (
    DISCRETE,
    POP16,
    Blocks,
    Compartments,
    Core,
    Formats,
    InputAxons,
    IntArray,
    OutputAxons,
    Profiles,
    Synapses,
    Thresholds,
)
from nmcompile.chip.program import Encoder, HostConv, Injection, Layer, Program, ReadOut
from nmcompile.chip.verify import verify_program
from nmcompile.hardware import HardwareModel, load_hardware

WEIGHT_BITS = 8
LARGEST_WEIGHT = 100
#: Current loses 1/5 a step, voltage 1/100; a neuron rests for a step after its spike.
DECAY_U, DECAY_V, REFRACTORY = 819, 41, 2
LEAK = DECAY_V / 4096
THRESHOLD_MANTISSA = 15_000
BIAS_EXPONENT = 6
#: Rates in Hz that biases alone would give, spread evenly; and those of a chip busy with events.
RATES, BUSY_RATES = (3.25, 16.75), (50.0, 150.0)
#: Populations that share a block have up to so many neurons, and rows so long.
ATOMS, SHARED_LENGTH = 32, 772
#: Axons from populations into each core.
SHARED_AXONS = 21


@dataclass(frozen=True)
class Size:
    """How large a whole-chip Program is; `cores` and `compartments` below the chip's for tests."""

    chips: int = 1
    cores: int = 128
    compartments: int = 1024

    @property
    def neurons(self) -> int:
        """Neurons on all chips."""
        return self.chips * self.cores * self.compartments


def whole_chip(
    kind: str, size: Size, *, rates: tuple[float, float] = RATES, seed: int = 0
) -> Program:
    """A verified Program.

    Parameters
    ----------
    kind : "stored" for rows that one neuron each uses, "shared" for blocks that several
        populations use, each on other compartments
    rates : lowest and highest in Hz that the biases alone would give
    """
    hardware = load_hardware("loihi1")
    rng = np.random.default_rng(seed)
    places = size.chips * size.cores
    make = {"stored": _stored, "shared": _shared}[kind]
    inputs, outputs = make(size, hardware, rng)
    cores = tuple(
        Core(
            profiles=Profiles.from_rows([(DECAY_U, DECAY_V, REFRACTORY, 0)]),
            thresholds=Thresholds.from_rows([(THRESHOLD_MANTISSA,)]),
            formats=Formats.from_rows([(0, WEIGHT_BITS, MIXED, 0, 0, 1)]),
            compartments=_compartments(size.compartments, number, kind, rates, rng),
            blocks=inputs[number][0],
            synapses=inputs[number][1],
            input_axons=inputs[number][2],
            output_axons=outputs[number],
            chip=number // size.cores,
            position=number % size.cores,
        )
        for number in range(places)
    )
    board = min((b for b in hardware.boards if b.chips >= size.chips), key=lambda b: b.chips)
    neurons = np.arange(size.neurons, dtype=np.int32)
    layer = Layer(
        "neurons",
        (size.neurons,),
        neurons // size.compartments,
        neurons % size.compartments,
        amplitude=1.0,
        voltage_scale=1.0,
        depth=1,
    )
    program = Program(
        target=f"{hardware.name}:{board.name}",
        cores=cores,
        encoder=_silent_encoder(),
        injection=Injection.empty(),
        layers=(layer,),
        read_out=ReadOut(
            "counts",
            (layer.name,),
            np.full((size.neurons, 1), 1 / size.neurons, np.float32),
            np.zeros(1, np.float32),
        ),
        steps=1000,
        dt_s=0.001,
        manifest={"kind": kind, "seed": seed},
    )
    verify_program(program, hardware)
    return program


def stored_synapses(program: Program) -> int:
    """Synapses in all cores' memories."""
    return sum(len(core.synapses) for core in program.cores)


def effective_synapses(program: Program) -> int:
    """Pairs of a neuron and a compartment it acts on, shared synapses counted for each use."""
    total = 0
    for core in program.cores:
        out = core.output_axons
        members = np.bincount(core.compartments.population + 1, minlength=len(core.compartments))
        for kind, source, target, axon in zip(
            out.kind.tolist(),
            out.source.tolist(),
            out.core.tolist(),
            out.axon.tolist(),
            strict=True,
        ):
            into = program.cores[target]
            length = int(into.blocks.length[into.input_axons.block[axon]])
            total += length * (1 if kind == DISCRETE else int(members[source + 1]))
    return total


Inputs = list[tuple[Blocks, Synapses, InputAxons]]


def _stored(
    size: Size, hardware: HardwareModel, rng: np.random.Generator
) -> tuple[Inputs, list[OutputAxons]]:
    """Rows to all compartments of a core until its memory is full, each from one neuron."""
    places, length = size.chips * size.cores, size.compartments
    words = hardware.core.memory_words.value // block_words(length, WEIGHT_BITS, hardware)
    rows = min(words, size.compartments)
    inputs = [
        (
            Blocks.of(
                start=np.arange(rows) * length,
                atoms=np.ones(rows),
                length=np.full(rows, length),
                format=np.zeros(rows),
            ),
            _synapses(rows, length, rng),
            InputAxons.of(kind=np.zeros(rows), block=np.arange(rows), base=np.zeros(rows)),
        )
        for _ in range(places)
    ]
    sources = rng.choice(size.neurons, (places, rows), replace=False)
    return inputs, _outputs(sources, DISCRETE, size.compartments, places)


def _shared(
    size: Size, hardware: HardwareModel, rng: np.random.Generator
) -> tuple[Inputs, list[OutputAxons]]:
    """Blocks of all atoms until the memory is full; populations use them from other bases on."""
    places = size.chips * size.cores
    length = min(SHARED_LENGTH, size.compartments)
    words = block_words(ATOMS * length, WEIGHT_BITS, hardware)
    blocks = hardware.core.memory_words.value // words
    populations = size.neurons // ATOMS
    axons = min(SHARED_AXONS, populations // places)
    step = hardware.axon.pop16_base_multiple.value
    furthest = min(hardware.axon.base_max.value, size.compartments - length) // step
    inputs = [
        (
            Blocks.of(
                start=np.arange(blocks) * ATOMS * length,
                atoms=np.full(blocks, ATOMS),
                length=np.full(blocks, length),
                format=np.zeros(blocks),
            ),
            _synapses(blocks * ATOMS, length, rng),
            InputAxons.of(
                kind=np.full(axons, POP16),
                block=np.arange(axons) % blocks,
                base=step * rng.integers(0, furthest + 1, axons),
            ),
        )
        for _ in range(places)
    ]
    sources = rng.choice(populations, (places, axons), replace=False)
    return inputs, _outputs(sources, POP16, size.compartments // ATOMS, places)


def _outputs(sources: IntArray, kind: int, per_core: int, places: int) -> list[OutputAxons]:
    """Output axons of every core; row c of `sources` numbers what goes to core c's axons."""
    target, axon = np.indices(sources.shape).reshape(2, -1)
    order = np.argsort(sources.ravel(), kind="stable")
    core, source = np.divmod(sources.ravel()[order], per_core)
    edges = np.searchsorted(core, np.arange(places + 1))
    return [
        OutputAxons.of(
            kind=np.full(stop - start, kind),
            source=source[start:stop],
            core=target[order[start:stop]],
            axon=axon[order[start:stop]],
        )
        for start, stop in pairwise(edges)
    ]


def _synapses(rows: int, length: int, rng: np.random.Generator) -> Synapses:
    """Rows of consecutive targets with weights that are positive and negative alike."""
    step = mantissa_step(WEIGHT_BITS, MIXED)
    most = LARGEST_WEIGHT // step
    return Synapses(
        target=np.tile(np.arange(length, dtype=np.uint16), rows),
        mantissa=rng.integers(-most, most + 1, rows * length, dtype=np.int16) * np.int16(step),
        delay=np.zeros(rows * length, np.uint8),
    )


def _compartments(
    count: int, core: int, kind: str, rates: tuple[float, float], rng: np.random.Generator
) -> Compartments:
    period = 1000 / rng.uniform(*rates, count)
    drive = (
        (THRESHOLD_MANTISSA << THRESHOLD_SHIFT)
        * LEAK
        / (1 - (1 - LEAK) ** (period - REFRACTORY + 1))
    )
    number = np.arange(count)
    shared = kind == "shared"
    return Compartments.of(
        profile=np.zeros(count),
        threshold=np.zeros(count),
        bias_mantissa=np.rint(drive / 2**BIAS_EXPONENT),
        bias_exponent=np.full(count, BIAS_EXPONENT),
        population=number // ATOMS if shared else np.full(count, -1),
        atom=number % ATOMS if shared else np.zeros(count),
        neuron=core * count + number,
    )


def _silent_encoder() -> Encoder:
    """An encoder of one neuron whose spikes go nowhere."""
    nothing = HostConv(
        view=np.zeros((1, 1, 1), np.int32),
        weights=np.zeros((1, 1, 1, 1), np.int32),
        bias=np.zeros(1, np.int64),
        stride=(1, 1),
        padding=((0, 0), (0, 0)),
        dilation=(1, 1),
        groups=1,
        ceiling=1,
    )
    return Encoder("input", (1,), (1,), 1.0, (nothing,), 1, "conv")


def main() -> None:
    """Write a Program to a file."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.whole_chip")
    parser.add_argument("kind", choices=("stored", "shared"))
    parser.add_argument("--chips", type=int, default=1)
    parser.add_argument("--busy", action="store_true", help="about 100 Hz instead of 10")
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    program = whole_chip(
        options.kind, Size(options.chips), rates=BUSY_RATES if options.busy else RATES
    )
    program.save(options.out)
    print(
        f"{options.out}: {len(program.cores)} cores, {stored_synapses(program):,} stored synapses, "
        f"{effective_synapses(program):,} effective"
    )


if __name__ == "__main__":
    main()
