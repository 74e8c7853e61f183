"""Random Programs, written straight into the chip's tables, for comparing emulators.

A Program depends on its seed and its dialect alone: draws are the same with every NumPy. No
compiler pass takes part, so registers take values that no pass would choose. A dialect leaves
out what its reference has no equal for; noise none has.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from convolution import convolve
from dialects import Dialect
from dice import Dice
from draft import Draft, random_draft
from numpy.typing import NDArray
from wiring import connect, inject

from nmcompile.chip.core import REGISTERS, TABLES
from nmcompile.chip.program import Encoder, Injection, Layer, Program, ReadOut

#: Spikes of an encoder neuron whose current is this come in every step.
ENCODER_THRESHOLD = 1000
#: Synapse formats that a core of Loihi 1 has; a convolution adds one.
MOST_FORMATS = 7


def random_program(seed: int, dialect: Dialect) -> tuple[Program, NDArray[np.float64]]:
    """A Program and one sample, (1, encoder neurons), for it.

    The manifest's `convolutions` say which connections are convolutions (see `convolution`),
    its `channels_last` how the channels of each core lie.
    """
    dice = Dice(seed)
    drafts: list[Draft] = []
    neuron = 0
    for _ in range(dice.one(1, dialect.cores)):
        drafts.append(random_draft(dice, dialect, neuron))
        neuron += drafts[-1].size
    neurons = dice.one(4, 24)
    injection: list[tuple[int, ...]] = []
    convolutions: list[dict[str, Any]] = []
    for number, draft in enumerate(drafts):
        if number == 0 or dice.often(1, 2):
            injection += inject(dice, dialect, neurons, number, draft)
        if number > 0:
            convolutions += _link(dice, dialect, drafts, number - 1, number)
    for _ in range(dice.one(0, 3)):
        source, target = (dice.one(0, len(drafts) - 1) for _ in range(2))
        convolutions += _link(dice, dialect, drafts, source, target)
    positions = dice.order(128)
    cores = [draft.core(int(positions[k]), dice.one(0, 1)) for k, draft in enumerate(drafts)]
    layers = tuple(
        Layer(
            name=f"core{number}",
            shape=draft.shape,
            core=np.full(draft.size, number, np.int32),
            compartment=np.arange(draft.size, dtype=np.int32),
            amplitude=1.0,
            voltage_scale=1.0,
            depth=1,
        )
        for number, draft in enumerate(drafts)
    )
    program = Program(
        target="loihi1:kapoho-bay",
        cores=tuple(cores),
        encoder=_encoder(neurons),
        injection=Injection.from_rows(sorted(injection)),
        layers=layers,
        read_out=ReadOut(
            kind="counts",
            layers=tuple(layer.name for layer in layers),
            weights=np.ones((neuron, 1), np.float32),
            bias=np.zeros(1, np.float32),
        ),
        steps=dialect.steps,
        dt_s=0.001,
        manifest={
            "convolutions": convolutions,
            "channels_last": [draft.channels_last for draft in drafts],
        },
    )
    inputs = dice.many(0, ENCODER_THRESHOLD, neurons)
    inputs[dice.one(0, neurons - 1)] = ENCODER_THRESHOLD
    return program, inputs[None].astype(np.float64)


def digest(program: Program, inputs: NDArray[np.float64]) -> str:
    """A short hash of all that the chip and its inputs are told; empty tables are as none."""
    state = hashlib.sha256()
    for core in program.cores:
        state.update(repr([getattr(core, name) for name in REGISTERS]).encode())
        for name in TABLES:
            if name == "learning" and not len(core.learning):
                continue  # The fixtures are older than this table.
            table = getattr(core, name)
            if len(table):
                state.update(repr((name, [c.tolist() for c in table.columns().values()])).encode())
    for column in program.injection.columns().values():
        state.update(repr(column.tolist()).encode())
    state.update(repr((inputs.tolist(), program.encoder.threshold)).encode())
    return state.hexdigest()[:16]


def _link(
    dice: Dice, dialect: Dialect, drafts: list[Draft], source: int, target: int
) -> list[dict[str, Any]]:
    """Connect two cores, by a convolution where both are grids, half of the time."""
    grids = drafts[source].grid and drafts[target].grid
    if grids and len(drafts[target].formats) < MOST_FORMATS and dice.often(1, 2):
        made = convolve(dice, dialect, drafts[source], target, drafts[target])
        return [{"source": source, **made}]
    connect(dice, dialect, drafts[source], target, drafts[target])
    return []


def _encoder(neurons: int) -> Encoder:
    """Passes the inputs on as currents."""
    return Encoder.passing("encoder", neurons, input_scale=1.0, threshold=ENCODER_THRESHOLD)
