"""Draw one thing into given axes: a sample, its scores, spikes, rates, or how full cores are."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.analysis.parts import layer_parts
from nmcompile.analysis.samples import LayerRates, Recording, layer_names
from nmcompile.chip.program import Program
from nmcompile.hardware import parse_target
from nmcompile.ir.nodes import FloatArray

#: Largest rows of a layer in a raster, and lines in a picture of scores.
RASTER_ROWS, SCORE_LINES = 160, 12
#: Columns that a picture of cores has at most; beyond, each shows the fullest of its cores.
CORE_COLUMNS = 1000
#: Layers take these colours in turn; each reads well on white and on black.
COLOURS = (
    "#7d8590",
    "#3b82d0",
    "#e0803a",
    "#2a9d8f",
    "#b0529c",
    "#c0982a",
    "#7a70e0",
    "#d0525f",
    "#6a9a43",
)
#: Resources of a core that are pictured, with their titles.
PICTURED = {
    "compartments": "compartments",
    "memory_words": "synaptic memory",
    "input_axons": "input axons",
    "output_axon_slots": "output axon slots",
}


@dataclass(frozen=True)
class Theme:
    """Colours of a picture's text and lines.

    Attributes
    ----------
    ink, muted, line : of text, of lesser text, of axes and grids
    right, wrong : of the label's line, and of an answer that is not the label
    """

    ink: str
    muted: str
    line: str
    right: str
    wrong: str


#: Colours for paper, and for pages with a white ground.
PRINT = Theme("#1f2328", "#6e7781", "#d0d7de", "#1a7f37", "#cf222e")


def layer_colours(program: Program) -> dict[str, str]:
    """A colour for each layer."""
    return {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(layer_names(program))}


def draw_input(axes: Any, x: FloatArray, theme: Theme) -> None:
    """A sample: an image where it has two axes in space, else curves."""
    if x.ndim == 3:
        low, high = float(x.min()), float(x.max())
        shown = (x - low) / max(high - low, 1e-9)
        if x.shape[2] == 3:
            axes.imshow(shown, interpolation="none")
        else:
            axes.imshow(shown.mean(axis=2), cmap="gray", interpolation="none", vmin=0, vmax=1)
        axes.set_axis_off()
        return
    curves = x.reshape(len(x), -1) if x.ndim else x.reshape(1, 1)
    if curves.shape[1] > 6:
        axes.imshow(curves.T, cmap="gray", interpolation="none", aspect="auto")
    else:
        for k in range(curves.shape[1]):
            axes.plot(curves[:, k], color=COLOURS[1 + k], linewidth=1.2)
    _quiet(axes, theme)
    axes.set_yticks([])


def draw_scores(axes: Any, recording: Recording, label: int, theme: Theme) -> None:
    """Scores of the classes step by step, with the label and the answer set off."""
    steps, outputs = recording.scores.shape
    order = np.argsort(-recording.scores[-1], kind="stable")[:SCORE_LINES].tolist()
    front = {recording.answer: theme.wrong, label: theme.right}
    when = np.arange(1, steps + 1)
    for k in sorted({*order, *front} & set(range(outputs)), key=lambda k: (k in front, k)):
        colour = front.get(k, theme.line)
        axes.plot(when, recording.scores[:, k], color=colour, linewidth=2.0 if k in front else 1.0)
    # The first scores rest on a spike or two and may be far out; the picture is of the rest.
    settled = recording.scores[steps // 2 :, sorted({*order, *front} & set(range(outputs)))]
    low, high = float(settled.min()), float(settled.max())
    room = max(high - low, 1e-6)
    axes.set_ylim(low - 0.25 * room, high + 0.25 * room)
    ends = {k: float(recording.scores[-1, k]) for k in front if k < outputs}
    crowded = len(ends) == 2 and np.ptp(list(ends.values())) < 0.2 * room
    for k, end in ends.items():
        shift = (6 if end == max(ends.values()) else -6) if crowded else 0
        axes.annotate(
            str(k),
            (steps, end),
            xytext=(5, shift),
            color=front[k],
            textcoords="offset points",
            va="center",
            fontsize=12,
            fontweight="bold",
            annotation_clip=False,
        )
    _quiet(axes, theme)
    axes.set_xlim(1, max(steps, 2))


def draw_raster(axes: Any, spikes: NDArray[np.bool_], colour: str, theme: Theme) -> int:
    """Spikes of a layer, a row a neuron, a column a step; returns the number of rows.

    Rows are evenly spaced neurons where there are too many to show.
    """
    steps, neurons = spikes.shape
    rows: int = min(neurons, RASTER_ROWS)
    chosen = np.linspace(0, neurons - 1, rows).round().astype(int)
    # Six pixels a step, of which three are coloured: a tick, not a box.
    pixels = np.zeros((rows, steps, 6), np.uint8)
    pixels[:, :, 1:4] = 255 * spikes[:, chosen].T[:, :, None]
    image = np.zeros((rows, 6 * steps, 4), np.uint8)
    image[:, :, :3] = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
    image[:, :, 3] = pixels.reshape(rows, -1)
    axes.imshow(image, interpolation="none", aspect="auto", extent=(0.5, steps + 0.5, rows, 0))
    _quiet(axes, theme)
    axes.set_yticks([])
    return rows


def raster_height(neurons: int) -> int:
    """Points that a layer's raster takes."""
    return int(np.clip(min(neurons, RASTER_ROWS), 34, RASTER_ROWS))


