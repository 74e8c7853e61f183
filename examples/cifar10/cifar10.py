"""Run a plain ReLU network for CIFAR-10 as spikes, and see what steps, rates and synapses cost.

    python -m examples.cifar10.cifar10 [--data cifar10.npz] [--trade] [--figure FILE.png]

Without CIFAR-10, which is not shipped, small pictures cut from photographs take its place. They
have no labels; there, an answer is right where it is the float network's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nmcompile
from examples.shared import (
    draw_answer,
    draw_image,
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
from nmcompile.analysis.evaluation import Evaluation, float_network
from nmcompile.analysis.pictures import new_figure, picture_style
from nmcompile.host.data import Data
from nmcompile.ir import evaluate

HERE = Path(__file__).parent
MODEL, PHOTOS = HERE / "cifar10.keras", HERE / "photos.npz"
CLASSES = (
    "aeroplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
STEPS = 32
#: Picture that is drawn: the face of a cat.
SHOWN = 64
#: What is tried: steps, highest rate in Hz, factor on all rates, synapse in seconds.
TRADE = (
    (16, 800, 1, 0.0),
    (32, 800, 1, 0.0),
    (64, 800, 1, 0.0),
    (32, 100, 1, 0.0),
    (32, 200, 1, 0.0),
    (32, 400, 1, 0.0),
    (32, 100, 4, 0.0),
    (32, 100, 20, 0.0),
    (32, 800, 1, 0.005),
    (32, 200, 1, 0.005),
    (64, 200, 1, 0.005),
)


def build(steps: int = STEPS, **options: Any) -> Program:
    """The network on the chip, its thresholds chosen by the photographs."""
    return nmcompile.build(MODEL, calibrate=images(PHOTOS).x, steps=steps, **options)


def with_answers(program: Program, data: Data) -> Data:
    """The data; where they have no labels, with the float network's answers as such."""
    if data.y is not None:
        return data
    network = float_network(program)
    scores = evaluate(network, data.x)[network.outputs[0].name]
    return replace(data, y=scores.argmax(axis=1))


def trade(
    data: Data, tried: Sequence[tuple[int, float, float, float]] = TRADE
) -> dict[tuple[int, float, float, float], Evaluation]:
    """What each choice of steps, rate, factor and synapse gives on some images."""
    found = {}
    for chosen in tried:
        steps, rate, factor, synapse = chosen
        neuron = {"max_rate": rate, "rate_scale": factor, "synapse": synapse}
        program = build(steps, neuron=neuron)
        found[chosen] = nmcompile.evaluate(program, with_answers(program, data))
    return found


def show(found: Mapping[tuple[int, float, float, float], Evaluation], right: str) -> None:
    """Print a row for each choice."""
    rows = [
        (
            steps,
            f"{rate} Hz",
            factor,
            f"{1000 * synapse:g} ms",
            percent(each.accuracy),
            f"{each.spikes_per_sample:,.0f}",
        )
        for (steps, rate, factor, synapse), each in found.items()
    ]
    print(table(("steps", "max rate", "rate scale", "synapse", right, "spikes"), rows))


def draw(program: Program, data: Data, path: Path) -> None:
    """A picture, spikes of the first convolution and the dense layer, and scores over time."""
    assert data.y is not None
    label = int(data.y[SHOWN])
    recording = first_recording(program, data.x[SHOWN], program.steps)
    with picture_style():
        figure = new_figure(820, 380)
        left, middle, right = figure.subfigures(1, 3, width_ratios=(1, 1.6, 1.7))
        draw_image(left.subplots(), data.x[SHOWN], f"picture {SHOWN}")
        draw_rasters(middle, program, recording, ["conv1", "dense"])
        upper, lower = right.subplots(2, 1, height_ratios=(2, 1))
        draw_answer(upper, recording, label, CLASSES)
        draw_rate(lower, program, recording, "dense")
        save(figure, path)


def main(arguments: list[str] | None = None) -> dict[Any, Evaluation]:
    """Run one build or, with `--trade`, many; print what each gives, and draw if asked to."""
    options = parser(__doc__, PHOTOS)
    options.add_argument("--limit", type=int, default=300, help="images (default: %(default)s)")
    options.add_argument("--trade", action="store_true", help="try many builds: takes minutes")
    chosen = options.parse_args(arguments)
    data = images(chosen.data, chosen.limit)
    found = trade(data, TRADE if chosen.trade else TRADE[1:2])
    first = next(iter(found.values()))
    right = "as in floats" if data.y is None else "right"
    print(
        f"{first.samples} images; the float network: {percent(first.float_accuracy or 0)} {right}"
    )
    show(found, right)
    if chosen.figure is not None:
        program = build()
        draw(program, with_answers(program, images(PHOTOS)), chosen.figure)
    return found


if __name__ == "__main__":
    main()
