"""Choose samples worth a look, record every spike of them, and measure how often layers fire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from nmcompile.backends.base import Probe, Result, Session
from nmcompile.backends.emulator import Emulator
from nmcompile.chip.program import Program
from nmcompile.host.decoder import decode, step_weights
from nmcompile.ir.nodes import FloatArray

#: Samples that are chosen for a look, and wrong ones among them.
SHOWN, WRONG_SHOWN = 8, 3
#: Memory that the probes of one run may take, in bytes.
PROBE_BYTES = 64 << 20
#: A neuron that fires in at least this share of the steps in which it could is saturated.
SATURATED = 0.95


@dataclass(frozen=True, eq=False)
class Recording:
    """One sample on the emulator, step by step.

    Attributes
    ----------
    scores : (steps, outputs) float64, as the read-out would give them after each step
    spikes : layer -> (steps, neurons) bool, the encoder's first
    """

    scores: NDArray[np.float64]
    spikes: Mapping[str, NDArray[np.bool_]]

    @property
    def answer(self) -> int:
        """Number of the largest score at the end."""
        return int(self.scores[-1].argmax())


@dataclass(frozen=True, eq=False)
class LayerRates:
    """How often the neurons of a layer fire.

    Attributes
    ----------
    layer : its name
    rates_hz : (samples, neurons) of the steps in which the layer can fire
    highest_hz : the rate that the time step and the refractory period allow
    """

    layer: str
    rates_hz: NDArray[np.float64]
    highest_hz: float

    @property
    def mean_hz(self) -> float:
        """Mean over neurons and samples."""
        return float(self.rates_hz.mean())

    @property
    def silent(self) -> float:
        """Share of neurons that are silent in a sample, on average."""
        return float((self.rates_hz == 0).mean())

    @property
    def never(self) -> float:
        """Share of neurons that are silent in all samples."""
        return float((self.rates_hz == 0).all(axis=0).mean())

    @property
    def saturated(self) -> float:
        """Share of neurons that fire almost whenever they can, on average."""
        return float((self.rates_hz >= SATURATED * self.highest_hz).mean())


def record(program: Program, x: FloatArray, steps: int) -> Iterator[Recording]:
    """Run samples on the emulator and keep every spike.

    Parameters
    ----------
    x : (samples, *input shape)
    steps : time steps per sample
    """
    session = Emulator().load(program)
    names = layer_names(program)
    read = program.read_out
    probes = list(dict.fromkeys([Probe(name, "spikes") for name in names] + read_probes(program)))
    neurons = sum(layer.neurons for layer in program.layers) + int(np.prod(program.encoder.shape))
    batch = max(1, PROBE_BYTES // (neurons * steps * (5 if read.kind == "voltage" else 1)))
    for start in range(0, len(x), batch):
        result = session.run(x[start : start + batch], steps, probes)
        for k, scores in enumerate(scores_over_time(program, result)):
            spikes = {name: result.probes[Probe(name, "spikes")][k].astype(bool) for name in names}
            yield Recording(scores, spikes)


def read_probes(program: Program) -> list[Probe]:
    """What has to be probed for scores over time."""
    kind = "v" if program.read_out.kind == "voltage" else "spikes"
    return [Probe(name, kind) for name in program.read_out.layers]


def scores_over_time(program: Program, result: Result) -> NDArray[np.float64]:
    """(samples, steps, outputs) scores as the read-out would give them after each step.

    Parameters
    ----------
    result : with the probes of `read_probes`
    """
    seen = np.concatenate([result.probes[probe] for probe in read_probes(program)], axis=2)
    found = []
    for steps in range(1, result.steps + 1):
        if program.read_out.kind == "voltage":
            values = seen[:, steps - 1].astype(np.int64)
        else:
            counted = step_weights(program, steps)
            values = np.einsum("t,stn->sn", counted, seen[:, :steps], casting="unsafe")
        found.append(decode(program, values, steps))
    return np.stack(found, axis=1)


def choose_samples(
    answers: NDArray[np.int64], labels: NDArray[np.int64], count: int = SHOWN
) -> list[int]:
    """Numbers of samples worth a look: a few wrong ones, and right ones of many classes."""
    right = np.flatnonzero(answers == labels).tolist()
    wrong = np.flatnonzero(answers != labels).tolist()
    seen: dict[int, int] = {}
    for number in right:
        seen.setdefault(int(labels[number]), number)
    firsts = sorted(seen.values())
    kept = wrong[: max(WRONG_SHOWN, count - len(right))]
    others = [number for number in right if number not in seen.values()]
    return sorted((kept + firsts + others)[:count])


def spike_counts(
    program: Program, session: Session, x: FloatArray, steps: int, first: int = 0
) -> Iterator[tuple[Result, dict[str, NDArray[np.int64]]]]:
    """Run samples, as many at a time as probes have room for, and count every neuron's spikes.

    Parameters
    ----------
    session : of the program
    x : (samples, *input shape)
    first : number of the first sample, on which its noise depends

    Yields
    ------
    a result, and layer -> (samples, neurons) spikes, the encoder's first
    """
    names = layer_names(program)
    probes = [Probe(name, "spikes") for name in names]
    batch = counted_at_once(program, steps)
    for start in range(0, len(x), batch):
        result = session.run(x[start : start + batch], steps, probes, first + start)
        yield result, {each.layer: result.probes[each].sum(axis=1) for each in probes}


def counted_at_once(program: Program, steps: int) -> int:
    """Samples whose spikes `spike_counts` probes in one run."""
    neurons = sum(layer.neurons for layer in program.layers) + int(np.prod(program.encoder.shape))
    return max(1, PROBE_BYTES // (neurons * steps))


@dataclass(frozen=True)
class Firing:
    """When the neurons of a layer can fire.

    Attributes
    ----------
    steps : from the first input on
    most : spikes that the refractory period allows in these
    """

    steps: int
    most: int


def firing(program: Program, steps: int) -> dict[str, Firing]:
    """The encoder and every layer that can fire, in order."""
    found = {program.encoder.name: Firing(max(steps, 1), max(steps, 1))}
    for layer in program.layers:
        if program.read_out.kind == "voltage" and layer.name in program.read_out.layers:
            continue
        seen = max(steps - layer.depth, 1)
        pause = int(program.cores[int(layer.core[0])].profiles.refractory[0])
        found[layer.name] = Firing(seen, ceil(seen / pause))
    return found


def layer_rates(program: Program, x: FloatArray, steps: int) -> list[LayerRates]:
    """Rates of the encoder, and of every layer that can fire, on some samples."""
    found = [counts for _, counts in spike_counts(program, Emulator().load(program), x, steps)]
    rates = []
    for name, each in firing(program, steps).items():
        seconds = each.steps * program.dt_s
        spikes = np.concatenate([counts[name] for counts in found])
        rates.append(LayerRates(name, spikes / seconds, each.most / seconds))
    return rates


def layer_names(program: Program) -> list[str]:
    """The encoder and the layers on the chip, in order."""
    return [program.encoder.name, *(layer.name for layer in program.layers)]
