"""Programs of all kinds by number, with samples for them."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
from dialects import DIALECTS
from numpy.typing import NDArray
from random_programs import random_program as random_tables

from nmcompile.chip.program import Program
from nmcompile.errors import FitError
from nmcompile.hardware import Target, parse_target
from nmcompile.passes.allocate import Allocate
from nmcompile.passes.base import NmcompileWarning
from nmcompile.passes.emit import Emit
from nmcompile.passes.options import checked_options
from nmcompile.passes.partition import PartitionLayers
from nmcompile.passes.pipeline import compile_network
from nmcompile.passes.place import Place
from tests.chip.programs import CORES_OF_300, compiled, samples
from tests.mapper.random_graphs import random_chip, random_graph
from tests.networks import random_network
from tests.passes import random_time

STEPS = 12
#: Kinds of case; a number modulo this says which one.
KINDS = 6


def case(number: int) -> tuple[Program, NDArray[np.float64]]:
    """Tables drawn at random (half), layers that the mapper cut, networks from all passes."""
    kind = number % KINDS
    if kind < len(DIALECTS):
        return random_tables(number, list(DIALECTS.values())[kind])
    if kind == len(DIALECTS):
        return _mapped(number)
    if kind == len(DIALECTS) + 1:
        return _over_time(number)
    target = CORES_OF_300 if number % 4 else None
    program = compiled(random_network(number), target, steps=STEPS)
    return program, samples(program, 2, number).astype(np.float64)


def _mapped(number: int) -> tuple[Program, NDArray[np.float64]]:
    """Odd layers on a chip of small cores; the next ones that fit."""
    for seed in range(1000 * number, 1000 * number + 100):
        graph, hardware = random_graph(seed), random_chip(seed)
        if graph is None or hardware.name != "loihi1":
            continue
        if hardware.axon.pop16_base_multiple.value % 4:
            continue  # A pop16 entry counts its base in fours, whatever a model says.
        try:
            partition = PartitionLayers(hardware).run(graph)
        except FitError:
            continue
        place = Place(Target(hardware=hardware, board=hardware.largest_board))
        placed = place.run(Allocate(hardware).run(partition))
        emit = Emit(options=checked_options(steps=STEPS), manifest={}, attachments={})
        program = emit.run(placed)
        x = np.random.default_rng(seed).random((2, *program.encoder.input_shape))
        return program, x
    raise AssertionError("no random graph fits")


def _over_time(number: int) -> tuple[Program, NDArray[np.float64]]:
    """Loops, delays and shortcuts, with spikes given as frames."""
    rng = np.random.default_rng(number)
    network = random_time.random_network(rng, images=number % 4 == 0)
    x = random_time.random_spikes(rng, network, STEPS)[:2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NmcompileWarning)
        options = checked_options(steps=STEPS, encoder="on")
        program = compile_network(network, parse_target("loihi1"), options, x)
    return program, x.astype(np.float64)


def ring(chips: int, cores: int) -> tuple[Program, NDArray[np.float64]]:
    """So many chips with so many cores each, each core spiking into the next one.

    Every core is core 0 of a random Program, without axons but for those of the ring.
    """
    program, x = random_tables(3, DIALECTS["nengo-loihi"])
    first = program.cores[0]
    total = chips * cores
    own = program.injection.core == 0
    targets = np.flatnonzero(first.input_axons.kind == 0)
    assert len(targets)
    size = len(first.compartments)
    made = []
    for number in range(total):
        out = type(first.output_axons).of(
            kind=np.zeros(size),
            source=np.arange(size),
            core=np.full(size, (number + 1) % total),
            axon=targets[np.arange(size) % len(targets)],
        )
        neuron = number * size + np.arange(size)
        made.append(
            replace(
                first,
                chip=number // cores,
                position=number % cores,
                output_axons=out,
                compartments=replace(first.compartments, neuron=neuron.astype(np.int32)),
            )
        )
    layer = replace(
        program.layers[0],
        name="ring",
        shape=(total * size,),
        core=np.repeat(np.arange(total), size).astype(np.int32),
        compartment=np.tile(np.arange(size), total).astype(np.int32),
    )
    injection = type(program.injection)(
        **{name: values[own] for name, values in program.injection.columns().items()}
    )
    read = replace(
        program.read_out, layers=("ring",), weights=np.ones((total * size, 1), np.float32)
    )
    whole = replace(
        program,
        target="loihi1:nahuku-32",
        cores=tuple(made),
        layers=(layer,),
        injection=injection,
        read_out=read,
    )
    return whole, x
