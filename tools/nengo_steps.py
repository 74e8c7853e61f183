"""Prints the table of docs/how-to/nengo.md: how scores of a Nengo network depend on the steps."""

from __future__ import annotations

import warnings

import nengo
import numpy as np

from nmcompile import Emulator
from nmcompile.nengo import to_program

SAMPLES = 500


def product() -> nengo.Network:
    """The network of the guide."""
    with nengo.Network(seed=3, label="product") as network:
        factors = nengo.Node(np.zeros(2), label="factors")
        both = nengo.Ensemble(300, 2, radius=1.5, label="both")
        result = nengo.Ensemble(200, 1, label="product")
        nengo.Connection(factors, both)
        nengo.Connection(both, result, function=lambda x: x[0] * x[1])
        nengo.Probe(result)
    return network


def main() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (SAMPLES, 2)).astype(np.float32)
    truth = x[:, 0] * x[:, 1]
    warnings.simplefilter("ignore")
    for steps in (32, 100, 300, 1000):
        scores = Emulator().load(to_program(product(), steps=steps)).run(x).scores[:, 0]
        error = np.sqrt(np.mean((scores - truth) ** 2))
        slope = float(scores @ truth / (truth @ truth))
        print(f"| {steps} | {error:.3f} | {slope:.2f} |")


if __name__ == "__main__":
    main()
