"""What one tiny network says about one kind of layer."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from nmcompile.api import build
from nmcompile.backends.emulator import Emulator
from nmcompile.errors import NmcompileError, UnsupportedError
from nmcompile.frontends import load
from nmcompile.frontends.python import is_nengo
from nmcompile.ir import Network, evaluate, nodes

#: Name of the layer that a tiny network is about.
PROBED = "probed"
#: Steps and samples of a measurement.
STEPS, SAMPLES = 64, 32
#: Seed of random weights, so that networks of several formats have the same.
SEED = 0


def weights(rng: np.random.Generator, size: tuple[int, ...]) -> Any:
    """Weights that keep numbers as large as they are; the last axis counts the outputs."""
    return rng.normal(0.1, 1 / np.sqrt(prod(size[:-1])), size).astype(np.float32)


@dataclass(frozen=True)
class Made:
    """A network that was written.

    Attributes
    ----------
    model : file, or network in memory
    layer : the layer that it is about; None where it stands for the whole network
    options : of loading it
    """

    model: Any
    layer: str | None = PROBED
    options: Mapping[str, Any] = field(default_factory=dict)


Maker = Callable[[Path], Made]


@dataclass(frozen=True)
class Cell:
    """A verdict.

    Attributes
    ----------
    text : of the table
    why : what is said of a layer that is refused, and what to do instead
    """

    text: str
    why: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "why", " ".join(self.why.split()))


def judge(make: Maker) -> Cell:
    """Load and build a tiny network; where spikes stand in for a layer, measure by how much."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        made = make(Path(folder))
        if is_nengo(made.model):
            return _judge_nengo(made)
        try:
            network = load(made.model, **made.options).network
        except UnsupportedError as error:
            first = error.obstacles[0]
            return Cell("refused", f"{first.why}; {first.remedy}")
        except NmcompileError as error:
            return Cell("refused", str(error))
        rng = np.random.default_rng(0)
        x = rng.random((SAMPLES, *network.sample_shape), np.float32)
        approximated = made.layer is not None and _is_approximated(network, made.layer)
        try:
            program = build(
                made.model, calibrate=x, steps=STEPS, **made.options,
                **({} if approximated else {"gain_samples": 0}),
            )  # fmt: skip
        except NmcompileError as error:
            return Cell("refused", str(error).replace(folder, ""))
        if any("is left out" in str(each.message) for each in warned):
            return Cell("approximated, without its rounding")
        if not approximated:
            return Cell("exact")
        found = Emulator(jobs=1).load(program).run(x).scores
        wanted = evaluate(network, x)[network.outputs[0].name].reshape(len(x), -1)
        assert wanted.any(), "a network of zeros says nothing"
        error = float(np.abs(found - wanted).mean() / np.abs(wanted).max())
        return Cell(f"approximated, {100 * error:.1f} %")


def _judge_nengo(made: Made) -> Cell:
    """Build a Nengo network, which is quantised as it is built."""
    try:
        build(made.model, steps=STEPS)
    except NmcompileError as error:
        obstacles = getattr(error, "obstacles", ())
        first = f"{obstacles[0].why}; {obstacles[0].remedy}" if obstacles else str(error)
        return Cell("refused", first)
    return Cell("exact")


def _is_approximated(network: Network, layer: str) -> bool:
    """Whether neurons of the chip stand for a function that they have not."""
    return any(
        layer in (*node.origin, node.name) and isinstance(node, nodes.ReLU) for node in network
    )
