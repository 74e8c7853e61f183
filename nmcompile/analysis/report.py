"""Write one page with pictures of what a Program did on labelled samples."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nmcompile.analysis.evaluation import Evaluation
from nmcompile.analysis.inline import (
    PAGE,
    inline,
    input_picture,
    raster_picture,
    rates_picture,
    scores_picture,
)
from nmcompile.analysis.pages import template
from nmcompile.analysis.pictures import (
    PICTURED,
    draw_all_cores,
    layer_colours,
    new_figure,
    picture_style,
)
from nmcompile.analysis.resources import network_use
from nmcompile.analysis.samples import (
    SATURATED,
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
from nmcompile.ir.text import shape_text

#: Samples that are searched for wrong answers, and counted for rates.
SEARCHED, COUNTED = 500, 32


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
                "image": input_picture(data.x[number]),
                "scores": scores_picture(each, int(data.y[number])),
            }
            for number, each in zip(chosen, shown, strict=True)
        ]
        pictures = {
            "raster": raster_picture(shown[0], [each.layer for each in rates], colours),
            "rates": rates_picture(rates, colours),
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


def _cores_picture(program: Program, colours: Mapping[str, str]) -> Any:
    figure = new_figure(960, 90 * len(PICTURED) + 40)
    rows = figure.subplots(len(PICTURED), 1, sharex=True)
    draw_all_cores(rows, program, colours, PAGE)
    return inline(figure)
