"""The rate curve is what the emulator does, for every bias that a register can hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompile.backends.base import Probe
from nmcompile.backends.emulator import Emulator
from nmcompile.chip import arithmetic
from nmcompile.chip.core import (
    Blocks,
    Compartments,
    Core,
    Formats,
    InputAxons,
    OutputAxons,
    Profiles,
    Synapses,
    Thresholds,
)
from nmcompile.chip.program import Encoder, Injection, Layer, Program, ReadOut
from nmcompile.chip.rate_curve import rate_curve

PER_CORE = 1024
#: Mantissa and exponent of every positive bias, and some that are not.
BIASES = np.array(
    [(m, e) for e in range(8) for m in range(1, 4096)] + [(m, 7) for m in range(-4096, 1, 97)]
)


def biased(biases: np.ndarray, decay_v: int, mantissa: int, refractory: int) -> Program:
    """Compartments without synapses, each with its own bias."""
    cores = []
    for position, start in enumerate(range(0, len(biases), PER_CORE)):
        part = biases[start : start + PER_CORE]
        rows = [(0, 0, m, e, -1, 0, start + k) for k, (m, e) in enumerate(part.tolist())]
        cores.append(
            Core(
                profiles=Profiles.from_rows([(4095, decay_v, refractory, 0)]),
                thresholds=Thresholds.from_rows([(mantissa,)]),
                formats=Formats.empty(),
                compartments=Compartments.from_rows(rows),
                blocks=Blocks.empty(),
                synapses=Synapses.empty(),
                input_axons=InputAxons.empty(),
                output_axons=OutputAxons.empty(),
                position=position,
            )
        )
    numbers = np.arange(len(biases), dtype=np.int32)
    layer = Layer(
        name="neurons",
        shape=(len(biases),),
        core=numbers // PER_CORE,
        compartment=numbers % PER_CORE,
        amplitude=1.0,
        voltage_scale=1.0,
        depth=1,
    )
    return Program(
        target="loihi1:nahuku-32",
        cores=tuple(cores),
        encoder=Encoder.passing("encoder", 1, input_scale=1.0, threshold=1000),
        injection=Injection.empty(),
        layers=(layer,),
        read_out=ReadOut(
            kind="counts",
            layers=("neurons",),
            weights=np.ones((len(biases), 1), np.float32),
            bias=np.zeros(1, np.float32),
        ),
        steps=8,
        dt_s=0.001,
    )


def assert_exact(
    biases: np.ndarray, decay_v: int, mantissa: int, refractory: int, steps: int
) -> None:
    program = biased(biases, decay_v, mantissa, refractory)
    probe = Probe("neurons", "spikes")
    result = Emulator().load(program).run(np.zeros((1, 1), np.float32), steps, [probe])
    found = np.asarray(result.probes[probe][0])
    drive = biases[:, 0] << biases[:, 1]
    period = rate_curve(drive, decay_v, arithmetic.threshold(mantissa), refractory)
    first = period - max(refractory - 1, 0)
    late = np.arange(1, steps + 1)[:, None] - first
    expected = (period > 0) & (late >= 0) & (late % np.maximum(period, 1) == 0)
    assert np.array_equal(found, expected)
    assert found.any()


@pytest.mark.parametrize(
    ("decay_v", "mantissa", "refractory"),
    [(0, 1000, 1), (0, 8000, 3), (200, 1000, 1), (200, 300, 4), (4095, 64, 2), (1, 5000, 1)],
)
def test_every_bias_fires_as_the_curve_says(decay_v: int, mantissa: int, refractory: int) -> None:
    assert_exact(BIASES, decay_v, mantissa, refractory, steps=64)


@settings(max_examples=25, deadline=None)
@given(
    decay_v=st.integers(0, 4095),
    mantissa=st.integers(0, 131071),
    refractory=st.integers(1, 63),
    seed=st.integers(0, 2**16),
)
def test_random_registers_fire_as_the_curve_says(
    decay_v: int, mantissa: int, refractory: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    picked = BIASES[rng.integers(0, len(BIASES), 100)]
    picked[0] = (4095, 7)
    period = rate_curve(picked[:, 0] << picked[:, 1], decay_v, mantissa << 6, refractory)
    if period.any():
        assert_exact(picked, decay_v, mantissa, refractory, steps=int(period[0] or 8) + 70)


@pytest.mark.parametrize("decay_v", [1, 3, 17])
def test_a_voltage_that_stands_still_just_below_the_threshold_never_fires(decay_v: int) -> None:
    drive = np.arange(1, 400)
    v = 0
    for _ in range(100_000):
        v = arithmetic.decay(v, decay_v) + 300
    assert rate_curve(drive, decay_v, v)[299] == 0
    assert rate_curve(drive, decay_v, v - 1)[299] > 0
    assert (np.diff((rate_curve(drive, decay_v, v) > 0).astype(int)) >= 0).all()


def test_the_curve_keeps_the_shape_of_its_drive() -> None:
    assert rate_curve(np.full((2, 3), 5), 0, 10).tolist() == [[3, 3, 3], [3, 3, 3]]
    assert rate_curve(5, 0, 10).shape == ()
