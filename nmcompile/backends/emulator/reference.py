"""The chip, one time step at a time, in plain Python: slow, and meant to be read.

This is the emulator's twin. It walks the Program's own tables with the rules of
`chip.arithmetic`, compartment by compartment and axon by axon, and shares no code with the
kernels; property tests hold the two equal.

One step of the whole chip:

1. Where synapses learn, the traces of their axons take the spikes that came, and the weights
   change with the trace and with the error that the host sent for their compartment.
2. Every compartment takes what its dendritic accumulator has gathered, updates its current and
   its voltage, and fires if the voltage is above its threshold.
3. Every spike goes out through the output axons of its compartment (discrete) or population,
   to an input axon of some core. That axon points at a block; the spike's atom selects a row
   of the block; each synapse of the row adds its weight to the accumulator of the compartment
   `base + target`, for the step after the next `delay` steps.
4. Spikes of the host's encoder enter by the input axons that the injection table names, and
   take effect one step later as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip import arithmetic
from nmcompile.chip.arithmetic import ACCUMULATOR_BITS, CURRENT_BITS
from nmcompile.chip.core import DISCRETE, Core
from nmcompile.chip.program import Program
from nmcompile.host.encoder import frame_currents
from nmcompile.ir.nodes import FloatArray


@dataclass
class CompartmentState:
    """What a compartment remembers from step to step."""

    u: int = 0
    v: int = 0
    refractory: int = 0
    spiked: bool = False


@dataclass
class TraceState:
    """The presynaptic trace of an axon that learns, and whether a spike came since its epoch.

    `source` numbers the neuron that the axon comes from; below -1 the encoder's.
    """

    source: int
    x: int = 0
    spiked: bool = False


@dataclass
class CoreState:
    """A core's compartments and weights, and its accumulators for the steps to come.

    ``arriving[step][compartment]`` is what has been gathered for that step; `traces` has one
    entry for each block that learns.
    """

    compartments: list[CompartmentState]
    mantissas: list[int]
    traces: dict[int, TraceState]
    arriving: dict[int, dict[int, int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )


def _initial_states(core: Core) -> list[CompartmentState]:
    states = [CompartmentState() for _ in range(len(core.compartments))]
    table = core.initial_voltages
    for compartment, voltage in zip(table.compartment, table.voltage, strict=True):
        states[compartment].v = int(voltage)
    return states


class ReferenceChip:
    """All cores of a Program and its encoder, for one sample.

    Parameters
    ----------
    program : to run
    x : one sample, of the Program's input shape, or several frames of it
    seed : of the chip's noise and of stochastic rounding
    hold : steps for which each frame of `x` is shown, where it has several

    Attributes
    ----------
    step_number : steps done
    overflows, events : registers that wrapped around, and weights other than 0 that were added
    """

    def __init__(
        self, program: Program, x: FloatArray, seed: int = 0, hold: int | None = None
    ) -> None:
        self.program = program
        self.seed = seed
        self.step_number = 0
        self.overflows = 0
        self.events = 0
        self.cores = [
            CoreState(
                _initial_states(core),
                core.synapses.mantissa.tolist(),
                {
                    block: TraceState(_source(program, number, block))
                    for block in core.learning.block.tolist()
                },
            )
            for number, core in enumerate(program.cores)
        ]
        encoder = program.encoder
        self.hold = hold
        self.currents: list[list[int]] = frame_currents(encoder, x[None])[0].tolist()
        self.encoder_v = [encoder.threshold // 2] * len(self.currents[0])

    def step(
        self,
        host_spikes: Sequence[int] | None = None,
        errors: Mapping[tuple[int, int], int] | None = None,
    ) -> None:
        """Advance every core and the encoder by one time step.

        Parameters
        ----------
        host_spikes : encoder neurons that fire; those of the encoder itself where None
        errors : (core, compartment) -> error for learning, -127..127; zero for all others
        """
        now = self.step_number
        for number, (core, state) in enumerate(zip(self.program.cores, self.cores, strict=True)):
            self._learn(core, state, number, errors or {})
            gathered = state.arriving.pop(now, {})
            for compartment in range(len(state.compartments)):
                self._update(core, state, compartment, gathered.get(compartment, 0))
        for number, state in enumerate(self.cores):
            for compartment, each in enumerate(state.compartments):
                if each.spiked:
                    self._send(number, compartment)
        for neuron in self._encoder_spikes() if host_spikes is None else host_spikes:
            self._inject(neuron)
        self.step_number += 1

    def trace(self, layer_name: str, quantity: str) -> NDArray[np.int64]:
        """(neurons,) value of a quantity, "u", "v" or "spikes", after the last step."""
        layer = self.program.layer(layer_name)
        name = "spiked" if quantity == "spikes" else quantity
        return np.array(
            [
                int(getattr(self.cores[core].compartments[compartment], name))
                for core, compartment in zip(
                    layer.core.tolist(), layer.compartment.tolist(), strict=True
                )
            ]
        )

    def _learn(
        self, core: Core, state: CoreState, number: int, errors: Mapping[tuple[int, int], int]
    ) -> None:
        """Traces, then weights, of the blocks that learn, each where its epoch is over."""
        table = core.learning
        for k, block in enumerate(table.block.tolist()):
            trace = state.traces[block]
            if (self.step_number + 1) % int(table.trace_epoch[k]) == 0:
                kept = float(np.exp(-int(table.trace_epoch[k]) / int(table.trace_tau[k])))
                impulse = int(table.trace_impulse[k]) if trace.spiked else 0
                draw = arithmetic.uniform_draw(self.seed, trace.source, -1, self.step_number)
                trace.x = arithmetic.trace(trace.x, kept, impulse, draw)
                trace.spiked = False
            if (self.step_number + 1) % int(table.learn_epoch[k]):
                continue
            form = int(core.blocks.format[block])
            step = arithmetic.mantissa_step(
                int(core.formats.weight_bits[form]), int(core.formats.sign_mode[form])
            )
            rate = (int(table.rate_mantissa[k]), int(table.rate_exponent[k]))
            start = int(core.blocks.start[block])
            axon = int(np.flatnonzero(core.input_axons.block == block)[0])
            for synapse in range(start, start + int(core.blocks.length[block])):
                target = int(core.input_axons.base[axon]) + int(core.synapses.target[synapse])
                neuron = int(core.compartments.neuron[target])
                draw = arithmetic.uniform_draw(self.seed, trace.source, neuron, self.step_number)
                state.mantissas[synapse] = arithmetic.learned(
                    state.mantissas[synapse],
                    step,
                    trace.x,
                    errors.get((number, target), 0),
                    rate,
                    draw,
                )

    def _update(self, core: Core, state: CoreState, number: int, gathered: int) -> None:
        """Current, voltage and spike of one compartment."""
        comps, mine = core.compartments, state.compartments[number]
        profile = int(comps.profile[number])
        noise = 0
        if core.profiles.noise[profile]:
            draw = arithmetic.noise_draw(self.seed, int(comps.neuron[number]), self.step_number)
            noise = arithmetic.noise(draw, core.noise_exponent, core.noise_offset)

        q = self._wrapped(gathered + (0 if core.noise_at_voltage else noise), ACCUMULATOR_BITS)
        kept = arithmetic.decay(mine.u, int(core.profiles.decay_u[profile]), offset=1)
        mine.u = self._wrapped(kept + q, CURRENT_BITS)

        bias = arithmetic.bias(int(comps.bias_mantissa[number]), int(comps.bias_exponent[number]))
        drive = mine.u + bias + (noise if core.noise_at_voltage else 0)
        drive = self._wrapped(drive, CURRENT_BITS)
        v = arithmetic.decay(mine.v, int(core.profiles.decay_v[profile])) + drive
        floor = arithmetic.voltage_floor(core.vmin_exponent)
        ceiling = arithmetic.voltage_ceiling(core.vmax_exponent)
        mine.v = 0 if mine.refractory > 0 else min(max(v, floor), ceiling)

        threshold = arithmetic.threshold(int(core.thresholds.mantissa[comps.threshold[number]]))
        mine.spiked = mine.v > threshold
        if mine.spiked:
            mine.v = 0
            mine.refractory = int(core.profiles.refractory[profile])
        mine.refractory = max(mine.refractory - 1, 0)

    def _send(self, core_number: int, compartment: int) -> None:
        """A spike leaves by every output axon of its compartment or population."""
        core = self.program.cores[core_number]
        out, comps = core.output_axons, core.compartments
        for k in range(len(out)):
            if out.kind[k] == DISCRETE:
                leaves, atom = int(out.source[k]) == compartment, 0
            else:
                leaves = int(out.source[k]) == int(comps.population[compartment])
                atom = int(comps.atom[compartment])
            if leaves:
                self._arrive(int(out.core[k]), int(out.axon[k]), atom)

    def _inject(self, neuron: int) -> None:
        table = self.program.injection
        for k in np.flatnonzero(table.neuron == neuron):
            self._arrive(int(table.core[k]), int(table.axon[k]), int(table.atom[k]))

    def _arrive(self, core_number: int, axon: int, atom: int) -> None:
        """A spike reaches an input axon: its row's weights go to the accumulators."""
        core, state = self.program.cores[core_number], self.cores[core_number]
        block = int(core.input_axons.block[axon])
        base = int(core.input_axons.base[axon])
        length = int(core.blocks.length[block])
        start = int(core.blocks.start[block]) + atom * length
        exponent = int(core.formats.exponent[core.blocks.format[block]])
        if block in state.traces:
            state.traces[block].spiked = True
        for k in range(start, start + length):
            step = self.step_number + 1 + int(core.synapses.delay[k])
            weight = arithmetic.weight(state.mantissas[k], exponent)
            self.events += weight != 0
            state.arriving[step][base + int(core.synapses.target[k])] += weight

    def _encoder_spikes(self) -> Iterator[int]:
        threshold = self.program.encoder.threshold
        frame = self.step_number // self.hold if self.hold else 0
        if frame >= len(self.currents):
            return
        for neuron, current in enumerate(self.currents[frame]):
            self.encoder_v[neuron] += current
            if self.encoder_v[neuron] >= threshold:
                self.encoder_v[neuron] -= threshold
                yield neuron

    def _wrapped(self, x: int, bits: int) -> int:
        kept = arithmetic.wrap(x, bits)
        self.overflows += kept != x
        return kept


def _source(program: Program, core_number: int, block: int) -> int:
    """The neuron whose spikes enter by the axon of a block that learns; the first of several.

    Neurons of the encoder are numbered from -2 downwards; -1 stands for no source at all.
    """
    axon = int(np.flatnonzero(program.cores[core_number].input_axons.block == block)[0])
    found = [
        int(core.compartments.neuron[core.output_axons.source[k]])
        for core in program.cores
        for k in range(len(core.output_axons))
        if (int(core.output_axons.core[k]), int(core.output_axons.axon[k])) == (core_number, axon)
    ]
    table = program.injection
    found += [
        -2 - int(neuron)
        for neuron in table.neuron[(table.core == core_number) & (table.axon == axon)]
    ]
    return min(found, default=-1)
