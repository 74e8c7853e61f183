"""Judge a Program on labelled data: float and chip accuracy, activity, and speed."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.analysis.early_exit import Exits, exits
from nmcompile.analysis.samples import read_probes, scores_over_time
from nmcompile.backends.base import Backend
from nmcompile.chip.file import program_checksum
from nmcompile.chip.program import Program
from nmcompile.errors import DataError, UsageError
from nmcompile.files import write_atomically
from nmcompile.host.data import Data
from nmcompile.ir import Network
from nmcompile.ir.over_time import evaluate_frames
from nmcompile.ir.serialise import network_from_tensors

#: Samples between two saves of a resumable evaluation.
BATCH = 500
#: Two-sided 95 % of the normal distribution.
NORMAL_95 = 1.959963984540054

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found; `as_json` names and units are those of the command line.

    Attributes
    ----------
    samples, steps : how many were run, and time steps each
    accuracy, float_accuracy : share of right answers, 0..1
    lost, lost_low, lost_high : float less chip accuracy, and its 95 % interval, 0..1; these and
        `float_accuracy` are None where the Program was not built from a float network
    early_accuracy, early_steps : share of right answers, and mean steps, where each sample is
        answered as soon as its lead is safe; None where the Program has no margin for that
    spikes_per_sample : of all layers on the chip
    layer_spikes : layer -> spikes per sample, the encoder's too
    synaptic_events_per_sample : weights added to accumulators
    overflows : layer -> accumulators or currents that wrapped around
    seconds : wall time on the backend
    samples_per_second, steps_per_second : of that time; steps of all samples together
    cores, chips : in use
    target, backend : where it ran
    """

    samples: int
    steps: int
    accuracy: float
    float_accuracy: float | None
    lost: float | None
    lost_low: float | None
    lost_high: float | None
    early_accuracy: float | None
    early_steps: float | None
    spikes_per_sample: float
    layer_spikes: Mapping[str, float]
    synaptic_events_per_sample: float
    overflows: Mapping[str, int]
    seconds: float
    samples_per_second: float
    steps_per_second: float
    cores: int
    chips: int
    target: str
    backend: str

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(eq=False)
class _Log:
    """Answers so far, in order of the samples."""

    answers: list[NDArray[np.int64]] = field(default_factory=list)
    float_answers: list[NDArray[np.int64]] = field(default_factory=list)
    early_answers: list[NDArray[np.int64]] = field(default_factory=list)
    early_steps: list[NDArray[np.int64]] = field(default_factory=list)
    spikes: list[NDArray[np.int64]] = field(default_factory=list)
    events: list[NDArray[np.int64]] = field(default_factory=list)
    overflows: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    seconds: float = 0.0

    @property
    def done(self) -> int:
        return sum(map(len, self.answers))


def holds_float_network(program: Program) -> bool:
    """Whether a Program was built from a float network, which travels with it."""
    return program.manifest.get("source", {}).get("kind") != "nengo"


def float_network(program: Program) -> Network:
    """The float network that travels with a Program.

    Raises
    ------
    DataError
        The Program holds none.
    """
    structure = program.manifest.get("float_network")
    if structure is None:
        raise DataError("the Program holds no float network to compare with; build it again")
    return network_from_tensors(structure, program.attachments)


def output_size(program: Program, output: str | None) -> int:
    """Classes of an output of a Program: of the only one, or of that with a name.

    Raises
    ------
    UsageError
        No name where there are several outputs, or an unknown one.
    """
    return len(range(*_columns(program, output).indices(program.read_out.weights.shape[1])))


def _columns(program: Program, output: str | None) -> slice:
    if output in program.outputs:
        return program.outputs[output or ""]
    if output is None and not program.outputs:
        return slice(None)
    if not program.outputs:
        raise UsageError(f"--output {output}: the network has one output, without a name")
    raise UsageError(
        f"the network has several outputs; name with --output that which the labels are for, of "
        f"{', '.join(program.outputs)}"
    )


