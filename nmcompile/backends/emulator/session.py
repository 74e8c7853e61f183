"""The emulator as a backend: runs a Program's tables for many samples at a time."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.backends.base import Probe, Result
from nmcompile.backends.emulator.compiled import kernel
from nmcompile.backends.emulator.lower import layer_compartments, lower
from nmcompile.chip.program import INPUT_LIMIT, Program
from nmcompile.errors import UsageError
from nmcompile.host.decoder import decode, step_weights
from nmcompile.host.encoder import encoder_spikes, frame_currents, frame_steps, n_frames
from nmcompile.ir.nodes import FloatArray

#: Memory that the per-sample results of one kernel call may take, in bytes.
BATCH_BYTES = 256 << 20
#: Samples that a thread encodes at a time, few enough to stay in its cache until they are run.
ENCODED = 32


class OverflowWarning(UserWarning):
    """Accumulators or currents wrapped around, as they would on the chip."""


class InputWarning(UserWarning):
    """Inputs outside the range that the encoder was built for."""


class Emulator:
    """The bit-accurate chip on this machine.

    Parameters
    ----------
    jobs : threads, None for all cores of the machine; results do not depend on it
    seed : of the chip's noise, if the Program uses it
    """

    def __init__(self, jobs: int | None = None, seed: int = 0) -> None:
        self.jobs = jobs
        self.seed = seed

    def load(self, program: Program) -> EmulatorSession:
        """Lower a Program's tables for the kernels."""
        return EmulatorSession(program, self.jobs, self.seed)


