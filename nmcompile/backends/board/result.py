"""Results of the runner as results of a backend."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.backends.base import Probe, Result
from nmcompile.backends.board.encode import encode
from nmcompile.backends.board.folder import FORMAT, digests
from nmcompile.backends.board.host import host_spikes
from nmcompile.backends.emulator.lower import layer_compartments, lower
from nmcompile.chip.program import Program
from nmcompile.errors import BoardError, UsageError
from nmcompile.host.decoder import decode, step_weights
from nmcompile.host.encoder import encoder_spikes, frame_currents
from nmcompile.ir.nodes import FloatArray

Recorded = NDArray[np.int32] | NDArray[np.bool_]


class BoardResult:
    """A result file of the runner, beside the Program that it is of.

    Attributes
    ----------
    samples : how many it has
    meta : what the runner says of itself: board, versions, steps, what went wrong on the way
    """

    def __init__(self, program: Program, path: Path) -> None:
        self.program, self.path = program, path
        try:
            with np.load(path, allow_pickle=False) as file:
                self._arrays = {name: file[name] for name in file.files}
            self.meta: dict[str, Any] = json.loads(str(self._arrays["meta"]))
            self.samples = len(self._arrays["counts"])
            if self.meta["format"] != FORMAT:
                raise BoardError(
                    f"{path} is of format {self.meta['format']}, this version reads {FORMAT}"
                )
            if self.meta["registers"] != encode(program).digest():
                raise BoardError(
                    f"{path} is of another Program: the board had other registers; give the one "
                    "that the image was made of"
                )
        except BoardError:
            raise
        except Exception as error:
            # What numpy raises on damaged files is no closed list.
            raise BoardError(f"{path}: not a result of a board ({error})") from None
        self._numbers = {layer.name: k for k, layer in enumerate(program.layers)}
        self._events = _events(program)

    @property
    def steps(self) -> int:
        """Time steps of each sample."""
        return int(self.meta["steps"])

    def take(
        self,
        inputs: FloatArray,
        steps: int | None,
        probes: Sequence[Probe],
        first: int = 0,
    ) -> Result:
        """The result of some samples, once it is sure that they are those that were run.

        Parameters
        ----------
        inputs : the samples
        first : number of the first in the file

        Raises
        ------
        BoardError
            Other samples, steps or probes than were run.
        """
        steps = self.program.steps if steps is None else steps
        if steps != self.steps:
            raise BoardError(f"{self.path} has {self.steps} steps a sample, {steps} are asked for")
        part = slice(first, first + len(inputs))
        if part.stop > self.samples:
            raise BoardError(
                f"{self.path} has {self.samples} samples, {part.stop} are asked for; use --limit"
            )
        sent = host_spikes(self.program, inputs, steps)
        wrong = np.flatnonzero(self._arrays["digest"][part] != digests(sent))
        if len(wrong):
            raise BoardError(
                f"{self.path}: sample {first + wrong[0]} was run on other spikes than this Program "
                "makes of this data; give the Program and the data that the image was made of"
            )
        spikes = {layer.name: self._spikes(layer.name, part) for layer in self.program.layers}
        counts = {self.program.encoder.name: sent.counts}
        counts.update({name: each.sum(axis=(1, 2)) for name, each in spikes.items()})
        return Result(
            scores=decode(self.program, self._values(spikes, part), steps),
            spikes=counts,
            synaptic_events=self._synaptic_events(spikes, inputs),
            overflows={},
            steps=steps,
            backend=f"board {self.meta['board']}",
            target=self.program.target,
            seconds=float(self.meta["seconds"]) * len(inputs) / max(self.samples, 1),
            probes={probe: self._probe(probe, spikes, inputs, part) for probe in probes},
        )

    def _spikes(self, name: str, part: slice) -> NDArray[np.bool_]:
        """(samples, steps, neurons) of a layer."""
        key = f"layer{self._numbers[name]}"
        samples = part.stop - part.start
        found = np.zeros((samples, self.steps, self.program.layer(name).neurons), np.bool_)
        sample = self._arrays[f"{key}/sample"]
        mine = slice(*np.searchsorted(sample, [part.start, part.stop]).tolist())
        places = (sample[mine] - part.start, *(self._arrays[f"{key}/{n}"][mine] for n in _EVENT))
        try:
            found[places] = True
        except IndexError:
            raise BoardError(f"{self.path}: layer {name} has spikes where no neuron is") from None
        return found

    def _values(self, spikes: dict[str, NDArray[np.bool_]], part: slice) -> NDArray[np.int64]:
        """(samples, read neurons) as the decoder takes them."""
        read = self.program.read_out
        if read.kind == "voltage":
            last = [self._voltage(name, spikes[name], part)[:, -1] for name in read.layers]
            return np.concatenate(last, axis=1).astype(np.int64)
        counted = step_weights(self.program, self.steps)
        return np.concatenate(
            [np.einsum("t,stn->sn", counted, spikes[name]) for name in read.layers], axis=1
        )

    def _probe(
        self,
        probe: Probe,
        spikes: dict[str, NDArray[np.bool_]],
        inputs: FloatArray,
        part: slice,
    ) -> Recorded:
        if probe == Probe(self.program.encoder.name, "spikes"):
            currents = frame_currents(self.program.encoder, inputs)
            return encoder_spikes(self.program.encoder, currents, self.steps)
        if probe.layer not in spikes:
            raise UsageError(f"--probe {probe}: no such layer or quantity")
        if probe.quantity == "spikes":
            return spikes[probe.layer]
        if probe.quantity == "v":
            return self._voltage(probe.layer, spikes[probe.layer], part)
        return self._series(probe.layer, "u", part)

    def _voltage(self, name: str, spikes: NDArray[np.bool_], part: slice) -> NDArray[np.int32]:
        """Voltages; 0 while a neuron is refractory, when its register holds a counter instead."""
        layer, cores = self.program.layer(name), self.program.cores
        refractory = np.array(
            [
                cores[core].profiles.refractory[cores[core].compartments.profile[compartment]]
                for core, compartment in zip(layer.core, layer.compartment, strict=True)
            ],
            np.int64,
        )
        voltage = self._series(name, "v", part).copy()
        left = np.zeros((len(voltage), len(refractory)), np.int64)
        for step in range(self.steps):
            left = np.where(spikes[:, step], refractory, np.maximum(left - 1, 0))
            voltage[:, step][left > 0] = 0
        return voltage

    def _series(self, name: str, quantity: str, part: slice) -> NDArray[np.int32]:
        key = f"layer{self._numbers[name]}/{quantity}"
        if key not in self._arrays:
            raise BoardError(f"{self.path} has no {quantity} of layer {name}; record it, --probe")
        return np.asarray(self._arrays[key][part], np.int32)

    def _synaptic_events(
        self, spikes: dict[str, NDArray[np.bool_]], inputs: FloatArray
    ) -> NDArray[np.int64]:
        """(samples,) weights that the spikes added, which follows from the tables."""
        encoder = self.program.encoder
        sent = encoder_spikes(encoder, frame_currents(encoder, inputs), self.steps)
        total = sent.sum(axis=1, dtype=np.int64) @ self._events[""]
        for name, each in spikes.items():
            total = total + each.sum(axis=1, dtype=np.int64) @ self._events[name]
        return total


_EVENT = ("step", "neuron")


def _events(program: Program) -> dict[str, NDArray[np.int64]]:
    """Layer -> (neurons,) weights that a spike adds; the encoder's under an empty name."""
    lowered = lower(program)
    found = {"": lowered.host_fanout.spans[:, 2].astype(np.int64)}
    for layer in program.layers:
        numbers = layer_compartments(program, layer.name)
        found[layer.name] = lowered.fanout.spans[numbers, 2].astype(np.int64)
    return found
