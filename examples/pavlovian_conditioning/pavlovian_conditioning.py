"""Pavlovian conditioning on the chip, beside Nengo's own simulator.

    python examples/pavlovian_conditioning/pavlovian_conditioning.py [--figure FILE.png]

Three unconditioned stimuli (US) cause unconditioned responses (UR). Each follows a conditioned
stimulus (CS) whose connection to the conditioned response (CR) learns by PES, but only between
2 and 8 seconds. Afterwards the response comes with the conditioned stimulus alone.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nengo
import numpy as np
from numpy.typing import NDArray

from nmcompile.nengo import Simulator

SECONDS = 15.0
#: Learning is on between these times, in seconds.
LEARNING = (2.0, 8.0)
DIMENSIONS = 3
NEURONS = 100 * DIMENSIONS
#: Seconds after which the three pairs of stimuli come again, and when in its second each
#: stimulus begins; both end with it.
PERIOD = 3.0
US_START, CS_START = 0.9, 0.7
CONDITIONED = np.array([[0.7, 0.0, 0.5], [0.6, 0.7, 0.8], [0.0, 1.0, 0.0]])


def stimulus(t: float, start: float, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vector i from `start` to 1 of second i of each period, zero between."""
    second, fraction = divmod(t % PERIOD, 1.0)
    return vectors[int(second)] if fraction > start else np.zeros(DIMENSIONS)


def unconditioned(t: float) -> NDArray[np.float64]:
    """The unconditioned stimulus at a time."""
    return stimulus(t, US_START, np.eye(DIMENSIONS))


def conditioned(t: float) -> NDArray[np.float64]:
    """The conditioned stimulus at a time."""
    return stimulus(t, CS_START, CONDITIONED)


def stop(t: float) -> float:
    """1 where nothing is to be learnt."""
    return 0.0 if LEARNING[0] < t < LEARNING[1] else 1.0


@dataclass(frozen=True)
class Conditioning:
    """The network and its probes, by name."""

    network: nengo.Network
    probes: dict[str, nengo.Probe]


@dataclass(frozen=True, eq=False)
class Run:
    """What a simulator gave: (steps, dimensions) values in time, and the seconds it took."""

    name: str
    time: NDArray[np.float64]
    values: dict[str, NDArray[np.float64]]
    seconds: float

    def response(self, start: float) -> NDArray[np.float64]:
        """(stimuli, dimensions) what a CS alone adds to the CR, in the period from a time on.

        The CR while the CS is there and the US is not yet, less the CR just before the CS.
        """
        fraction, second = self.time % 1, (self.time % PERIOD).astype(int)
        inside = (self.time > start) & (self.time <= start + PERIOD)
        alone = inside & (fraction > CS_START + 0.1) & (fraction < US_START)
        before = inside & (fraction > CS_START - 0.1) & (fraction < CS_START)
        found = self.values["CR"]
        return np.array(
            [
                found[alone & (second == k)].mean(axis=0)
                - found[before & (second == k)].mean(axis=0)
                for k in range(DIMENSIONS)
            ]
        )


def conditioning(seed: int = 0) -> Conditioning:
    """The circuit; what learns ends in `cr`, which nengo-loihi keeps on the host with `error`."""
    with nengo.Network(seed=seed, label="Pavlovian conditioning") as network:
        us_stim, cs_stim = nengo.Node(unconditioned, label="us_stim"), nengo.Node(conditioned)
        us = nengo.Ensemble(NEURONS, DIMENSIONS, label="us")
        ur = nengo.Ensemble(NEURONS, DIMENSIONS, label="ur")
        cs = nengo.Ensemble(2 * NEURONS, 2 * DIMENSIONS, label="cs")
        cr = nengo.Ensemble(NEURONS, DIMENSIONS, label="cr")
        error = nengo.Ensemble(NEURONS, DIMENSIONS, label="error")
        nengo.Connection(us_stim, us)
        nengo.Connection(us, ur)
        # Into all of `cs` with zeros, since nengo-loihi 1.1 cannot connect to a part of it.
        first = np.eye(2 * DIMENSIONS, DIMENSIONS)
        nengo.Connection(cs_stim, cs, transform=first)
        # The second half remembers the stimulus for a while.
        second = np.roll(first, DIMENSIONS, axis=0)
        nengo.Connection(cs[:DIMENSIONS], cs, transform=second, synapse=0.2)
        learnt = nengo.Connection(
            cs,
            cr,
            function=lambda x: np.zeros(DIMENSIONS),
            learning_rule_type=nengo.PES(learning_rate=3e-4),
        )
        nengo.Connection(cr, error, synapse=0.1)
        nengo.Connection(ur, error, transform=-1)
        nengo.Connection(error, learnt.learning_rule)
        stop_learning = nengo.Node(stop, label="stop_learning")
        nengo.Connection(stop_learning, error.neurons, transform=-10 * np.ones((NEURONS, 1)))
        return Conditioning(
            network,
            {
                "US": nengo.Probe(us_stim),
                "CS": nengo.Probe(cs_stim),
                "UR": nengo.Probe(ur, synapse=0.03),
                "CR": nengo.Probe(cr, synapse=0.03),
                "error": nengo.Probe(error, synapse=0.03),
                "stop": nengo.Probe(stop_learning),
            },
        )


def run(made: Conditioning, name: str, simulator: Any, seconds: float, **options: Any) -> Run:
    """Simulate, and time the simulation alone."""
    with simulator(made.network, **options) as sim:
        begin = time.perf_counter()
        sim.run(seconds)
        took = time.perf_counter() - begin
    values = {part: np.asarray(sim.data[probe]) for part, probe in made.probes.items()}
    return Run(name, np.asarray(sim.trange()), values, took)


def draw(runs: list[Run], path: Path) -> None:
    """One column a simulator, one row a signal, one line a dimension."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    parts = list(runs[0].values)
    figure, axes = pyplot.subplots(
        len(parts), len(runs), figsize=(13, 10), sharex=True, sharey="row"
    )
    for column, each in zip(axes.T, runs, strict=True):
        column[0].set_title(f"{each.name}, {each.seconds:.1f} s")
        for axis, part in zip(column, parts, strict=True):
            axis.plot(each.time, each.values[part], linewidth=0.8)
            axis.axvspan(*LEARNING, color="0.93", zorder=0)
        column[0].legend([f"dimension {k}" for k in range(DIMENSIONS)], loc="upper right")
        column[-1].set_xlabel("time in s; learning where grey")
    for axis, part in zip(axes[:, 0], parts, strict=True):
        axis.set_ylabel(part)
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def main(arguments: list[str] | None = None) -> list[Run]:
    """Run both simulators, print what was learnt, and draw it where a figure is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figure", type=Path, help="picture to write, .png")
    options = parser.parse_args(arguments)
    made = conditioning(options.seed)
    runs = [
        run(made, "nmcompile, chip and host", Simulator, SECONDS),
        run(made, "Nengo", nengo.Simulator, SECONDS, progress_bar=False),
    ]
    for each in runs:
        print(f"{each.name}: {SECONDS:g} s in {each.seconds:.1f} s; CR to each CS alone, last 3 s:")
        for k, row in enumerate(each.response(SECONDS - PERIOD)):
            words = ", ".join(f"{value:+.3f}" for value in row)
            print(f"  CS {k}: {words}; largest in dimension {row.argmax()}")
    if options.figure is not None:
        draw(runs, options.figure)
        print(f"drawn in {options.figure}")
    return runs


if __name__ == "__main__":
    main()