class EmulatorSession:
    """A Program, lowered; every sample starts from a fresh state."""

    def __init__(self, program: Program, jobs: int | None = None, seed: int = 0) -> None:
        self.program = program
        self.seed = seed
        self.jobs = jobs
        self.samples_run = 0
        self._lowered = lower(program)
        self._warned: set[str] = set()
        read = np.concatenate(
            [layer_compartments(program, name) for name in program.read_out.layers]
        )
        self._read, self._order = np.unique(read, return_inverse=True)

    @property
    def batch(self) -> int:
        """Samples that one kernel call takes."""
        per_sample = 8 * len(self._read) + 8 * len(self._lowered.host_fanout.spans)
        return int(np.clip(BATCH_BYTES // max(per_sample, 1), 1, 1024))

    def run(
        self,
        inputs: FloatArray,
        steps: int | None = None,
        probes: Sequence[Probe] = (),
        first: int | None = None,
    ) -> Result:
        """Run samples.

        Parameters
        ----------
        inputs : (samples, *input shape), values as the model takes them; or (samples, frames,
            *input shape), each frame shown for equally many steps
        steps : time steps per sample, filling of the pipeline included; None for the Program's
        probes : what to record
        first : number of the first sample, on which its noise depends; goes on counting if None

        Raises
        ------
        DataError
            Samples of another shape, NaN or infinite.
        UsageError
            Unknown layers in probes.
        """
        steps = self.program.steps if steps is None else steps
        if steps < 1:
            raise UsageError(f"--steps {steps}: at least one step is needed")
        if first is not None:
            self.samples_run = first
        self._warn_inputs(inputs)
        begin = time.perf_counter()
        parts = [
            self._run_batch(inputs[start : start + self.batch], steps, probes)
            for start in range(0, max(len(inputs), 1), self.batch)
        ]
        result = _joined(parts, self.program.target, steps, time.perf_counter() - begin)
        self._warn(result)
        return result

    def _run_batch(self, inputs: FloatArray, steps: int, probes: Sequence[Probe]) -> Result:
        from nmcompile.backends.emulator import kernels

        run_samples = kernel(kernels, "run_samples")
        program = self.program
        samples, layers = len(inputs), len(program.layers)
        values = np.zeros((samples, len(self._read)), np.int64)
        counted = step_weights(program, steps)
        hold = frame_steps(n_frames(program.encoder, inputs), steps)
        host_spikes = np.zeros(samples, np.int64)
        layer_spikes = np.zeros((samples, layers + 1), np.int64)
        events = np.zeros(samples, np.int64)
        overflows = np.zeros((samples, layers + 1, 3), np.int64)
        seeds = self.seed + self.samples_run + np.arange(samples)
        wanted = _Wanted(program, probes)
        record = wanted.arrays(samples, steps)
        per_sample = (seeds, values, host_spikes, layer_spikes, events, overflows)

        def run(share: slice) -> None:
            # Once at least, also without samples: that compiles the kernels.
            for start in range(share.start, max(share.stop, share.start + 1), ENCODED):
                part = slice(start, min(start + ENCODED, share.stop))
                run_samples(
                    self._lowered,
                    frame_currents(program.encoder, inputs[part]),
                    program.encoder.threshold,
                    steps,
                    hold,
                    self._read,
                    program.read_out.kind == "voltage",
                    counted,
                    *(array[part] for array in per_sample),
                    wanted.compartments,
                    *(array[part] for array in record),
                )

        parts = _shares(samples, self.jobs)
        if len(parts) == 1:
            run(parts[0])
        else:
            with ThreadPoolExecutor(len(parts)) as pool:
                list(pool.map(run, parts))
        self.samples_run += samples
        spikes = {program.encoder.name: host_spikes}
        spikes.update({layer.name: layer_spikes[:, k] for k, layer in enumerate(program.layers)})
        return Result(
            scores=decode(program, values[:, self._order], steps),
            spikes=spikes,
            synaptic_events=events,
            overflows={
                layer.name: int(overflows[:, k].sum()) for k, layer in enumerate(program.layers)
            },
            steps=steps,
            backend="emulator",
            target=program.target,
            seconds=0.0,
            probes=wanted.split(record, inputs, steps),
        )

    def _warn_inputs(self, inputs: FloatArray) -> None:
        """Say once which inputs the encoder cannot tell apart."""
        encoder = self.program.encoder
        limit = INPUT_LIMIT / encoder.input_scale
        beyond = int(np.count_nonzero(np.abs(inputs) > limit))
        if beyond and "beyond" not in self._warned:
            self._warned.add("beyond")
            warnings.warn(
                f"{beyond} input values beyond ±{limit:.4g} are clipped, since the Program was "
                "built for none so large; scale inputs as they were, or calibrate with such data",
                InputWarning,
                stacklevel=3,
            )
        negative = int(np.count_nonzero(inputs < 0)) if encoder.mode == "on" else 0
        if negative and "negative" not in self._warned:
            self._warned.add("negative")
            warnings.warn(
                f"{negative} input values are negative, for which this encoder has no neurons; "
                "build with --encoder on-off, or calibrate with such data",
                InputWarning,
                stacklevel=3,
            )

    def _warn(self, result: Result) -> None:
        for layer, count in result.overflows.items():
            if count and layer not in self._warned:
                self._warned.add(layer)
                warnings.warn(
                    f"layer {layer!r}: {count} accumulators or currents wrapped around, as they "
                    "would on the chip; lower its rates or weights (said once per layer)",
                    OverflowWarning,
                    stacklevel=3,
                )


def _shares(samples: int, jobs: int | None) -> list[slice]:
    """Equal shares of the samples, one a thread."""
    threads = max(1, min(jobs or os.cpu_count() or 1, samples))
    edges = np.linspace(0, samples, threads + 1).astype(int).tolist()
    return [slice(start, stop) for start, stop in pairwise(edges)]


class _Wanted:
    """Which compartments to probe, and how the kernel's arrays are told apart again."""

    def __init__(self, program: Program, probes: Sequence[Probe]) -> None:
        self.program = program
        self.probes = tuple(probes)
        self.slices: dict[str, slice] = {}
        parts: list[NDArray[np.int64]] = []
        size = 0
        names = [layer.name for layer in program.layers]
        for probe in self.probes:
            if probe.layer == program.encoder.name and probe.quantity == "spikes":
                continue
            if probe.layer not in names:
                known = ", ".join([program.encoder.name, *names])
                raise UsageError(
                    f"--probe {probe}: no such layer or quantity; layers are {known} "
                    "(the encoder has spikes only)"
                )
            if probe.layer not in self.slices:
                parts.append(layer_compartments(program, probe.layer))
                self.slices[probe.layer] = slice(size, size + len(parts[-1]))
                size += len(parts[-1])
        self.compartments = np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def arrays(
        self, samples: int, steps: int
    ) -> tuple[NDArray[np.bool_], NDArray[np.int32], NDArray[np.int32]]:
        """Arrays for spikes, u and v; of width 0 where nobody asks."""
        wanted = {probe.quantity for probe in self.probes}
        widths = [len(self.compartments) if q in wanted else 0 for q in ("spikes", "u", "v")]
        return (
            np.zeros((samples, steps, widths[0]), np.bool_),
            np.zeros((samples, steps, widths[1]), np.int32),
            np.zeros((samples, steps, widths[2]), np.int32),
        )

    def split(
        self,
        record: tuple[NDArray[np.bool_], NDArray[np.int32], NDArray[np.int32]],
        inputs: FloatArray,
        steps: int,
    ) -> dict[Probe, NDArray[np.int32] | NDArray[np.bool_]]:
        """Probe -> its part of the arrays."""
        arrays: dict[str, Any] = dict(zip(("spikes", "u", "v"), record, strict=True))
        found: dict[Probe, NDArray[np.int32] | NDArray[np.bool_]] = {}
        for probe in self.probes:
            if probe.layer in self.slices:
                found[probe] = arrays[probe.quantity][:, :, self.slices[probe.layer]]
            else:
                currents = frame_currents(self.program.encoder, inputs)
                found[probe] = encoder_spikes(self.program.encoder, currents, steps)
        return found


def _joined(parts: Sequence[Result], target: str, steps: int, seconds: float) -> Result:
    first = parts[0]
    return Result(
        scores=np.concatenate([part.scores for part in parts]),
        spikes={name: np.concatenate([p.spikes[name] for p in parts]) for name in first.spikes},
        synaptic_events=np.concatenate([part.synaptic_events for part in parts]),
        overflows={name: sum(p.overflows[name] for p in parts) for name in first.overflows},
        steps=steps,
        backend=first.backend,
        target=target,
        seconds=seconds,
        probes={name: np.concatenate([p.probes[name] for p in parts]) for name in first.probes},
    )
