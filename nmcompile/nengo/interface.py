"""The emulator with the methods of nengo-loihi's own, and with its results to the last bit."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

import numpy as np
from nengo.exceptions import SimulationError
from nengo_loihi.builder.discretize import scale_pes_errors
from nengo_loihi.emulator.interface import BlockInfo, ProbeState
from numpy.typing import NDArray

from nmcompile.backends.emulator.plastic import Plastic
from nmcompile.backends.emulator.stepper import Stepper
from nmcompile.chip.arithmetic import WEIGHT_SHIFT
from nmcompile.chip.program import Program
from nmcompile.errors import ModelError
from nmcompile.nengo.model import host_spikes, translate

#: nengo-loihi's name of a state -> ours.
STATES = {"current": "u", "voltage": "v", "spiked": "spikes"}
#: Compartments and steps that are recorded at a time.
RECORDED = 1 << 22


class NengoDraws:
    """Random numbers in the order in which nengo-loihi's emulator draws them from one stream.

    Parameters
    ----------
    seed : of the stream
    needed : whether anything uses them; else they are left undrawn, which nobody sees
    """

    def __init__(self, seed: int, needed: bool) -> None:
        self.seed = seed
        self._needed = needed
        self._stream = np.random.RandomState(seed)

    def traces(self, plastic: Plastic, axons: NDArray[np.int64], step: int) -> NDArray[np.float64]:
        """One number for each axon."""
        return self._stream.rand(len(axons))

    def weights(
        self, plastic: Plastic, synapses: NDArray[np.int64], step: int
    ) -> NDArray[np.float64]:
        """One number for each synapse."""
        return self._stream.rand(len(synapses))

    def noise(self, steps: int, compartments: int) -> NDArray[np.int32]:
        """One number for each step and compartment, with noise or without."""
        if not self._needed:
            return np.zeros((steps, 0), np.int32)
        return self._stream.randint(-127, 128, size=(steps, compartments), dtype=np.int32)


class EmulatorInterface:
    """Runs a discretised nengo-loihi Model; a drop-in for `nengo_loihi.emulator`'s class.

    For the same Model and seed its currents, voltages, spikes, noise and learnt weights equal
    those of nengo-loihi's emulator.

    Parameters
    ----------
    model : nengo-loihi Model, after `discretize_model`
    seed : of noise and stochastic rounding; random where None

    Attributes
    ----------
    strict : whether overflows and lost spikes raise SimulationError, not only warn
    t : steps done

    Raises
    ------
    ModelError
        The Model is not discretised, or holds what a core's tables cannot.
    """

    strict = False

    def __init__(self, model: Any, seed: int | None = None) -> None:
        self.closed = True
        self.seed = int(np.random.default_rng().integers(2**31 - 1)) if seed is None else seed
        self.t = 0
        if not hasattr(model, "blocks"):
            raise ModelError(
                f"an object of type {type(model).__name__} is no nengo-loihi Model; for a network "
                "use nmcompile.nengo.Simulator"
            )
        translation = translate(model)
        program = translation.program
        self.inputs = translation.first_neuron
        noisy = any(core.profiles.noise.any() for core in program.cores)
        learns = any(len(core.learning) for core in program.cores)
        self._stepper: Stepper | None = Stepper(
            program, NengoDraws(self.seed, noisy or learns), fine=lost_bits(program)
        )
        self._drawn = self._stepper.compartments if noisy or learns else 0
        self._first = translation.first_compartment
        self._errors = np.zeros(self._stepper.compartments, np.int64)
        self._learning = _learning_blocks(model)
        self._error_scale = getattr(model, "pes_error_scale", 1.0)
        self.probes = ProbeState(BlockInfo(model.blocks), list(model.probes), model.dt)
        self._probed, self._columns = self._what_is_probed()
        self._quantities = sorted({self._quantity(probe) for probe in self.probes.probes})
        self._seen = np.zeros(3, np.int64)
        self._learnt_seen = np.zeros(3, np.int64)
        self.closed = False

    def __enter__(self) -> EmulatorInterface:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the simulation; what was probed stays."""
        self.closed = True
        self._stepper = None

    def clear_probes(self) -> None:
        """Nothing: what is collected is cleared as it is."""

    def collect_probe_output(self, probe: Any) -> Any:
        """(steps, outputs) of a probe since it was last asked for, weighted and filtered."""
        return self.probes.collect_probe_output(probe)

    def chip2host(self, probes_receivers: Mapping[Any, Any]) -> None:
        """Hand what was probed since last time to the host's receivers."""
        for probe, receiver in probes_receivers.items():
            self.probes.send(self.t, probe, receiver)

    def host2chip(
        self, spikes: Iterable[tuple[Any, int, Any]], errors: Iterable[tuple[Any, int, Any]]
    ) -> None:
        """Take (input, step, neurons) spikes and (synapse, step, error) errors from the host."""
        for spike_input, t, neurons in spikes:
            spike_input.add_spikes(t, neurons)
        self._errors[:] = 0
        for synapse, _, error in errors:
            start, size = self._learning[synapse], len(error)
            scaled = scale_pes_errors(error, scale=self._error_scale)
            # Compartments come in pairs, those that are on and those that are off.
            self._errors[start : start + size] -= scaled
            self._errors[start + size : start + 2 * size] += scaled

    def step(self) -> None:
        """Advance by one step."""
        self.run_steps(1)

    def run_steps(self, steps: int) -> None:
        """Advance by some steps."""
        if self._stepper is None:
            raise SimulationError("the emulator is closed")
        at_once = max(1, RECORDED // max(1, len(self._probed), self._drawn))
        while steps > 0:
            count = min(steps, at_once)
            self._run(self._stepper, count)
            steps -= count

    def _run(self, stepper: Stepper, steps: int) -> None:
        arriving = host_spikes(self.inputs, range(self.t + 1, self.t + steps + 1))
        record = stepper.run(arriving, self._errors, self._probed, self._quantities)
        self.t += steps
        for probe, parts in self._columns.items():
            values = getattr(record, self._quantity(probe))
            for k, (columns, outputs) in enumerate(
                zip(parts, self.probes.outputs[probe], strict=True)
            ):
                outputs.extend(values[:, columns][:, probe.slice[k]])
        self._complain(stepper)

    def _what_is_probed(self) -> tuple[NDArray[np.int64], dict[Any, list[slice]]]:
        """Compartments to record, and for each probe its columns, a target block at a time."""
        compartments: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
        place: dict[Any, slice] = {}
        size = 0
        columns: dict[Any, list[slice]] = {}
        for probe in self.probes.probes:
            self._quantity(probe)
            for block in probe.target:
                if block not in place:
                    start = self._first[block]
                    compartments.append(np.arange(start, start + block.n_neurons))
                    place[block] = slice(size, size + block.n_neurons)
                    size += block.n_neurons
            columns[probe] = [place[block] for block in probe.target]
        return np.concatenate(compartments), columns

    @staticmethod
    def _quantity(probe: Any) -> str:
        if probe.key not in STATES:
            raise ModelError(
                f"a probe asks for {probe.key!r}; the emulator records {', '.join(STATES)}"
            )
        return STATES[probe.key]

    def _complain(self, stepper: Stepper) -> None:
        """Warn of overflows and of traces that miss spikes, as nengo-loihi does."""
        now = stepper.overflows
        for name, count in zip(("q0", "current", "u2"), now - self._seen, strict=True):
            if count:
                self._error(f"Overflow in {name}")
        self._seen = now
        learner = stepper.learner
        if learner is None:
            return
        learnt = np.array([learner.lost, learner.clipped_traces, learner.clipped_weights])
        lost, traces, weights = learnt > self._learnt_seen
        self._learnt_seen = learnt
        if lost:
            self._error("Synaptic trace spikes lost")
        if traces:
            warnings.warn("Clipping synapse trace", stacklevel=4)
        if weights:
            warnings.warn("Clipping learning weights", stacklevel=4)

    def _error(self, message: str) -> None:
        if self.strict:
            raise SimulationError(message)
        warnings.warn(message, stacklevel=5)


def lost_bits(program: Program) -> int:
    """Bits that the chip's shift takes from weights that learn, and nengo-loihi's does not."""
    lowest = 0
    for core in program.cores:
        form = core.blocks.format[core.learning.block]
        lowest = min(lowest, int(core.formats.exponent[form].min(initial=0)))
    return min(-lowest, WEIGHT_SHIFT)


def _learning_blocks(model: Any) -> dict[Any, int]:
    """Learning Synapse -> number of its block's first compartment."""
    found: dict[Any, int] = {}
    first = 0
    for block in model.blocks:
        learning = [synapse for synapse in block.synapses if synapse.learning]
        if len(learning) > 1:
            raise ModelError(
                f"{block}: {len(learning)} connections learn in one block; one is supported"
            )
        found.update(dict.fromkeys(learning, first))
        first += block.n_neurons
    return found