def evaluate_program(
    program: Program,
    data: Data,
    backend: Backend,
    *,
    steps: int | None = None,
    resume: Path | None = None,
    output: str | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Run labelled samples on a backend and on the float network.

    Parameters
    ----------
    data : with labels
    steps : per sample; None for the Program's
    resume : file that keeps what is done after each batch, and from which work goes on
    output : which output the labels are for, of a network with several
    progress : called with (samples done, samples in all)

    Raises
    ------
    DataError
        No samples or no labels, or samples that do not fit.
    UsageError
        A resume file of another evaluation.
    """
    if data.y is None:
        raise DataError(f"{data.path}: holds no labels y, which are needed to judge answers")
    if not len(data) or data.y.shape != (len(data),):
        raise DataError(
            f"{data.path}: {len(data)} samples and labels of shape {data.y.shape}; "
            "one sample or more is needed, and one label for each"
        )
    columns = _columns(program, output)
    if output is not None and program.read_out.margin:
        raise UsageError("a Program with several outputs has no early exit; build it without")
    steps = program.steps if steps is None else steps
    network = float_network(program) if holds_float_network(program) else None
    session = backend.load(program)
    names = [program.encoder.name, *(layer.name for layer in program.layers)]
    fingerprint = _fingerprint(program, data, steps, backend, output)
    log = _Log(overflows=np.zeros(len(names), np.int64))
    if resume is not None and resume.exists():
        log = _read_log(resume, fingerprint)
    result_backend, target = "emulator", program.target
    if log.done < len(data):
        session.run(data.x[:0], steps)  # what a backend does once, such as compiling, is not timed
    while log.done < len(data):
        part = data.x[log.done : log.done + BATCH]
        begin = time.perf_counter()
        probes = read_probes(program) if program.read_out.margin else []
        result = session.run(part, steps, probes, first=log.done)
        log.seconds += time.perf_counter() - begin
        result_backend, target = result.backend, result.target
        answers = result.scores[:, columns].argmax(axis=1).astype(np.int64)
        log.float_answers.append(_float_answers(network, part, steps, columns))
        log.answers.append(answers)
        early = Exits(np.full(len(part), steps), answers)
        if program.read_out.margin:
            early = exits(program, scores_over_time(program, result), program.read_out.margin)
        log.early_answers.append(early.answers)
        log.early_steps.append(early.steps)
        log.spikes.append(np.stack([result.spikes[each] for each in names], axis=1))
        log.events.append(result.synaptic_events)
        log.overflows = log.overflows + np.array(
            [result.overflows.get(each, 0) for each in names], np.int64
        )
        if resume is not None:
            write_atomically(resume, _log_bytes(log, fingerprint))
        if progress is not None:
            progress(log.done, len(data))
    return _judge(program, data, log, names, steps, result_backend, target)


def _float_answers(
    network: Network | None, x: NDArray[np.float32], steps: int, columns: slice
) -> NDArray[np.int64]:
    """(samples,) the float network's answers; -1 where there is none."""
    if network is None:
        return np.full(len(x), -1, np.int64)
    outputs = evaluate_frames(network, x, steps)
    return outputs.reshape(len(x), -1)[:, columns].argmax(axis=1).astype(np.int64)


def _judge(
    program: Program,
    data: Data,
    log: _Log,
    names: list[str],
    steps: int,
    backend: str,
    target: str,
) -> Evaluation:
    assert data.y is not None
    right = np.concatenate(log.answers) == data.y
    float_right = np.concatenate(log.float_answers) == data.y
    lost, low, high = paired_difference(float_right, right)
    compared, margin = holds_float_network(program), program.read_out.margin
    spikes = np.concatenate(log.spikes).mean(axis=0)
    samples = len(data)
    return Evaluation(
        samples=samples,
        steps=steps,
        accuracy=float(right.mean()),
        float_accuracy=float(float_right.mean()) if compared else None,
        lost=lost if compared else None,
        lost_low=low if compared else None,
        lost_high=high if compared else None,
        early_accuracy=_mean(np.concatenate(log.early_answers) == data.y) if margin else None,
        early_steps=_mean(np.concatenate(log.early_steps)) if margin else None,
        spikes_per_sample=float(spikes[1:].sum()),
        layer_spikes=dict(zip(names, spikes.tolist(), strict=True)),
        synaptic_events_per_sample=float(np.concatenate(log.events).mean()),
        overflows=dict(zip(names[1:], log.overflows[1:].tolist(), strict=True)),
        seconds=log.seconds,
        samples_per_second=samples / max(log.seconds, 1e-9),
        steps_per_second=samples * steps / max(log.seconds, 1e-9),
        cores=len(program.cores),
        chips=program.chips,
        target=target,
        backend=backend,
    )


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean())


def paired_difference(
    first: NDArray[np.bool_], second: NDArray[np.bool_]
) -> tuple[float, float, float]:
    """Difference of two shares on the same samples, with its 95 % interval.

    Half a sample is added to each of the four cells, as Agresti and Min (2005, Statistics in
    Medicine 24) advise, so that the interval has a width even where no answer differs.
    """
    samples = len(first)
    only_first = float(np.count_nonzero(first & ~second))
    only_second = float(np.count_nonzero(~first & second))
    total = samples + 2
    p, q = (only_first + 0.5) / total, (only_second + 0.5) / total
    middle = p - q
    half = NORMAL_95 * np.sqrt(max(p + q - middle**2, 0) / total)
    difference = (only_first - only_second) / samples
    return difference, float(max(middle - half, -1)), float(min(middle + half, 1))


def _fingerprint(
    program: Program, data: Data, steps: int, backend: Backend, output: str | None
) -> str:
    seed = getattr(backend, "seed", 0)
    kind = type(backend).__name__
    digest = hashlib.sha256(
        f"{program_checksum(program)} {steps} {kind} {seed} {data.x.shape}".encode()
    )
    digest.update(data.x.tobytes() + (output or "").encode())
    if data.y is not None:
        digest.update(data.y.tobytes())
    return digest.hexdigest()


def _log_bytes(log: _Log, fingerprint: str) -> bytes:
    buffer = io.BytesIO()
    np.savez(
        buffer,
        meta=np.array(json.dumps({"fingerprint": fingerprint, "seconds": log.seconds})),
        answers=np.concatenate(log.answers),
        float_answers=np.concatenate(log.float_answers),
        early_answers=np.concatenate(log.early_answers),
        early_steps=np.concatenate(log.early_steps),
        spikes=np.concatenate(log.spikes),
        events=np.concatenate(log.events),
        overflows=log.overflows,
    )
    return buffer.getvalue()


def _read_log(path: Path, fingerprint: str) -> _Log:
    try:
        with np.load(path, allow_pickle=False) as file:
            meta = json.loads(str(file["meta"]))
            log = _Log(
                answers=[file["answers"]],
                float_answers=[file["float_answers"]],
                early_answers=[file["early_answers"]],
                early_steps=[file["early_steps"]],
                spikes=[file["spikes"]],
                events=[file["events"]],
                overflows=file["overflows"],
                seconds=float(meta["seconds"]),
            )
            same = meta["fingerprint"] == fingerprint
    except Exception:
        raise UsageError(
            f"--resume {path}: not a file of an interrupted evaluation; name another"
        ) from None
    if not same:
        raise UsageError(
            f"--resume {path}: it belongs to another Program, data file or number of steps; "
            "name another file"
        )
    return log