def draw_rates(axes: Any, rates: LayerRates, colour: str, theme: Theme) -> None:
    """A histogram of the rates of neurons that fire at all."""
    firing = rates.rates_hz[rates.rates_hz > 0]
    edges = np.linspace(0, rates.highest_hz * 1.0001, 26)
    shares = np.histogram(firing, edges)[0] / max(rates.rates_hz.size, 1)
    axes.bar(edges[:-1], 100 * shares, width=0.86 * np.diff(edges), align="edge", color=colour)
    _quiet(axes, theme)
    axes.set_xlim(0, rates.highest_hz)
    axes.set_ylim(bottom=0)


def draw_activity(
    axes: Any, spikes: NDArray[np.bool_], colour: str, dt_s: float, theme: Theme
) -> None:
    """Mean rate of a layer's neurons in each step, in Hz, of (steps, neurons) spikes."""
    steps = len(spikes)
    axes.plot(np.arange(1, steps + 1), spikes.mean(axis=1) / dt_s, color=colour, linewidth=1.6)
    _quiet(axes, theme)
    axes.set_xlim(1, max(steps, 2))
    axes.set_ylim(bottom=0)


def draw_errors(
    axes: Any,
    layers: Sequence[str],
    errors: Mapping[str, Sequence[float | None]],
    theme: Theme,
) -> None:
    """Relative errors of layers in percent.

    Parameters
    ----------
    errors : colour -> error of each layer as one line, None where there is none
    """
    for colour, line in errors.items():
        values = [np.nan if error is None else 100 * error for error in line]
        axes.plot(range(len(layers)), values, color=colour, marker="o", linewidth=1.6)
    axes.set_xticks(range(len(layers)), list(layers), rotation=0 if len(layers) <= 10 else 45)
    _quiet(axes, theme)
    axes.set_ylim(bottom=0)


