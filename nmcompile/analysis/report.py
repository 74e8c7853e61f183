"""Write one page with pictures of what a Program did on labelled samples."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from nmcompile.analysis.evaluation import Evaluation
from nmcompile.analysis.pages import template
from nmcompile.analysis.pictures import (
    PICTURED,
    Theme,
    draw_all_cores,
    draw_input,
    draw_raster,
    draw_rates,
    draw_scores,
    layer_colours,
    new_figure,
    picture_style,
    raster_height,
)
from nmcompile.analysis.resources import network_use
from nmcompile.analysis.samples import (
    SATURATED,
    LayerRates,
    Recording,
    choose_samples,
    layer_names,
    layer_rates,
    record,
)
from nmcompile.backends.emulator import Emulator
from nmcompile.backends.emulator.session import OverflowWarning
from nmcompile.chip.program import Program
from nmcompile.files import write_atomically
from nmcompile.hardware import parse_target
from nmcompile.host.data import Data
from nmcompile.ir.nodes import FloatArray
from nmcompile.ir.text import shape_text

#: Samples that are searched for wrong answers, and counted for rates.
SEARCHED, COUNTED = 500, 32
#: Stand-ins that `_inline` turns into the page's own colours, light or dark.
PAGE = Theme("#010101", "#020202", "#030303", "#040404", "#050505")
#: Stand-in colour -> variable of the page's style sheet.
_VARIABLES = {
    PAGE.ink: "var(--ink)",
    PAGE.muted: "var(--muted)",
    PAGE.line: "var(--line)",
    PAGE.right: "var(--right)",
    PAGE.wrong: "var(--wrong)",
}


def write_report(path: str | Path, program: Program, data: Data, evaluation: Evaluation) -> None:
    """Write a self-contained HTML page; equal arguments give equal bytes.

    Parameters
    ----------
    data : the samples that were judged, with labels
    evaluation : what was found

    Raises
    ------
    UsageError
        The extra `report` is not installed, or the file cannot be written.
    """
    page = template("report.html.jinja", "matplotlib")
    with warnings.catch_warnings():
        # The evaluation has counted overflows already, and the page lists them.
        warnings.simplefilter("ignore", OverflowWarning)
        content = _content(program, data, evaluation)
    text = page.render(content)
    write_atomically(path, text.encode())


def _content(program: Program, data: Data, evaluation: Evaluation) -> dict[str, Any]:
    """All that the template shows."""
    assert data.y is not None
    steps = evaluation.steps
    answers = Emulator().load(program).run(data.x[:SEARCHED], steps).answers
    chosen = choose_samples(answers, data.y[:SEARCHED])
    shown = list(record(program, data.x[chosen], steps))
    rates = layer_rates(program, data.x[:COUNTED], steps)
    colours = layer_colours(program)
    hardware = parse_target(program.target).hardware
    uses = {use.layer: use for use in network_use(program, hardware).layers}
    with picture_style():
        samples = [
            {
                "number": number,
                "label": int(data.y[number]),
                "answer": each.answer,
                "right": each.answer == int(data.y[number]),
                "image": _input_picture(data.x[number]),
                "scores": _scores_picture(each, int(data.y[number])),
            }
            for number, each in zip(chosen, shown, strict=True)
        ]
        pictures = {
            "raster": _raster_picture(shown[0], [each.layer for each in rates], colours),
            "rates": _rates_picture(rates, colours),
            "cores": _cores_picture(program, colours),
        }
    by_name = {each.layer: each for each in rates}
    passes = list(program.manifest.get("passes", []))
    return {
        "program": program,
        "evaluation": evaluation,
        "data_name": Path(data.path).name,
        "counted": min(COUNTED, len(data)),
        "searched": min(SEARCHED, len(data)),
        "wrong": int(np.count_nonzero(answers != data.y[:SEARCHED])),
        "samples": samples,
        "raster_sample": chosen[0],
        "layers": [
            {
                "name": name,
                "colour": colours[name],
                "shape": shape_text(_shape(program, name)),
                "spikes": evaluation.layer_spikes.get(name, 0.0),
                "rates": by_name.get(name),
                "use": uses[name].sentence() if name in uses else "on the host",
            }
            for name in layer_names(program)
        ],
        "overflows": {name: n for name, n in evaluation.overflows.items() if n},
        "saturated": SATURATED,
        "split": next((e["changes"] for e in passes if e["name"] == "split"), "-"),
        "passes": passes,
        "source": program.manifest.get("source", {}),
        "network": str(program.manifest.get("network", "network")),
        "calibration": program.manifest.get("calibration", "-"),
        **pictures,
    }


def _shape(program: Program, name: str) -> tuple[int, ...]:
    encoder = program.encoder
    return encoder.shape if name == encoder.name else program.layer(name).shape


def _input_picture(x: FloatArray) -> Any:
    figure = new_figure(120, 120)
    if x.ndim == 3:
        figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1)) if x.ndim == 3 else figure.add_subplot()
    draw_input(axes, x, PAGE)
    return _inline(figure)


def _scores_picture(recording: Recording, label: int) -> Any:
    figure = new_figure(330, 150)
    axes = figure.add_subplot()
    draw_scores(axes, recording, label, PAGE)
    axes.set_xlabel("step")
    return _inline(figure)


def _raster_picture(recording: Recording, names: Sequence[str], colours: Mapping[str, str]) -> Any:
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
    return _inline(figure)


def _rates_picture(rates: Sequence[LayerRates], colours: Mapping[str, str]) -> Any:
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
    return _inline(figure)


def _cores_picture(program: Program, colours: Mapping[str, str]) -> Any:
    figure = new_figure(960, 90 * len(PICTURED) + 40)
    rows = figure.subplots(len(PICTURED), 1, sharex=True)
    draw_all_cores(rows, program, colours, PAGE)
    return _inline(figure)


def _inline(figure: Any) -> Any:
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
