"""A Program in the middle of a run: one sample, a few steps at a time.

Here whoever drives the run sends the spikes of the host, and the errors that synapses learn
from, and may look at the state in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.backends.emulator.compiled import kernel
from nmcompile.backends.emulator.draws import Draws, KeyedDraws
from nmcompile.backends.emulator.learning import Learner
from nmcompile.backends.emulator.lower import lower_with_learning
from nmcompile.chip.arithmetic import ERROR_MAX
from nmcompile.chip.program import Program
from nmcompile.errors import DataError


@dataclass(frozen=True, eq=False)
class Record:
    """What some compartments did in some steps.

    Attributes
    ----------
    spikes : (steps, compartments) bool
    u, v : (steps, compartments) int32
    """

    spikes: NDArray[np.bool_]
    u: NDArray[np.int32]
    v: NDArray[np.int32]


class Stepper:
    """One sample of a Program, from a fresh state on.

    Parameters
    ----------
    program : to run; compartments are numbered layer by layer, see `lower.layer_compartments`
    draws : random numbers; keyed by seed 0 where None
    fine : bits below the chip's unit that accumulators keep, 0 on the chip

    Attributes
    ----------
    step_number : steps done
    overflows : (3,) int64; accumulators, currents and drives that wrapped around so far
    learner : state of what learns, or None
    """

    def __init__(self, program: Program, draws: Draws | None = None, fine: int = 0) -> None:
        from nmcompile.backends.emulator import kernels

        self.program = program
        self.step_number = 0
        self.draws: Draws = draws or KeyedDraws(0)
        self._lowered, self._learning = lower_with_learning(program, fine, once=False)
        self.learner = None if self._learning is None else Learner(self._learning.plastic)
        self._run = kernel(kernels, "run_steps")
        self._deliver = kernel(kernels, "deliver")
        self._state = kernel(kernels, "fresh_state")(
            self._lowered, len(self._lowered.host_fanout.spans)
        )
        self._layer_spikes = np.zeros(len(program.layers) + 1, np.int64)
        self._overflows = np.zeros((len(program.layers) + 1, 3), np.int64)
        self._n_fired = 0

    @property
    def overflows(self) -> NDArray[np.int64]:
        """(3,) accumulators, currents and drives that wrapped around so far."""
        return self._overflows.sum(axis=0)

    @property
    def compartments(self) -> int:
        """Number of compartments of all cores."""
        return len(self._lowered.bias)

    def run(
        self,
        spikes: Sequence[NDArray[Any]],
        errors: NDArray[np.int64] | None = None,
        probed: NDArray[np.int64] | None = None,
        quantities: Sequence[str] = ("spikes", "u", "v"),
    ) -> Record:
        """Run as many steps as there are entries in `spikes`.

        Parameters
        ----------
        spikes : for each step, numbers of the encoder neurons whose spikes arrive in it; the host
            sent them the step before, and may have sent one several times
        errors : (compartments,) errors for learning, -127..127, during these steps; none if None
        probed : (probed,) compartments to record; all if None
        quantities : which of "spikes", "u" and "v" to record; the others stay without width

        Raises
        ------
        DataError
            A neuron or compartment that is not there, or errors beyond -127..127.
        """
        probed = np.arange(self.compartments) if probed is None else probed
        self._check(spikes, errors, probed)
        widths = {name: len(probed) if name in quantities else 0 for name in ("spikes", "u", "v")}
        record = Record(
            np.zeros((len(spikes), widths["spikes"]), np.bool_),
            np.zeros((len(spikes), widths["u"]), np.int32),
            np.zeros((len(spikes), widths["v"]), np.int32),
        )
        if self.learner is None or self._learning is None:
            self._advance(spikes, probed, record, 0, len(spikes))
            return record
        no_errors = np.zeros(self.compartments, np.int64)
        nothing = [np.zeros(0, np.int64)]
        for i, arriving in enumerate(spikes):
            # Spikes meet the weights as they were before this step's learning.
            self._deliver(
                np.asarray(arriving, np.int64),
                self._lowered.host_fanout,
                self._lowered.weights,
                self._lowered.short_run,
                self._state.accumulators,
                self.compartments,
                self.step_number - 1,
            )
            self.learner.note(arriving, self._lowered.host_fanout, self._learning.host_axon_of_run)
            self.learner.advance(
                self.step_number,
                no_errors if errors is None else errors,
                self._lowered.weights,
                self.draws,
            )
            self._advance(nothing, probed, record, i, i + 1)
            self.learner.note(
                self._state.fired[: self._n_fired],
                self._lowered.fanout,
                self._learning.axon_of_run,
            )
        return record

    def _check(
        self,
        spikes: Sequence[NDArray[Any]],
        errors: NDArray[np.int64] | None,
        probed: NDArray[np.int64],
    ) -> None:
        """Raise where an index or error is out of range, since kernels trust them."""
        for what, values, size in (
            ("host neuron", spikes, len(self._lowered.host_fanout.spans)),
            ("probed compartment", [probed], self.compartments),
        ):
            for each in values:
                if len(each) and not 0 <= np.min(each) <= np.max(each) < size:
                    bad = int(np.min(each) if np.min(each) < 0 else np.max(each))
                    raise DataError(f"{what} {bad} is not there; they count from 0 to {size - 1}")
        if errors is not None and (
            len(errors) != self.compartments or np.abs(errors).max(initial=0) > ERROR_MAX
        ):
            raise DataError(
                f"{len(errors)} errors up to {np.abs(errors).max(initial=0)}: one a compartment, "
                f"{self.compartments}, is needed, of -{ERROR_MAX} to {ERROR_MAX}"
            )

    def _advance(
        self,
        spikes: Sequence[NDArray[Any]],
        probed: NDArray[np.int64],
        record: Record,
        first: int,
        end: int,
    ) -> None:
        """Steps `first` to `end` of a call of `run`, into these rows of the record."""
        sent = [np.asarray(each, np.int64) for each in spikes]
        noise = self.draws.noise(end - first, self.compartments)
        self._n_fired, _ = self._run(
            self._lowered,
            self._state,
            self.step_number,
            self.draws.seed,
            noise,
            np.cumsum([0, *map(len, sent)]),
            np.concatenate(sent) if sent else np.zeros(0, np.int64),
            self._layer_spikes,
            self._overflows,
            probed,
            record.spikes[first:end],
            record.u[first:end],
            record.v[first:end],
        )
        self.step_number += end - first
