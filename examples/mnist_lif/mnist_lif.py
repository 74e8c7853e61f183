"""Classify digits with three layers of LIF neurons on the emulated chip, in 30 steps.

    python -m examples.mnist_lif.mnist_lif [--data FILE.npz] [--figure FILE.png]

The images are the 1,000 shipped ones, or those of any file with x and y or, as Keras has them,
x_test and y_test.
"""

from __future__ import annotations

from pathlib import Path

import nmcompile
from examples.shared import (
    MNIST_CALIBRATE,
    MNIST_TEST,
    draw_answer,
    draw_image,
    first_recording,
    images,
    parser,
    percent,
    save,
    table,
)
from nmcompile import Program
from nmcompile.analysis.evaluation import Evaluation
from nmcompile.analysis.pictures import new_figure, picture_style
from nmcompile.host.data import Data

MODEL = Path(__file__).with_name("mnist_lif_tuned.keras")
STEPS = 30
#: Images that are drawn.
SHOWN = (11, 18, 3)


def build() -> Program:
    """The network on the chip; its neurons keep the thresholds that they were trained with."""
    return nmcompile.build(MODEL, calibrate=MNIST_CALIBRATE, steps=STEPS)


def draw(program: Program, data: Data, path: Path) -> None:
    """Each of some images beside the ten outputs over time."""
    assert data.y is not None
    with picture_style():
        figure = new_figure(620, 150 * len(SHOWN))
        rows = figure.subplots(len(SHOWN), 2, width_ratios=(1, 3.2))
        for (left, right), number in zip(rows, SHOWN, strict=True):
            label = int(data.y[number])
            draw_image(left, data.x[number], f"image {number}, a {label}")
            draw_answer(right, first_recording(program, data.x[number], STEPS), label)
        save(figure, path)


def main(arguments: list[str] | None = None) -> Evaluation:
    """Build, run all images, print what was measured, and draw some if asked to."""
    options = parser(__doc__, MNIST_TEST).parse_args(arguments)
    program = build()
    data = images(options.data)
    found = nmcompile.evaluate(program, data)
    assert found.float_accuracy is not None
    rows = [
        ("images", f"{found.samples:,}"),
        ("right as rates, in floats", percent(found.float_accuracy)),
        (f"right on the chip, {found.steps} steps", percent(found.accuracy)),
        ("spikes per image on the chip", f"{found.spikes_per_sample:,.0f}"),
        *(
            (f"  mean rate of {layer.name}", f"{_hz(found, program, layer.name):.1f} Hz")
            for layer in program.layers
        ),
        ("cores", str(found.cores)),
    ]
    print(table(("measured", ""), rows))
    if options.figure is not None:
        draw(program, data, options.figure)
    return found


def _hz(found: Evaluation, program: Program, name: str) -> float:
    """Mean rate of a layer's neurons over all steps."""
    return found.layer_spikes[name] / (program.layer(name).neurons * found.steps * program.dt_s)


if __name__ == "__main__":
    main()
