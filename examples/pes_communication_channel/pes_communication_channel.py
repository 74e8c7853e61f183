"""A communication channel that learns on the chip by PES, beside Nengo's own simulator.

    python examples/pes_communication_channel/pes_communication_channel.py [--figure FILE.png]

The connection from `pre` to `post` starts at a random constant. Its weights learn on the chip;
`post` and `error` run on the host, as nengo-loihi splits such networks.
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

SECONDS = 10.0
#: Length of the first and last part whose errors are compared.
PART = 2.0
NEURONS = 60
#: A seed whose random start is far from right, so that there is much to learn.
SEED = 184


@dataclass(frozen=True)
class Channel:
    """The network and its probes."""

    network: nengo.Network
    stimulus: nengo.Probe
    pre: nengo.Probe
    post: nengo.Probe
    error: nengo.Probe


@dataclass(frozen=True, eq=False)
class Run:
    """What a simulator gave: (steps,) values in time, and the seconds that it took."""

    name: str
    time: NDArray[np.float64]
    values: dict[str, NDArray[np.float64]]
    seconds: float

    def error_rms(self, start: float, end: float) -> float:
        """Root mean square of the error between two times in seconds."""
        part = self.values["error"][(self.time > start) & (self.time <= end)]
        return float(np.sqrt(np.mean(part**2)))

    @property
    def ratio(self) -> float:
        """Error of the last part over that of the first."""
        end = float(self.time[-1])
        return self.error_rms(end - PART, end) / self.error_rms(0, PART)


def channel(seed: int = SEED, seconds: float = SECONDS) -> Channel:
    """White noise into `pre`, and a connection to `post` that learns to pass it on."""
    start = np.random.default_rng(seed).uniform(-1, 1, 1)
    with nengo.Network(seed=seed, label="PES communication channel") as network:
        stimulus = nengo.Node(
            nengo.processes.WhiteSignal(seconds, high=5, rms=0.5, seed=seed), label="stimulus"
        )
        pre = nengo.Ensemble(NEURONS, dimensions=1, label="pre")
        post = nengo.Ensemble(NEURONS, dimensions=1, label="post")
        error = nengo.Ensemble(NEURONS, dimensions=1, label="error")
        nengo.Connection(stimulus, pre)
        learnt = nengo.Connection(
            pre, post, function=lambda x: start, learning_rule_type=nengo.PES(learning_rate=1e-3)
        )
        nengo.Connection(post, error)
        nengo.Connection(pre, error, transform=-1)
        nengo.Connection(error, learnt.learning_rule)
        return Channel(
            network,
            stimulus=nengo.Probe(stimulus),
            pre=nengo.Probe(pre, synapse=0.01),
            post=nengo.Probe(post, synapse=0.01),
            error=nengo.Probe(error, synapse=0.03),
        )


def run(made: Channel, name: str, simulator: Any, seconds: float, **options: Any) -> Run:
    """Simulate, and time the simulation alone."""
    with simulator(made.network, **options) as sim:
        begin = time.perf_counter()
        sim.run(seconds)
        took = time.perf_counter() - begin
    values = {
        part: np.asarray(sim.data[getattr(made, part)])[:, 0]
        for part in ("stimulus", "pre", "post", "error")
    }
    return Run(name, np.asarray(sim.trange()), values, took)


def draw(runs: list[Run], path: Path) -> None:
    """One column a simulator; stimulus, pre and post above, the error below."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, len(runs), figsize=(12, 6), sharex=True, sharey="row")
    for column, each in zip(axes.T, runs, strict=True):
        for part in ("stimulus", "pre", "post"):
            column[0].plot(each.time, each.values[part], label=part, linewidth=0.8)
        column[0].set_title(f"{each.name}, {each.seconds:.1f} s")
        column[0].legend(loc="lower right")
        column[1].plot(each.time, each.values["error"], color="black", linewidth=0.8)
        column[1].set_xlabel("time in s")
    axes[0, 0].set_ylabel("decoded value")
    axes[1, 0].set_ylabel("error")
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def main(arguments: list[str] | None = None) -> list[Run]:
    """Run both simulators, print what was learnt, and draw it where a figure is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=SECONDS, help="simulated time")
    parser.add_argument("--seed", type=int, default=SEED, help="of the network")
    parser.add_argument("--figure", type=Path, help="picture to write, .png")
    options = parser.parse_args(arguments)
    made = channel(options.seed, options.seconds)
    runs = [
        run(made, "nmcompile, chip and host", Simulator, options.seconds),
        run(made, "Nengo", nengo.Simulator, options.seconds, progress_bar=False),
    ]
    for each in runs:
        print(
            f"{each.name}: {options.seconds:g} s in {each.seconds:.1f} s; error rms "
            f"{each.error_rms(0, PART):.3f} in the first {PART:g} s, "
            f"{each.error_rms(options.seconds - PART, options.seconds):.3f} in the last, "
            f"ratio {each.ratio:.3f}"
        )
    if options.figure is not None:
        draw(runs, options.figure)
        print(f"drawn in {options.figure}")
    return runs


if __name__ == "__main__":
    main()
