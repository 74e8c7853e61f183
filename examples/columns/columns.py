"""Classify digits that the emulated chip sees one column a step.

    python -m examples.columns.columns [--data FILE.npz] [--figure FILE.png]

The images are the 1,000 shipped ones as columns; or those of a file with x_test and y_test, as
Keras has MNIST, which become columns here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import nmcompile
from examples.shared import (
    draw_answer,
    draw_image,
    draw_rasters,
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

FOLDER = Path(__file__).parent
#: Rows and columns in the middle of an image that are kept.
SIDE = 24
#: A step for each column, and three until the last has reached the last layer.
STEPS = 27
#: Image that is drawn.
SHOWN = 18


def columns(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """(samples, steps, rows) of (samples, rows, columns, 1): an image, column after column.

    Pixels become 0 or 1, which a spike or none says in the one step that a column is shown.
    """
    margin = (images.shape[1] - SIDE) // 2
    middle = images[:, margin : margin + SIDE, margin : margin + SIDE, 0] > 0.5
    return np.ascontiguousarray(middle.transpose(0, 2, 1), np.float32)


def build() -> Program:
    """The network on the chip: its input is one column."""
    return nmcompile.build(
        FOLDER / "columns.keras", calibrate=FOLDER / "calibrate_500.npz", steps=STEPS
    )


def samples(path: Path, limit: int | None = None) -> Data:
    """Columns of the images of a file, or columns that it holds."""
    with np.load(path) as file:
        if "x_test" not in file and file["x"].ndim == 3:
            return Data(file["x"][:limit], file["y"][:limit].astype(np.int64), str(path))
    found = images(path, limit)
    return Data(columns(found.x), found.y, found.path)


def draw(program: Program, data: Data, path: Path) -> None:
    """The columns as they come, the spikes of all layers, and the scores over time."""
    assert data.y is not None
    recording = first_recording(program, data.x[SHOWN], STEPS)
    names = [program.encoder.name, *(layer.name for layer in program.layers)]
    with picture_style():
        figure = new_figure(760, 420)
        left, right = figure.subfigures(1, 2, width_ratios=(1, 1.6))
        top, bottom = left.subplots(2, 1, height_ratios=(1, 1))
        draw_image(top, data.x[SHOWN].T, "one column a step")
        draw_answer(bottom, recording, int(data.y[SHOWN]))
        draw_rasters(right, program, recording, names)
        save(figure, path)


def main(arguments: list[str] | None = None) -> Evaluation:
    """Build, run all images, print what was measured, and draw one if asked to."""
    options = parser(__doc__, FOLDER / "test_1000.npz").parse_args(arguments)
    program = build()
    data = samples(options.data)
    found = nmcompile.evaluate(program, data)
    backwards = nmcompile.evaluate(
        program, Data(np.ascontiguousarray(data.x[:, ::-1]), data.y, data.path)
    )
    assert found.float_accuracy is not None
    rows = [
        ("images", f"{found.samples:,}"),
        ("right in floats, as trained", percent(found.float_accuracy)),
        (f"right on the chip, {found.steps} steps", percent(found.accuracy)),
        ("right on the chip, columns from right to left", percent(backwards.accuracy)),
        ("spikes per image on the chip", f"{found.spikes_per_sample:,.0f}"),
        ("cores", str(found.cores)),
    ]
    print(table(("measured", ""), rows))
    if options.figure is not None:
        draw(program, data, options.figure)
    return found


if __name__ == "__main__":
    main()
