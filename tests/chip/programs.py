"""Programs that several tests share, each built once."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np

from nmcompile.chip.program import Program
from nmcompile.hardware import Target, parse_target
from nmcompile.passes.base import NmcompileWarning
from nmcompile.passes.options import checked_options
from nmcompile.passes.pipeline import compile_network
from tests.networks import random_network, small_cnn
from tests.passes.stages import small_core

#: Loihi 1 with fewer compartments, so that a small network needs several cores.
CORES_OF_300 = Target(hardware=small_core(compartments=300))


def samples(program: Program, count: int, seed: int = 3) -> np.ndarray:
    """Random inputs in 0..1."""
    rng = np.random.default_rng(seed)
    return rng.random((count, *program.encoder.input_shape), dtype=np.float32)


def compiled(network: object, target: Target | None = None, **options: object) -> Program:
    """Compile with seeded calibration data."""
    size = network.inputs[0].size  # type: ignore[attr-defined]
    x = np.random.default_rng(0).random((24, *size), dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NmcompileWarning)
        return compile_network(  # type: ignore[arg-type]
            network, target or parse_target(None), checked_options(**options), x
        )


@cache
def small_program() -> Program:
    """A convolutional network on a few cores."""
    return compiled(small_cnn(), CORES_OF_300, steps=16)


@cache
def random_program(seed: int) -> Program:
    """A random network."""
    return compiled(random_network(seed), steps=16)