def draw_cores(
    axes: Any,
    uses: Mapping[str, NDArray[np.float64]],
    colours: Mapping[str, str],
    theme: Theme,
) -> None:
    """How full cores are of one resource, 1 being the limit, a bar a core, layer on layer.

    Parameters
    ----------
    uses : layer name -> (cores,) share of the limit
    """
    total = np.sum([uses[name] for name in colours if name in uses], axis=0)
    cores = len(total)
    width = ceil(cores / CORE_COLUMNS)
    # Of several cores in one bar the fullest is shown.
    shown = np.array([k + int(np.argmax(total[k : k + width])) for k in range(0, cores, width)])
    gap = 0.14 if len(shown) <= 128 else 0.0
    where = np.repeat(np.arange(0, cores, width, dtype=float), 4)
    where += np.tile([gap, gap, 1 - gap, 1 - gap], len(shown)) * width
    below = np.zeros(len(shown))
    for name, colour in colours.items():
        if name not in uses:
            continue
        heights = uses[name][shown]
        outline = np.stack([below, below + heights, below + heights, below], axis=1)
        kept = np.repeat(heights > 0, 4)
        axes.fill(where[kept], outline.reshape(-1)[kept], color=colour, linewidth=0)
        below = below + heights
    _quiet(axes, theme)
    axes.axhline(1, color=theme.muted, linewidth=0.8, linestyle=(0, (3, 3)))
    axes.set_xlim(0, cores)
    axes.set_ylim(0, 1.08)
    axes.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])


def draw_all_cores(
    rows: Sequence[Any],
    program: Program,
    colours: Mapping[str, str],
    theme: Theme,
    resources: Sequence[str] = tuple(PICTURED),
) -> None:
    """One picture of cores in each of several axes, a resource each."""
    hardware = parse_target(program.target).hardware
    uses = {
        resource: {
            name: np.zeros(len(program.cores)) for name in [layer.name for layer in program.layers]
        }
        for resource in resources
    }
    limits = {resource: getattr(hardware.core, resource).value for resource in resources}
    for name, parts in layer_parts(program).items():
        for part in parts:
            bill = part.bill(hardware)
            for resource in resources:
                uses[resource][name][part.number] = getattr(bill, resource) / limits[resource]
    chips = [core.chip for core in program.cores]
    borders = [k for k in range(1, len(chips)) if chips[k] != chips[k - 1]]
    for axes, resource in zip(rows, resources, strict=True):
        draw_cores(axes, uses[resource], colours, theme)
        title = f"{PICTURED[resource]} (limit {limits[resource]:,})"
        axes.set_title(title, loc="left", color=theme.ink)
        for border in borders if len(borders) < 64 else []:
            axes.axvline(border, color=theme.muted, linewidth=0.8)
    if len(chips) <= 32:
        rows[-1].set_xticks(np.arange(len(chips)) + 0.5, [str(k) for k in range(len(chips))])
    rows[-1].set_xlabel("core")


def _quiet(axes: Any, theme: Theme) -> None:
    """Few lines, small text."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(theme.line)
    axes.tick_params(colors=theme.muted, labelsize=10, length=3, color=theme.line)
    axes.xaxis.label.set_color(theme.muted)
    axes.yaxis.label.set_color(theme.muted)


def new_figure(width: float, height: float) -> Any:
    """A figure of a size in points, which are pixels on the page."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width / 72, height / 72), dpi=72, layout="constrained")


@contextmanager
def picture_style() -> Iterator[None]:
    """Settings of all pictures inside, whatever the user has set; those are back afterwards."""
    import matplotlib as mpl

    plain = {
        name: value
        for name, value in mpl.rcParamsDefault.items()
        if not name.startswith(("backend", "interactive", "toolbar", "webagg"))
    }
    with mpl.rc_context():
        with warnings.catch_warnings():
            # Some versions list settings that they also warn of.
            warnings.simplefilter("ignore")
            mpl.rcParams.update(plain)
        mpl.rcParams.update(
            {
                "svg.hashsalt": "nmcompile",
                "svg.fonttype": "none",
                "text.parse_math": False,
                "font.size": 11,
                "axes.labelsize": 11,
                "axes.titlesize": 11,
            }
        )
        yield


def png_bytes(figure: Any, dpi: int = 144) -> bytes:
    """A figure as PNG without a date or a version in it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()
