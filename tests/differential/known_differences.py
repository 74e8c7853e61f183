"""Smallest Programs in which a reference emulator is known to differ from the chip's rules.

Each has one compartment, and mostly one host neuron, that fires in every step. What the
reference does is recorded like that of random Programs; docs/explanation/emulators.md
explains it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from dialects import NENGO_LOIHI
from numpy.typing import NDArray
from random_programs import ENCODER_THRESHOLD, digest, random_program
from recordings import Recording, load_recordings, save_recordings
from references import REFERENCES, Reference
from traces import difference, emulator_trace

from nmcompile.chip.core import (
    DISCRETE,
    Blocks,
    Compartments,
    Core,
    Formats,
    InputAxons,
    OutputAxons,
    Profiles,
    Synapses,
    Thresholds,
)
from nmcompile.chip.program import Injection, Program

STEPS = 12
HIGHEST = 131071


@dataclass(frozen=True)
class Known:
    """A Program and what is different in it.

    Attributes
    ----------
    name : of the difference
    reference : that differs
    message : the first difference, as `traces.difference` says it
    synapses : (target, mantissa, delay) of the row that the host's axon points at
    hosts : neurons of the host, all with the same axon
    bias : (mantissa, exponent)
    form : (weight exponent, weight bits, sign mode)
    twin : arguments of the reference's tracer
    """

    name: str
    reference: str
    message: str
    synapses: tuple[tuple[int, int, int], ...] = ((0, 100, 0),)
    hosts: int = 1
    decay_u: int = 4095
    decay_v: int = 0
    refractory: int = 1
    threshold: int = HIGHEST
    bias: tuple[int, int] = (0, 0)
    vmin_exponent: int = 23
    form: tuple[int, int, int] = (0, 8, 1)
    twin: dict[str, Any] = field(default_factory=dict)

    def program(self) -> tuple[Program, NDArray[np.float64]]:
        """The Program, and one sample for it."""
        exponent, bits, mode = self.form
        delay_bits = max(delay for *_, delay in self.synapses).bit_length()
        core = Core(
            profiles=Profiles.from_rows([(self.decay_u, self.decay_v, self.refractory, 0)]),
            thresholds=Thresholds.from_rows([(self.threshold,)]),
            formats=Formats.from_rows([(exponent, bits, mode, 6, delay_bits, 0)]),
            compartments=Compartments.from_rows([(0, 0, *self.bias, -1, 0, 0)]),
            blocks=Blocks.from_rows([(0, 1, len(self.synapses), 0)]),
            synapses=Synapses.from_rows(self.synapses),
            input_axons=InputAxons.from_rows([(DISCRETE, 0, 0)]),
            output_axons=OutputAxons.empty(),
            vmin_exponent=self.vmin_exponent,
        )
        pattern, _ = random_program(0, NENGO_LOIHI)
        only = np.zeros(1, np.int32)
        layer = replace(pattern.layers[0], name="only", shape=(1,), core=only, compartment=only)
        hosts = np.arange(self.hosts, dtype=np.int32)
        passing_on = replace(
            pattern.encoder.layers[0],
            view=hosts.reshape(-1, 1, 1),
            bias=np.zeros(self.hosts, np.int64),
        )
        shape = (self.hosts,)
        encoder = replace(pattern.encoder, input_shape=shape, shape=shape, layers=(passing_on,))
        read_out = replace(pattern.read_out, layers=("only",), weights=np.ones((1, 1), np.float32))
        program = replace(
            pattern,
            cores=(core,),
            encoder=encoder,
            injection=Injection.from_rows([(host, 0, 0, 0) for host in hosts.tolist()]),
            layers=(layer,),
            read_out=read_out,
            steps=STEPS,
            manifest={"convolutions": [], "channels_last": [True]},
        )
        return program, np.full((1, self.hosts), float(ENCODER_THRESHOLD))


KNOWN = (
    Known(
        "a row with two synapses for one compartment",
        "nengo-loihi",
        "step 1, core 0, compartment 0: u is 19200, nengo-loihi's 12800",
        synapses=((0, 100, 0), (0, 200, 0)),
    ),
    Known(
        "no delays",
        "nengo-loihi",
        "step 1, core 0, compartment 0: u is 0, nengo-loihi's 6400",
        synapses=((0, 100, 2),),
    ),
    Known(
        "host spikes arrive at once",
        "brian2-loihi",
        "step 0, core 0, compartment 0: u is 0, Brian2Loihi's 6400",
        twin={"lag": 0},
    ),
    Known(
        "decay of the current counts from 1",
        "brian2-loihi",
        "step 2, core 0, compartment 0: u is 11200, Brian2Loihi's 11201",
        decay_u=1023,
        twin={"decay_offset": 0},
    ),
    Known(
        "voltage has no limit",
        "brian2-loihi",
        "step 5, core 0, compartment 0: v is -8388607, Brian2Loihi's -10403840",
        synapses=((0, -254, 0),),
        form=(7, 8, 1),
    ),
    Known(
        "weight is limited on both sides",
        "brian2-loihi",
        "step 1, core 0, compartment 0: u is -2097152, Brian2Loihi's -2097088",
        synapses=((0, -256, 0),),
        form=(7, 8, 1),
    ),
    Known(
        "accumulator has no limit",
        "brian2-loihi",
        "step 1, core 0, compartment 0: u is -32768, Brian2Loihi's 4161536",
        synapses=((0, 254, 0), (0, 254, 0)),
        form=(7, 8, 1),
    ),
    Known(
        "current has no limit",
        "brian2-loihi",
        "step 5, core 0, compartment 0: u is -6378456, Brian2Loihi's 10398760",
        synapses=((0, 254, 0),),
        form=(7, 8, 1),
        decay_u=0,
        decay_v=4095,
    ),
    Known(
        "no bias",
        "brian2-loihi",
        "step 0, core 0, compartment 0: v is 100, Brian2Loihi's 0",
        bias=(100, 0),
    ),
    Known(
        "no refractory period",
        "lava",
        "step 2, core 0, compartment 0: spikes is 0, Lava's 1",
        refractory=3,
        threshold=50,
    ),
    Known(
        "negative exponents shift sums",
        "lava",
        "step 1, core 0, compartment 0: u is 0, Lava's 64",
        synapses=((0, 2, 0),),
        hosts=2,
        form=(-2, 8, 1),
    ),
    Known(
        "accumulator has no limit",
        "lava",
        "step 1, core 0, compartment 0: u is -32768, Lava's 4161536",
        synapses=((0, 254, 0), (0, 254, 0)),
        form=(7, 8, 1),
    ),
    Known(
        "current plus bias has no limit",
        "lava",
        "step 4, core 0, compartment 0: v is 7931381, Lava's -8388607",
        synapses=((0, -254, 0),),
        form=(7, 8, 1),
        decay_u=0,
        decay_v=4095,
        bias=(-4095, 7),
    ),
    Known(
        "current of 2^23 does not wrap around",
        "lava",
        "step 5, core 0, compartment 0: u is -8388608, Lava's 8388608",
        synapses=((0, 206, 0), (0, 6, 4)),
        form=(7, 8, 2),
        decay_u=23,
    ),
    Known(
        "one voltage limit",
        "lava",
        "step 1, core 0, compartment 0: v is -31, Lava's -6400",
        synapses=((0, -100, 0),),
        vmin_exponent=5,
    ),
)


def known_of(reference: str) -> list[Known]:
    """Those of a reference, in the order in which they are recorded."""
    return [known for known in KNOWN if known.reference == reference]


def path_of(reference: str) -> Path:
    """Of the recording."""
    return REFERENCES[reference].path.with_name(f"{reference.replace('-', '_')}_known.npz")


def trace_known(reference: Reference) -> list[Recording]:
    """What a reference, which must be installed, does with its known differences."""
    made = []
    for number, known in enumerate(known_of(reference.name)):
        program, inputs = known.program()
        trace = reference.tracer()(program, inputs, **known.twin)
        made.append(Recording.of(number, digest(program, inputs), program, trace))
    return made


def record_known(reference: Reference) -> None:
    """Write the recording, and print the messages to hold here."""
    recordings = trace_known(reference)
    save_recordings(path_of(reference.name), recordings)
    for known, recorded in zip(known_of(reference.name), recordings, strict=True):
        print(f"{known.name}: {first_difference(known, recorded)}")


def recorded_known(reference: str) -> list[Recording]:
    """What was recorded."""
    return load_recordings(path_of(reference), STEPS)


def first_difference(known: Known, recorded: Recording) -> str | None:
    """Between our emulator and what a reference did."""
    program, inputs = known.program()
    name = REFERENCES[known.reference].dialect.reference
    return difference(program, emulator_trace(program, inputs), recorded.trace(program), name)
