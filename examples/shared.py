"""What the example scripts share: options, data, tables, and pictures of one sample over time."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile import Program
from nmcompile.analysis.pictures import (
    PRINT,
    draw_activity,
    draw_input,
    draw_raster,
    draw_scores,
    layer_colours,
    png_bytes,
)
from nmcompile.analysis.samples import Recording, record
from nmcompile.files import write_atomically
from nmcompile.host.data import Data

EXAMPLES = Path(__file__).resolve().parent
#: The shipped images of MNIST, scaled to 0..1.
MNIST_TEST = EXAMPLES / "mnist" / "test_1000.npz"
MNIST_CALIBRATE = EXAMPLES / "mnist" / "calibrate_500.npz"


def parser(text: str | None, data: Path | None = None) -> argparse.ArgumentParser:
    """A command line with `--figure` and, for an example that needs data, `--data`.

    Parameters
    ----------
    text : docstring of the script, whose first line describes it
    data : file that is read where nothing is given
    """
    made = argparse.ArgumentParser(description=(text or "").partition("\n")[0])
    made.add_argument("--figure", type=Path, help="picture to write, .png")
    if data is not None:
        made.add_argument("--data", type=Path, default=data, help="images (default: %(default)s)")
    return made


def images(path: Path, limit: int | None = None) -> Data:
    """The first images of a file, as float32 of shape (n, rows, columns, channels) in 0..1.

    Parameters
    ----------
    path : with x and, if there are labels, y; or with x_test and y_test, as Keras has its sets
    limit : images that are taken at most
    """
    with np.load(path) as file:
        test = "_test" if "x_test" in file else ""
        x = file[f"x{test}"][:limit]
        y = file[f"y{test}"][:limit].reshape(-1).astype(np.int64) if f"y{test}" in file else None
    if x.ndim == 3:
        x = x[..., None]
    scale = np.float32(255 if x.dtype == np.uint8 else 1)
    return Data(x.astype(np.float32) / scale, y, str(path))


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows below their heads, the first column to the left and all others to the right."""
    lines = [tuple(heads), *(tuple(map(str, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])])
        for line in lines
    )


def percent(share: float) -> str:
    """A share of 0..1 as text."""
    return f"{100 * share:.2f} %"


def first_recording(program: Program, x: NDArray[np.float32], steps: int) -> Recording:
    """Every spike of one sample, and its scores after each step."""
    return next(record(program, x[None], steps))


def draw_rasters(figure: Any, program: Program, recording: Recording, names: list[str]) -> None:
    """Spikes of some layers, one above the other; each layer's rate behind its name."""
    colours = layer_colours(program)
    rows = np.atleast_1d(figure.subplots(len(names), 1, sharex=True))
    for axes, name in zip(rows, names, strict=True):
        spikes = recording.spikes[name]
        draw_raster(axes, spikes, colours[name], PRINT)
        hz = spikes.mean() / program.dt_s
        axes.set_title(f"{name}: {hz:.3g} Hz on average", loc="left", color=colours[name])
    rows[-1].set_xlabel("step")


def draw_rate(axes: Any, program: Program, recording: Recording, name: str) -> None:
    """Mean rate of a layer's neurons in each step."""
    draw_activity(axes, recording.spikes[name], layer_colours(program)[name], program.dt_s, PRINT)
    axes.set_title(f"{name}: mean rate in Hz", loc="left", color=PRINT.ink)


def draw_answer(axes: Any, recording: Recording, label: int, classes: Sequence[str] = ()) -> None:
    """Scores over time, with the answer, and the label where there is one, named above."""
    draw_scores(axes, recording, label, PRINT)
    names = list(classes) or [str(k) for k in range(recording.scores.shape[1])]
    axes.set_title(f"scores over time; answer: {names[recording.answer]}", loc="left")
    axes.set_xlabel("step")


def draw_image(axes: Any, x: NDArray[np.float32], title: str = "image") -> None:
    """The sample itself."""
    draw_input(axes, x, PRINT)
    axes.set_title(title, color=PRINT.ink)


def save(figure: Any, path: Path) -> None:
    """Write a picture, and say where."""
    write_atomically(path, png_bytes(figure))
    print(f"drawn in {path}")
