"""How fast a LIF neuron fires for a current: two formulas, the chip's own curve, and a count.

    python -m examples.lif_tuning_curve.lif_tuning_curve [--figure FILE.png]

Every current from 0 to 3 that the chip's bias registers can hold has a neuron of its own. All of
them run on the emulated chip, and the steps from spike to spike are counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from examples.shared import parser, save, table
from nmcompile import Emulator, Program
from nmcompile.analysis.pictures import COLOURS, PRINT, new_figure, picture_style
from nmcompile.backends.base import Probe
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
from nmcompile.chip.program import Encoder, Injection, Layer, ReadOut
from nmcompile.chip.rate_curve import rate_curve
from nmcompile.hardware import parse_target
from nmcompile.ir.reference import firing_rate

TARGET = "loihi1:nahuku-32"
CHIP = parse_target(TARGET).hardware
#: Membrane time constant, refractory period and time step in seconds.
TAU, REFRACTORY, DT = 0.005, 0.010, 0.001
#: The smoothing of SoftLIF.
LAMBDA = 0.05
HIGHEST = 3.0
#: Enough for two spikes of the slowest neuron that fires at all.
STEPS = 256

#: The decay register, the share of the voltage that is lost in a step by it, and the steps in
#: which the voltage stays zero after a spike.
DECAY_V = round((1 - math.exp(-DT / TAU)) * (1 << arithmetic.DECAY_BITS))
LEAK = DECAY_V / (1 << arithmetic.DECAY_BITS)
PAUSE = round(REFRACTORY / DT)
#: Decay of a current that lasts one step, largest bias, and a threshold for which that is 3.
DECAY_MAX = int(CHIP.compartment.decay_max.value)
MANTISSA_MAX = int(CHIP.compartment.bias_mantissa_max.value)
EXPONENT_MAX = int(CHIP.compartment.bias_exponent_max.value)
THRESHOLD = int((MANTISSA_MAX << EXPONENT_MAX) / (HIGHEST * LEAK)) >> arithmetic.THRESHOLD_SHIFT

Curve = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curves:
    """Rates in Hz at the currents of the chip's biases, all of shape (currents,).

    Attributes
    ----------
    current : in units of the smallest one that makes a neuron fire
    hard : the LIF formula, with max(x, 0) for the current above 1
    soft : the same with lambda * log(1 + exp(x / lambda))
    discrete : the LIF neuron in whole steps
    chip : as the chip's integers give it
    measured : counted on the emulated chip
    """

    current: Curve
    hard: Curve
    soft: Curve
    discrete: Curve
    chip: Curve
    measured: Curve


def biases() -> NDArray[np.int64]:
    """(currents, 2) mantissa and exponent of each bias from 0 on, one for each value."""
    mantissa, exponent = np.meshgrid(
        np.arange(MANTISSA_MAX + 1), np.arange(EXPONENT_MAX + 1), indexing="ij"
    )
    _, first = np.unique(mantissa << exponent, return_index=True)
    return np.stack([mantissa.reshape(-1)[first], exponent.reshape(-1)[first]], axis=1)


def neurons(biases: NDArray[np.int64]) -> Program:
    """A Program of LIF neurons without synapses, each with its own bias as current."""
    per_core = int(CHIP.core.compartments.value)
    starts = range(0, len(biases), per_core)
    number = np.arange(len(biases))
    layer = Layer(
        name="lif",
        shape=(len(biases),),
        core=(number // per_core).astype(np.int32),
        compartment=(number % per_core).astype(np.int32),
        amplitude=1.0,
        voltage_scale=1.0,
        depth=1,
    )
    return Program(
        target=TARGET,
        cores=tuple(
            _core(biases[start : start + per_core], start, place)
            for place, start in enumerate(starts)
        ),
        encoder=Encoder.passing("nothing", 1, input_scale=1.0, threshold=1),
        injection=Injection.empty(),
        layers=(layer,),
        read_out=ReadOut(
            kind="counts",
            layers=("lif",),
            weights=np.ones((len(biases), 1), np.float32),
            bias=np.zeros(1, np.float32),
        ),
        steps=STEPS,
        dt_s=DT,
    )


def _core(biases: NDArray[np.int64], start: int, position: int) -> Core:
    rows = [(0, 0, m, e, -1, 0, start + k) for k, (m, e) in enumerate(biases.tolist())]
    return Core(
        profiles=Profiles.from_rows([(DECAY_MAX, DECAY_V, PAUSE + 1, 0)]),
        thresholds=Thresholds.from_rows([(THRESHOLD,)]),
        formats=Formats.empty(),
        compartments=Compartments.from_rows(rows),
        blocks=Blocks.empty(),
        synapses=Synapses.empty(),
        input_axons=InputAxons.empty(),
        output_axons=OutputAxons.empty(),
        position=position,
    )


def rates(spikes: NDArray[np.bool_]) -> Curve:
    """Rates in Hz from (steps, neurons) spikes: by the mean steps from one to the next.

    A neuron that fires once at most has the rate 0.
    """
    count = spikes.sum(axis=0)
    first = spikes.argmax(axis=0)
    last = len(spikes) - 1 - spikes[::-1].argmax(axis=0)
    return _in_hz(np.where(count > 1, (last - first) / np.maximum(count - 1, 1), 0.0))


def _in_hz(period: Curve) -> Curve:
    """Rates for periods in steps, where 0 stands for never."""
    return np.where(period > 0, 1 / (np.where(period > 0, period, 1.0) * DT), 0.0)


def lif_rate(above: Curve) -> Curve:
    """Rate in Hz of a LIF neuron in continuous time, for what its current is above 1."""
    with np.errstate(divide="ignore"):
        return np.where(above > 0, 1 / (REFRACTORY + TAU * np.log1p(1 / above)), 0.0)


def curves(chosen: NDArray[np.int64]) -> Curves:
    """All curves at the currents of some biases of shape (currents, 2)."""
    drive = chosen[:, 0] << chosen[:, 1]
    threshold = arithmetic.threshold(THRESHOLD)
    # What the drive charges in a step is the share of the current that the leak lets in.
    current = drive / (LEAK * threshold)
    probe = Probe("lif", "spikes")
    run = Emulator().load(neurons(chosen)).run(np.zeros((1, 1), np.float32), STEPS, [probe])
    period = rate_curve(drive, DECAY_V, threshold, PAUSE + 1)
    return Curves(
        current=current,
        hard=lif_rate(np.maximum(current - 1, 0)),
        soft=lif_rate(LAMBDA * np.logaddexp(0, (current - 1) / LAMBDA)),
        discrete=firing_rate(drive / threshold, 1.0, LEAK, PAUSE) / DT,
        chip=_in_hz(period.astype(np.float64)),
        measured=rates(np.asarray(run.probes[probe][0], bool)),
    )


def draw(found: Curves, path: Path) -> None:
    """All curves in one picture, and the onset once more, larger."""
    with picture_style():
        figure = new_figure(760, 320)
        for axes, (low, high, top) in zip(
            figure.subplots(1, 2), ((0.0, HIGHEST, 90.0), (0.8, 1.3, 60.0)), strict=True
        ):
            axes.step(found.current, found.measured, color=COLOURS[2], linewidth=3, alpha=0.6)
            axes.plot(found.current, found.chip, color=PRINT.ink, linewidth=1)
            axes.plot(found.current, found.hard, color=COLOURS[1], linewidth=1.4)
            axes.plot(found.current, found.soft, color=COLOURS[3], linewidth=1.4, linestyle="--")
            axes.set_xlim(low, high)
            axes.set_ylim(0, top)
            axes.set_xlabel("current")
            axes.set_ylabel("rate in Hz")
        axes.legend(["measured", "chip's curve", "LIF", "SoftLIF"], frameon=False, loc="upper left")
        save(figure, path)


def main(arguments: list[str] | None = None) -> Curves:
    """Run the neurons, print rates at some currents, and draw all of them if asked to."""
    options = parser(__doc__).parse_args(arguments)
    found = curves(biases())
    rows = []
    for wanted in (0.5, 0.9, 1.0, 1.01, 1.05, 1.2, 1.5, 2.0, 3.0):
        k = int(np.abs(found.current - wanted).argmin())
        row = (found.hard, found.soft, found.discrete, found.chip, found.measured)
        rows.append([f"{found.current[k]:.3f}", *(f"{curve[k]:.1f}" for curve in row)])
    print(table(("current", "LIF", "SoftLIF", "whole steps", "chip", "measured"), rows))
    same = int((found.measured == found.chip).sum())
    print(f"measured as the chip's curve says: {same} of {len(found.current)} currents")
    if options.figure is not None:
        draw(found, options.figure)
    return found


if __name__ == "__main__":
    main()
