"""Cores written table by table, and Programs of them, with an encoder of a few regular neurons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from nmcompile.chip.arithmetic import MIXED
from nmcompile.chip.core import (
    DISCRETE,
    Blocks,
    Compartments,
    Core,
    Formats,
    InitialVoltages,
    InputAxons,
    OutputAxons,
    Profiles,
    Synapses,
    Thresholds,
)
from nmcompile.chip.program import Encoder, Injection, Layer, Program, ReadOut

Row = tuple[int, ...]
#: Synapses of an atom: (target, mantissa, delay).
Synapse = tuple[int, int, int]

#: Current of an encoder neuron that fires in every step.
FULL = 1000
#: Currents of the encoder's neurons in the first sample; the second takes them backwards.
CURRENTS = (1000, 700, 500, 350, 200, 100, 50, 0)
STEPS = 48


@dataclass
class Sketch:
    """Rows of one core's tables; `number` is the core's in the Program."""

    number: int
    chip: int = 0
    position: int = 0
    registers: dict[str, int] = field(default_factory=dict)
    profiles: list[Row] = field(default_factory=list)
    thresholds: list[Row] = field(default_factory=list)
    formats: list[Row] = field(default_factory=list)
    compartments: list[Row] = field(default_factory=list)
    initial: list[Row] = field(default_factory=list)
    blocks: list[Row] = field(default_factory=list)
    synapses: list[Row] = field(default_factory=list)
    input_axons: list[Row] = field(default_factory=list)
    output_axons: list[Row] = field(default_factory=list)

    def neuron(
        self,
        decay_u: int = 4095,
        decay_v: int = 0,
        refractory: int = 1,
        threshold: int = 1000,
        bias: tuple[int, int] = (0, 0),
        population: tuple[int, int] = (-1, 0),
        voltage: int = 0,
    ) -> int:
        """Add a compartment, with a profile and a threshold profile if there are none such."""
        profile = self._index(self.profiles, (decay_u, decay_v, refractory, 0))
        row = self._index(self.thresholds, (threshold,))
        self.compartments.append((profile, row, *bias, *population))
        if voltage:
            self.initial.append((len(self.compartments) - 1, voltage))
        return len(self.compartments) - 1

    def format(
        self,
        exponent: int = 0,
        bits: int = 8,
        mode: int = MIXED,
        dense: int = 0,
        delay_bits: int = 0,
    ) -> int:
        """The number of a synapse format, added if there is none such."""
        return self._index(self.formats, (exponent, bits, mode, 8, delay_bits, dense))

    def block(self, form: int, *atoms: Sequence[Synapse]) -> int:
        """Add a block with a row of synapses for each atom."""
        self.blocks.append((len(self.synapses), len(atoms), len(atoms[0]), form))
        for row in atoms:
            assert len(row) == len(atoms[0])
            self.synapses += [tuple(each) for each in row]
        return len(self.blocks) - 1

    def axon(self, block: int, kind: int = DISCRETE, base: int = 0) -> int:
        """Add an input axon."""
        self.input_axons.append((kind, block, base))
        return len(self.input_axons) - 1

    def send(self, source: int, core: Sketch, axon: int, kind: int = DISCRETE) -> None:
        """Add an output axon of a compartment, or of a population."""
        self.output_axons.append((kind, source, core.number, axon))

    @staticmethod
    def _index(rows: list[Row], row: Row) -> int:
        if row not in rows:
            rows.append(row)
        return rows.index(row)

    def core(self, first: int) -> Core:
        """The core, whose neurons are numbered from `first` on."""
        numbered = [(*row, first + k) for k, row in enumerate(self.compartments)]
        return Core(
            profiles=Profiles.from_rows(self.profiles),
            thresholds=Thresholds.from_rows(self.thresholds),
            formats=Formats.from_rows(self.formats),
            compartments=Compartments.from_rows(numbered),
            blocks=Blocks.from_rows(self.blocks),
            synapses=Synapses.from_rows(self.synapses),
            input_axons=InputAxons.from_rows(self.input_axons),
            output_axons=OutputAxons.from_rows(self.output_axons),
            initial_voltages=InitialVoltages.from_rows(self.initial),
            chip=self.chip,
            position=self.position,
            **self.registers,
        )


@dataclass
class Drawing:
    """Cores, and the encoder's axons into them."""

    cores: list[Sketch] = field(default_factory=list)
    injections: list[Row] = field(default_factory=list)

    def add(self, chip: int = 0, position: int | None = None, **registers: int) -> Sketch:
        """Another core."""
        number = len(self.cores)
        place = number if position is None else position
        self.cores.append(Sketch(number, chip, place, registers))
        return self.cores[-1]

    def inject(self, neuron: int, core: Sketch, axon: int, atom: int = 0) -> None:
        """Send the spikes of an encoder neuron to an input axon."""
        self.injections.append((neuron, core.number, axon, atom))

    def feed(self, core: Sketch, form: int, weight: int, targets: Sequence[int]) -> None:
        """Send encoder neuron k to the k-th compartment, round and round, with one weight."""
        for k, target in enumerate(targets):
            axon = core.axon(core.block(form, [(target, weight, 0)]))
            self.inject(k % len(CURRENTS), core, axon)

    def program(self, name: str, feature: str, target: str = "loihi1:kapoho-bay") -> Program:
        """The Program; each core is a layer, and spikes of all are counted."""
        starts = np.cumsum([0, *(len(each.compartments) for each in self.cores)]).tolist()
        layers = tuple(
            Layer(
                name=f"core{each.number}",
                shape=(len(each.compartments),),
                core=np.full(len(each.compartments), each.number, np.int32),
                compartment=np.arange(len(each.compartments), dtype=np.int32),
                amplitude=1.0,
                voltage_scale=1.0,
                depth=1,
            )
            for each in self.cores
        )
        return Program(
            target=target,
            cores=tuple(each.core(start) for each, start in zip(self.cores, starts, strict=False)),
            encoder=Encoder.passing("encoder", len(CURRENTS), input_scale=1.0, threshold=FULL),
            injection=Injection.from_rows(sorted(self.injections)),
            layers=layers,
            read_out=ReadOut(
                kind="counts",
                layers=tuple(layer.name for layer in layers),
                weights=np.ones((starts[-1], 1), np.float32),
                bias=np.zeros(1, np.float32),
            ),
            steps=STEPS,
            dt_s=0.001,
            manifest={"conformance": {"name": name, "feature": feature}},
        )


def samples() -> np.ndarray:
    """(2, encoder neurons) inputs: the second sample shows whether the state was reset."""
    return np.array([CURRENTS, CURRENTS[::-1]], np.float32)
