"""Compare encoders that turn colour pixels into spikes: learnt, on and off, or on only.

    python -m examples.cifar10_encoder.cifar10_encoder [--data cifar10.npz] [--figure FILE.png]

Without CIFAR-10, which is not shipped, the photographs of examples/cifar10 take its place. They
have no labels; there, an answer is right where it is the float network's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import nmcompile
from examples.cifar10.cifar10 import PHOTOS, with_answers
from examples.shared import draw_image, images, parser, percent, save, table
from nmcompile import Program
from nmcompile.analysis.evaluation import Evaluation
from nmcompile.analysis.pictures import COLOURS, PRINT, new_figure, picture_style
from nmcompile.analysis.samples import record
from nmcompile.host.data import Data

HERE = Path(__file__).parent
#: File of each network -> what its encoder is called here.
ENCODERS = {"learnt": "4 learnt", "on_off": "6, on and off", "on": "3, on only"}
#: As in nengo-loihi's example: 200 steps of which the last 30 % are read, synapses of 10 ms.
STEPS, WINDOW, SYNAPSE, MAX_RATE = 200, 0.3, 0.01, 150.0
#: Images whose first spikes are looked at, and the one that is drawn.
WATCHED, SHOWN = 20, 119
#: Share of pixels, the darkest of an image, that count as dark.
DARK = 0.1


@dataclass(frozen=True, eq=False)
class Found:
    """What one encoder gave.

    Attributes
    ----------
    program : with the encoder
    evaluation : on all images
    first : (images, rows, columns) step in which a pixel's first spike was sent; `STEPS` + 1
        where there was none
    dark_step : mean of that over the darkest pixels of each image
    """

    program: Program
    evaluation: Evaluation
    first: NDArray[np.int64]
    dark_step: float


def build(name: str, steps: int = STEPS) -> Program:
    """One of the networks on the chip."""
    return nmcompile.build(
        HERE / f"{name}.keras",
        calibrate=images(PHOTOS).x,
        steps=steps,
        window=WINDOW,
        percentile=99.9,
        neuron={"max_rate": MAX_RATE, "synapse": SYNAPSE},
    )


def multiplications(program: Program) -> int:
    """Multiplications by weights that the encoder needs for an image.

    Where all weights of a layer have the same size, or are zero, additions and subtractions do.
    """
    count = 0
    for layer in program.encoder.layers:
        sizes = np.abs(layer.weights[layer.weights != 0])
        if len(np.unique(sizes)) > 1:
            rows, columns = layer.view.shape[:2]
            count += rows * columns * len(sizes)
    return count


def first_spikes(program: Program, x: NDArray[np.float32]) -> NDArray[np.int64]:
    """(images, rows, columns) steps, from 1 on, in which each pixel's first spike was sent."""
    found = []
    for recording in record(program, x, program.steps):
        sent = recording.spikes[program.encoder.name]
        pixels = sent.reshape(program.steps, *program.encoder.shape).any(axis=3)
        found.append(np.where(pixels.any(axis=0), pixels.argmax(axis=0), program.steps) + 1)
    return np.stack(found)


def dark_step(first: NDArray[np.int64], x: NDArray[np.float32]) -> float:
    """Mean step of the first spike over the darkest pixels of each image."""
    brightness = x.mean(axis=3)
    limit = np.quantile(brightness, DARK, axis=(1, 2), keepdims=True)
    return float(first[brightness <= limit].mean())


def judge(program: Program, data: Data) -> Found:
    """Run a network on some images."""
    watched = data.x[:WATCHED]
    first = first_spikes(program, watched)
    evaluation = nmcompile.evaluate(program, with_answers(program, data))
    return Found(program, evaluation, first, dark_step(first, watched))


def draw(programs: dict[str, Program], x: NDArray[np.float32], path: Path) -> None:
    """When each pixel of a picture sends its first spike, by encoder.

    Parameters
    ----------
    x : (rows, columns, channels), the picture
    """
    shown = 30
    with picture_style():
        figure = new_figure(960, 220)
        left, *maps, right = figure.subplots(1, 5, width_ratios=(1, 1, 1, 1, 1.3))
        draw_image(left, x, "picture")
        for axes, colour, (name, program) in zip(maps, COLOURS[1:], programs.items(), strict=False):
            first = first_spikes(program, x[None])[0]
            seen = axes.imshow(first, vmin=1, vmax=shown, cmap="viridis_r", interpolation="none")
            axes.set_title(ENCODERS[name], color=colour)
            axes.set_axis_off()
            steps = np.arange(1, shown + 1)
            shares = [100 * np.mean(first <= step) for step in steps]
            right.plot(steps, shares, color=colour, linewidth=1.6)
        figure.colorbar(seen, ax=maps, shrink=0.8, label="step of the first spike")
        right.set_title("% of pixels that have fired", loc="left", color=PRINT.ink)
        right.set_xlabel("step")
        right.set_xlim(1, shown)
        right.set_ylim(0, 102)
        save(figure, path)


def main(arguments: list[str] | None = None) -> dict[str, Found]:
    """Run all networks, print what each gives, and draw if asked to."""
    options = parser(__doc__, PHOTOS)
    options.add_argument("--limit", type=int, default=300, help="images (default: %(default)s)")
    chosen = options.parse_args(arguments)
    data = images(chosen.data, chosen.limit)
    found = {name: judge(build(name), data) for name in ENCODERS}
    rows = [
        (
            ENCODERS[name],
            percent(each.evaluation.float_accuracy or 0),
            percent(each.evaluation.accuracy),
            f"{each.evaluation.layer_spikes['encoder']:,.0f}",
            f"{each.evaluation.spikes_per_sample:,.0f}",
            f"{multiplications(each.program):,}",
            f"{each.dark_step:.1f}",
        )
        for name, each in found.items()
    ]
    print(f"{len(data)} images; right: {'as in floats' if data.y is None else 'the label'}")
    heads = ("neurons per pixel", "float", "chip", "encoder spikes", "chip spikes")
    print(table((*heads, "host multiplications", "first step of dark pixels"), rows))
    if chosen.figure is not None:
        programs = {name: each.program for name, each in found.items()}
        draw(programs, images(PHOTOS).x[SHOWN], chosen.figure)
    return found


if __name__ == "__main__":
    main()
