"""Draw the pictures in docs/figures from the shipped networks and the examples' scripts."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import nmcompile
from nmcompile.analysis.pictures import (
    PICTURED,
    PRINT,
    draw_all_cores,
    draw_input,
    draw_raster,
    draw_scores,
    layer_colours,
    new_figure,
    picture_style,
    png_bytes,
)
from nmcompile.analysis.samples import Recording, record
from nmcompile.files import write_atomically
from nmcompile.host.data import load_data

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "docs" / "figures"
MNIST = ROOT / "examples" / "mnist"
#: Examples whose scripts draw a picture of their own.
EXAMPLES = (
    "lif_tuning_curve",
    "keras_to_spikes",
    "mnist_lif",
    "cifar10_encoder",
    "cifar10",
    "columns",
)
#: The test image that is shown.
SAMPLE = 11


def main() -> None:
    program = nmcompile.build(MNIST / "mnist.keras", calibrate=MNIST / "calibrate_500.npz")
    data = load_data(MNIST / "test_1000.npz", program.encoder.input_shape, labels=10)
    assert data.y is not None
    recording = next(record(program, data.x[SAMPLE : SAMPLE + 1], program.steps))
    FIGURES.mkdir(parents=True, exist_ok=True)
    with picture_style():
        figure = overview(program, recording, data.x[SAMPLE], int(data.y[SAMPLE]))
        write_atomically(FIGURES / "overview.png", png_bytes(figure))
    print(f"wrote {FIGURES.relative_to(ROOT) / 'overview.png'}")
    for name in EXAMPLES:
        print(f"\nexamples/{name}", flush=True)
        script = import_module(f"examples.{name}.{name}")
        script.main(["--figure", str(FIGURES / f"{name}.png")])


def overview(program: Any, recording: Recording, x: Any, label: int) -> Any:
    """From an image to spikes, scores and cores in one picture."""
    figure = new_figure(960, 400)
    figure.get_layout_engine().set(w_pad=6 / 72, h_pad=4 / 72, wspace=0.03)
    colours = layer_colours(program)
    left, middle, right = figure.subfigures(1, 3, width_ratios=(1.25, 3.4, 3))
    picture = left.subplots()
    draw_input(picture, x, PRINT)
    picture.set_title("image", color=PRINT.ink)
    draw_layers(middle, recording, colours)
    top, bottom = right.subfigures(2, 1, height_ratios=(1.15, 1))
    scores = top.subplots()
    draw_scores(scores, recording, label, PRINT)
    scores.set_title("class scores over time", loc="left", color=PRINT.ink)
    scores.set_xlabel("step")
    rows = bottom.subplots(2, 1, sharex=True)
    draw_all_cores(rows, program, colours, PRINT, list(PICTURED)[:2])
    return figure


def draw_layers(figure: Any, recording: Recording, colours: dict[str, str]) -> None:
    """Rasters of all layers, one above the other."""
    rows = figure.subplots(len(recording.spikes), 1, sharex=True)
    for axes, (name, spikes) in zip(rows, recording.spikes.items(), strict=True):
        # Neurons that fire, evenly spaced: at this size the others would be empty rows.
        firing = np.flatnonzero(spikes.any(axis=0))
        chosen = firing[np.linspace(0, len(firing) - 1, 60).round().astype(int)]
        draw_raster(axes, spikes[:, chosen], colours[name], PRINT)
        axes.set_ylabel(name, rotation=0, ha="right", va="center", color=colours[name])
    rows[0].set_title("spikes, layer by layer", loc="left", color=PRINT.ink)
    rows[-1].set_xlabel("step")


if __name__ == "__main__":
    main()
