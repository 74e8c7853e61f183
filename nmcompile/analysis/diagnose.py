"""Follow a network from float to chip, stage by stage, and say where accuracy is lost."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from math import ceil, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.analysis.diagnosis import Answers, Diagnosis, LayerDiagnosis, StageResult
from nmcompile.analysis.evaluation import float_network, holds_float_network
from nmcompile.analysis.findings import findings
from nmcompile.analysis.likeness import LikenessSums
from nmcompile.analysis.registers import amplitudes, bias_bits, threshold_bits, weight_bits
from nmcompile.analysis.samples import counted_at_once, firing, layer_names, spike_counts
from nmcompile.analysis.spike_sums import SpikeSums
from nmcompile.analysis.stages import (
    CHIP,
    CURVE,
    FLOAT,
    FOLDED,
    WEIGHTS,
    ChipStages,
    Values,
    float_values,
    folded_values,
    stage_title,
)
from nmcompile.backends.base import Backend, Result
from nmcompile.backends.emulator.session import OverflowWarning
from nmcompile.chip.discrete import DiscreteGraph
from nmcompile.chip.discrete_tensors import discrete_graph
from nmcompile.chip.program import Program
from nmcompile.errors import UsageError
from nmcompile.host.data import Data
from nmcompile.ir import Network
from nmcompile.ir.layers import LayerGraph
from nmcompile.ir.nodes import FloatArray, Spiking
from nmcompile.ir.over_time import evaluate_frames

#: Samples that are followed at a time, so that all stages' activations fit in memory.
BATCH = 64
#: The last 1/LATE of the steps, in which answers should change no more.
LATE = 8
#: An encoder's activation this much above what it can express is beyond it, not rounded.
TOLERANCE = 1.001

Progress = Callable[[int, int], None]


@dataclass(eq=False)
class _Sums:
    """All that is kept while samples pass."""

    spikes: dict[str, SpikeSums]
    likeness: dict[tuple[str, str], LikenessSums] = field(default_factory=dict)
    scores: dict[str, list[NDArray[Any]]] = field(default_factory=dict)
    early: list[NDArray[np.int64]] = field(default_factory=list)
    overflows: dict[str, int] = field(default_factory=dict)
    backend: str = ""

    def compare(self, stage: str, layer: str, wanted: FloatArray, given: FloatArray) -> None:
        self.likeness.setdefault((stage, layer), LikenessSums()).add(wanted, given)


def diagnose_program(
    program: Program,
    data: Data,
    backend: Backend,
    folded: LayerGraph | None,
    *,
    steps: int | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Diagnosis:
    """Run samples through every stage from float to chip.

    Parameters
    ----------
    data : labels are optional; the float network's answers then take their place
    folded : the float layers that the Program's stand for; None where it was not built from a
        float network, and then the chip is all there is
    steps : per sample; None for the Program's
    limit : use the first so many samples
    progress : called with (samples done, samples in all)

    Raises
    ------
    DataError
        Samples that do not fit, or a Program of an older version.
    """
    chosen = data.first(limit)
    steps = program.steps if steps is None else steps
    if steps < 1:
        raise UsageError(f"--steps {steps}: at least one step is needed")
    follower = _Follower(program, backend, folded, steps)
    with warnings.catch_warnings():
        # Overflows are counted, and are a finding.
        warnings.simplefilter("ignore", OverflowWarning)
        for done in follower.follow(chosen.x):
            if progress is not None:
                progress(done, len(chosen))
    found = follower.diagnosis(chosen, len(data))
    return replace(found, findings=findings(found, program))


def frames_of(program: Program, x: FloatArray) -> int:
    """How many frames of (samples, *input shape) or (samples, frames, *input shape) make one."""
    return x.shape[1] if x.ndim > 1 + len(program.encoder.input_shape) else 1


class _Follower:
    """Runs samples through all stages of one Program, and sums up."""

    def __init__(
        self, program: Program, backend: Backend, folded: LayerGraph | None, steps: int
    ) -> None:
        self.program, self.steps, self.folded = program, steps, folded
        self.late = ceil(steps / LATE) if steps > 1 else 0
        self.session = backend.load(program)
        self.names = layer_names(program)
        self.windows = firing(program, steps)
        self.network: Network | None = None
        self.graph: DiscreteGraph | None = None
        self.chip: ChipStages | None = None
        self.bits = 8
        if folded is not None and holds_float_network(program):
            self.network, self.graph = float_network(program), discrete_graph(program)
            self.chip = ChipStages(self.graph, folded)
            self.bits = max(link.weight_bits for link in self.graph.connections)
        sizes = {program.encoder.name: prod(program.encoder.shape)}
        sizes.update({layer.name: layer.neurons for layer in program.layers})
        self.sums = _Sums({n: SpikeSums(sizes[n], np.zeros(sizes[n], bool)) for n in self.names})

    def follow(self, x: FloatArray) -> Iterator[int]:
        """Run samples; yields how many are done."""
        at_once = min(BATCH, counted_at_once(self.program, self.steps))
        if frames_of(self.program, x) > 1:
            self.late = 0  # with fewer steps, the input would be another
        for start in range(0, len(x), at_once):
            part = x[start : start + at_once]
            stages = self._float_stages(part)
            wanted: dict[str, FloatArray] = {}
            for stage in (FOLDED, FLOAT):
                wanted |= stages[stage].layers if stage in stages else {}
            result, counts = next(spike_counts(self.program, self.session, part, self.steps, start))
            self._count(result, counts)
            if stages:
                activations = self._activations(counts) if wanted else {}
                stages[CHIP] = Values(activations, result.scores)
            else:
                self.sums.scores.setdefault(CHIP, []).append(result.scores)
            for name in self.windows:
                if name in wanted:
                    self._judge(name, wanted[name])
            for stage, values in stages.items():
                self.sums.scores.setdefault(stage, []).append(values.scores)
                for name, found in values.layers.items():
                    if name in self.names and name in wanted:
                        self.sums.compare(stage, name, wanted[name], found)
            if self.late:
                early = self.session.run(part, self.steps - self.late, first=start)
                self.sums.early.append(early.answers)
            yield min(start + at_once, len(x))

    def _float_stages(self, x: FloatArray) -> dict[str, Values]:
        """Every stage before the chip; none without a float network."""
        if self.network is None or self.folded is None or self.chip is None:
            return {}
        frames = frames_of(self.program, x)
        spiking = any(isinstance(node, Spiking) for node in self.network)
        if self.network.recurrent or (frames > 1 and spiking):
            # Neurons that remember have no rate for a frame.
            return {FLOAT: Values({}, evaluate_frames(self.network, x, self.steps))}
        x = x.reshape(-1, *self.program.encoder.input_shape)
        folded = folded_values(self.folded, x)
        drive = self.chip.encoder(x, folded.layers[self.program.encoder.name])
        self.drive = drive.over(frames)
        stages = {
            FLOAT: float_values(self.network, x, self.names),
            FOLDED: folded,
            WEIGHTS: self.chip.weights(drive),
            CURVE: self.chip.curve(drive, max(1, self.steps // frames)),
        }
        return {stage: values.over(frames) for stage, values in stages.items()}

    def _activations(self, counts: dict[str, NDArray[np.int64]]) -> dict[str, FloatArray]:
        """What the spike counts of layers stand for."""
        assert self.graph is not None
        encoder = self.program.encoder.name
        found = {}
        for name, window in self.windows.items():
            amplitude = (
                self.drive.amplitude if name == encoder else amplitudes(self.graph.layer(name))
            )
            found[name] = (counts[name] / window.steps * amplitude).astype(np.float32)
        return found

    def _count(self, result: Result, counts: dict[str, NDArray[np.int64]]) -> None:
        self.sums.backend = result.backend
        for name, number in result.overflows.items():
            self.sums.overflows[name] = self.sums.overflows.get(name, 0) + number
        for name, window in self.windows.items():
            self.sums.spikes[name].add(counts[name], window)

    def _judge(self, name: str, wanted: FloatArray) -> None:
        """Count float activations that are zero, and those that no rate can express."""
        assert self.graph is not None
        if name == self.program.encoder.name:
            over = (self.drive.rates >= 1) & (wanted > TOLERANCE * self.drive.amplitude)
        else:
            window = self.windows[name]
            over = wanted > amplitudes(self.graph.layer(name)) * (window.most / window.steps)
        self.sums.spikes[name].compare(wanted, over)

    def diagnosis(self, data: Data, available: int) -> Diagnosis:
        """What the samples that passed amount to; without findings."""
        scores = {stage: np.concatenate(parts) for stage, parts in self.sums.scores.items()}
        reads = [layer.depth for layer in self.program.layers if self._is_read(layer.name)]
        return Diagnosis(
            samples=len(data),
            available=available,
            steps=self.steps,
            depth=max(reads),
            dt_s=self.program.dt_s,
            labels=data.y is not None,
            stages=tuple(self._stages(scores, data.y)),
            layers=tuple(self._layer(name) for name in self.names),
            answers=self._answers(scores, data.y),
            findings=(),
            target=self.program.target,
            backend=self.sums.backend,
        )

    def _is_read(self, name: str) -> bool:
        return name in self.program.read_out.layers

    def _stages(
        self, scores: dict[str, NDArray[Any]], labels: NDArray[np.int64] | None
    ) -> Iterator[StageResult]:
        before: float | None = None
        floats = scores.get(FLOAT)
        for stage in (FLOAT, FOLDED, WEIGHTS, CURVE, CHIP):
            if stage not in scores:
                continue
            answers = scores[stage].argmax(axis=1)
            accuracy = None if labels is None else float((answers == labels).mean())
            agreement = likeness = None
            if floats is not None:
                agreement = float((answers == floats.argmax(axis=1)).mean())
                sums = LikenessSums()
                sums.add(floats, scores[stage])
                likeness = sums.likeness()
            now = agreement if accuracy is None else accuracy
            lost = None if before is None or now is None else before - now
            title = stage_title(stage, self.bits)
            yield StageResult(stage, title, accuracy, agreement, lost, likeness)
            before = now

    def _layer(self, name: str) -> LayerDiagnosis:
        encoder = self.program.encoder
        shape = encoder.shape if name == encoder.name else self.program.layer(name).shape
        on_chip = self.graph is not None and name != encoder.name
        registers = self.graph.layer(name) if self.graph is not None and on_chip else None
        links = self.graph.into(name) if self.graph is not None else ()
        compared = any(layer == name for _, layer in self.sums.likeness)
        return LayerDiagnosis(
            layer=name,
            shape=shape,
            compared=name
            if compared and self.network is not None and name in self.network
            else None,
            stages={
                stage: sums.likeness()
                for (stage, layer), sums in self.sums.likeness.items()
                if layer == name
            },
            rates=self.sums.spikes[name].rates(self.windows[name], self.program.dt_s, compared)
            if name in self.windows
            else None,
            overflows=self.sums.overflows.get(name, 0),
            weights=tuple(weight_bits(link) for link in links),
            threshold=registers.threshold_mantissa if registers else None,
            threshold_bits=threshold_bits(registers) if registers else None,
            bias_bits=bias_bits(registers) if registers else None,
        )

    def _answers(
        self, scores: dict[str, NDArray[Any]], labels: NDArray[np.int64] | None
    ) -> Answers:
        answers = scores[CHIP].argmax(axis=1)
        common = int(np.bincount(answers).argmax())
        floats = scores.get(FLOAT)
        expected = labels if floats is None else floats.argmax(axis=1)
        spread = None
        if floats is not None and floats.std(axis=0).any():
            spread = float(scores[CHIP].std(axis=0).mean() / floats.std(axis=0).mean())
        moved = 0.0
        if self.late:
            moved = float((np.concatenate(self.sums.early) != answers).mean())
        return Answers(
            common=common,
            share=float((answers == common).mean()),
            share_expected=None if expected is None else float((expected == common).mean()),
            spread=spread,
            moved=moved,
            late=self.late,
        )
