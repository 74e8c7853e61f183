"""Turn a small Keras network into spikes too slow to be seen, and try the remedies.

    python -m examples.keras_to_spikes.keras_to_spikes [--data FILE.npz] [--figure FILE.png]

In 30 steps of 1 ms, a neuron of 34.6 Hz at most does not fire. Then the network answers by its
biases alone, always the same. More steps, higher rates, or training for rates make it work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import nmcompile
from examples.shared import (
    MNIST_CALIBRATE,
    MNIST_TEST,
    draw_answer,
    draw_rasters,
    draw_rate,
    first_recording,
    images,
    parser,
    percent,
    save,
    table,
)
from nmcompile import Program
from nmcompile.analysis.evaluation import Evaluation
from nmcompile.analysis.pictures import PRINT, new_figure, picture_style
from nmcompile.analysis.samples import LayerRates, layer_rates
from nmcompile.host.data import Data
from nmcompile.ir import evaluate

HERE = Path(__file__).parent
PLAIN, REGULARISED = HERE / "plain.keras", HERE / "regularised.keras"
#: Highest rate of the plain network in Hz.
MAX_RATE = 34.6
#: A conversion without the corrections of nmcompile: the largest activation has the highest rate.
BARE = {
    "percentile": 100,
    "threshold_gain": 1.0,
    "gain_samples": 0,
    "initial_voltage": "zero",
}
#: Images for the rates, and the one that is drawn.
RATED, SHOWN = 50, 11
#: Remedies that are drawn.
DRAWN = ("as it is", "100 steps", "rate scale 20", "trained for 200 to 300 Hz")


@dataclass(frozen=True, eq=False)
class Found:
    """What one way to build the network gave.

    Attributes
    ----------
    program : as it was built
    evaluation : on all images
    rates : of the convolution on some of them
    """

    program: Program
    evaluation: Evaluation
    rates: LayerRates

    @property
    def spikes(self) -> float:
        """Spikes of the convolution per image."""
        return self.evaluation.layer_spikes["conv"]


def highest_activation(model: Path) -> float:
    """The largest activation of the convolution on the calibration images."""
    network = nmcompile.load(model).network
    return float(evaluate(network, images(MNIST_CALIBRATE).x, keep=["conv"])["conv"].max())


def remedies() -> dict[str, Program]:
    """The network as it is, and every remedy: what is done -> Program."""

    def build(model: Path = PLAIN, steps: int = 30, **neuron: float) -> Program:
        options: Mapping[str, Any] = {**BARE, "neuron": {"max_rate": MAX_RATE, **neuron}}
        return nmcompile.build(model, calibrate=MNIST_CALIBRATE, steps=steps, **options)

    # An activation stands for as many Hz as in the plain network.
    trained = MAX_RATE * highest_activation(REGULARISED) / highest_activation(PLAIN)
    return {
        "as it is": build(),
        "100 steps": build(steps=100),
        "100 steps, synapse 5 ms": build(steps=100, synapse=0.005),
        "rate scale 5": build(rate_scale=5),
        "rate scale 5, synapse 5 ms": build(rate_scale=5, synapse=0.005),
        "rate scale 20": build(rate_scale=20),
        "rate scale 50": build(rate_scale=50),
        "trained for 200 to 300 Hz": build(REGULARISED, max_rate=trained),
        "defaults of nmcompile": nmcompile.build(PLAIN, calibrate=MNIST_CALIBRATE, steps=30),
    }


def judge(program: Program, data: Data) -> Found:
    """Run a Program on labelled images."""
    rates = layer_rates(program, data.x[:RATED], program.steps)
    return Found(
        program,
        nmcompile.evaluate(program, data),
        next(each for each in rates if each.layer == "conv"),
    )


def draw(found: Mapping[str, Found], data: Data, path: Path) -> None:
    """Raster, rates and output over time of one image, before and with some remedies."""
    assert data.y is not None
    with picture_style():
        figure = new_figure(1000, 470)
        columns = figure.subfigures(1, len(DRAWN))
        for column, name in zip(columns, DRAWN, strict=True):
            program = found[name].program
            recording = first_recording(program, data.x[SHOWN], program.steps)
            upper, lower = column.subfigures(2, 1, height_ratios=(1, 1.6))
            column.suptitle(name, color=PRINT.ink)
            draw_rasters(upper, program, recording, ["conv"])
            middle, bottom = lower.subplots(2, 1, sharex=True)
            draw_rate(middle, program, recording, "conv")
            draw_answer(bottom, recording, int(data.y[SHOWN]))
        save(figure, path)


def main(arguments: list[str] | None = None) -> dict[str, Found]:
    """Build and run all ways, print what each gives, and draw some if asked to."""
    options = parser(__doc__, MNIST_TEST).parse_args(arguments)
    data = images(options.data)
    found = {name: judge(program, data) for name, program in remedies().items()}
    rows = [
        (
            name,
            each.program.steps,
            percent(each.evaluation.float_accuracy or 0),
            percent(each.evaluation.accuracy),
            f"{each.rates.rates_hz.max():.0f}",
            f"{np.mean(each.rates.rates_hz):.1f}",
            percent(each.rates.saturated),
            f"{each.spikes:,.0f}",
        )
        for name, each in found.items()
    ]
    heads = ("", "steps", "float", "chip", "max Hz", "mean Hz", "saturated", "spikes")
    print(table(heads, rows))
    diagnosis = nmcompile.diagnose(found["as it is"].program, data)
    print("\ndiagnose, of the network as it is:")
    for number, finding in enumerate(diagnosis.findings[:3], start=1):
        print(f"{number}. {finding}")
    if options.figure is not None:
        draw(found, data, options.figure)
    return found


if __name__ == "__main__":
    main()
