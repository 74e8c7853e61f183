"""Pictures as SVG inside a page, in the page's own colours, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from nmcompile.analysis.pictures import (
    Theme,
    draw_input,
    draw_raster,
    draw_rates,
    draw_scores,
    new_figure,
    raster_height,
)
from nmcompile.analysis.samples import LayerRates, Recording
from nmcompile.ir.nodes import FloatArray

#: Stand-ins that `inline` turns into the page's own colours, light or dark.
PAGE = Theme("#010101", "#020202", "#030303", "#040404", "#050505")
#: Stand-in colour -> variable of the page's style sheet.
_VARIABLES = {
    PAGE.ink: "var(--ink)",
    PAGE.muted: "var(--muted)",
    PAGE.line: "var(--line)",
    PAGE.right: "var(--right)",
    PAGE.wrong: "var(--wrong)",
}


def input_picture(x: FloatArray) -> Any:
    """A sample."""
    figure = new_figure(120, 120)
    if x.ndim == 3:
        figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1)) if x.ndim == 3 else figure.add_subplot()
    draw_input(axes, x, PAGE)
    return inline(figure)


def scores_picture(recording: Recording, label: int) -> Any:
    """Scores of the classes step by step."""
    figure = new_figure(330, 150)
    axes = figure.add_subplot()
    draw_scores(axes, recording, label, PAGE)
    axes.set_xlabel("step")
    return inline(figure)


def raster_picture(recording: Recording, names: Sequence[str], colours: Mapping[str, str]) -> Any:
    """Spikes of layers, one below the other."""
    heights = [raster_height(recording.spikes[name].shape[1]) for name in names]
    figure = new_figure(960, sum(heights) + 14 * len(heights) + 40)
    rows = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)
    for axes, name in zip(rows[:, 0], names, strict=True):
        spikes = recording.spikes[name]
        count = draw_raster(axes, spikes, colours[name], PAGE)
        share = "" if count == spikes.shape[1] else f"{count} of "
        axes.set_ylabel(
            f"{name}\n{share}{spikes.shape[1]:,}",
            rotation=0,
            ha="right",
            va="center",
            color=colours[name],
        )
    rows[-1, 0].set_xlabel("step")
    return inline(figure)


def rates_picture(rates: Sequence[LayerRates], colours: Mapping[str, str]) -> Any:
    """Histograms of the rates of layers."""
    columns = min(4, len(rates))
    lines = ceil(len(rates) / columns)
    figure = new_figure(240 * columns, 150 * lines)
    grid = figure.subplots(lines, columns, squeeze=False).reshape(-1)
    for axes, each in zip(grid, rates, strict=False):
        draw_rates(axes, each, colours[each.layer], PAGE)
        axes.set_title(each.layer, color=colours[each.layer])
        axes.set_xlabel("Hz")
        axes.set_ylabel("% of neurons")
    for axes in grid[len(rates) :]:
        axes.set_axis_off()
    return inline(figure)


def inline(figure: Any) -> Any:
    """A figure as SVG that takes its text and line colours from the page."""
    from markupsafe import Markup

    buffer = io.StringIO()
    metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.S)
    text = re.sub(r' id="[a-zA-Z.]+[0-9]?[a-z]*_\d+"', "", text)
    text = re.sub(r"'[^']*'(?:, '[^']*')*(?:, sans-serif)?(?=[;\"])", "inherit", text)
    for stand_in, variable in _VARIABLES.items():
        text = text.replace(stand_in, variable)
    return Markup(text)
