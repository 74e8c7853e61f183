"""Write a diagnosis as one page: stages, anomalies, layers, and what chosen samples do."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.analysis.diagnosis import Diagnosis
from nmcompile.analysis.evaluation import float_network, holds_float_network
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
    COLOURS,
    draw_activity,
    draw_errors,
    layer_colours,
    new_figure,
    picture_style,
)
from nmcompile.analysis.samples import (
    SATURATED,
    Recording,
    choose_samples,
    firing,
    layer_rates,
    record,
)
from nmcompile.analysis.stages import CHIP, CURVE, WEIGHTS
from nmcompile.backends.emulator import Emulator
from nmcompile.backends.emulator.session import InputWarning, OverflowWarning
from nmcompile.chip.program import Program
from nmcompile.files import write_atomically
from nmcompile.host.data import Data
from nmcompile.ir.nodes import FloatArray
from nmcompile.ir.over_time import evaluate_frames
from nmcompile.ir.text import shape_text

#: Samples shown where none is chosen, and samples counted for histograms of rates.
SHOWN, COUNTED = 4, 32
#: Stages that are drawn beside the float network, each with its colour.
DRAWN = {WEIGHTS: COLOURS[1], CURVE: COLOURS[5], CHIP: COLOURS[2]}


def write_diagnosis(
    path: str | Path,
    program: Program,
    data: Data,
    found: Diagnosis,
    samples: Sequence[int] = (),
) -> None:
    """Write a self-contained HTML page; equal arguments give equal bytes.

    Parameters
    ----------
    data : all samples of the file, of which the diagnosis took the first
    samples : numbers of those to show; some right and some wrong ones where empty

    Raises
    ------
    UsageError
        The extra `report` is not installed, or the file cannot be written.
    """
    page = template("diagnosis.html.jinja", "matplotlib")
    with warnings.catch_warnings():
        # The diagnosis has counted overflows and warned of inputs already.
        warnings.simplefilter("ignore", OverflowWarning)
        warnings.simplefilter("ignore", InputWarning)
        content = _content(program, data, found, samples)
    write_atomically(path, page.render(content).encode())


def _content(
    program: Program, data: Data, found: Diagnosis, samples: Sequence[int]
) -> dict[str, Any]:
    """All that the template shows."""
    chosen = list(samples) or _chosen(program, data, found)
    x = data.x[chosen]
    shown = list(record(program, x, found.steps))
    floats = _float_answers(program, x)
    colours = layer_colours(program)
    names = list(firing(program, found.steps))
    expected = [
        int(data.y[number]) if data.y is not None else floats[k] if floats else each.answer
        for k, (number, each) in enumerate(zip(chosen, shown, strict=True))
    ]
    with picture_style():
        pictures = [
            {
                "number": number,
                "label": None if data.y is None else int(data.y[number]),
                "float": floats[k] if floats else None,
                "answer": each.answer,
                "right": each.answer == expected[k],
                "image": input_picture(data.x[number]),
                "scores": scores_picture(each, expected[k]),
                "raster": raster_picture(each, names, colours),
                "activity": _activity_picture(each, names, colours, program.dt_s),
            }
            for k, (number, each) in enumerate(zip(chosen, shown, strict=True))
        ]
        rates = layer_rates(program, data.x[: min(COUNTED, found.samples)], found.steps)
        rates_svg = rates_picture(rates, colours)
        errors_svg = _errors_picture(found) if any(each.stages for each in found.layers) else None
    return {
        "program": program,
        "found": found,
        "data_name": Path(data.path).name,
        "network": str(program.manifest.get("network", "network")),
        "source": program.manifest.get("source", {}),
        "drawn": [
            {"name": stage.name, "title": stage.title, "colour": DRAWN[stage.name]}
            for stage in found.stages
            if stage.name in DRAWN
        ],
        "layers": [
            {"colour": colours[each.layer], "shape": shape_text(each.shape), "found": each}
            for each in found.layers
        ],
        "findings": [
            {
                "where": each.where,
                "problem": each.problem,
                "remedy": _unbroken(each.remedy[0].upper() + each.remedy[1:]),
            }
            for each in found.findings
        ],
        "saturated": SATURATED,
        "counted": min(COUNTED, found.samples),
        "samples": pictures,
        "rates": rates_svg,
        "errors": errors_svg,
    }


def _unbroken(text: str) -> Any:
    """A text in which no line breaks inside an option's name."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"--[a-z-]+", r'<span class="option">\g<0></span>', str(escape(text))))


def _chosen(program: Program, data: Data, found: Diagnosis) -> list[int]:
    """Numbers of samples worth a look, among those that were diagnosed."""
    x = data.x[: found.samples]
    answers = Emulator().load(program).run(x, found.steps).answers
    labels = None if data.y is None else data.y[: found.samples]
    if labels is None:
        floats = _float_answers(program, x)
        labels = answers if floats is None else np.array(floats, np.int64)
    return choose_samples(answers, labels, SHOWN)


def _float_answers(program: Program, x: FloatArray) -> list[int] | None:
    """What the float network answers, where there is one."""
    if not holds_float_network(program):
        return None
    outputs = evaluate_frames(float_network(program), x, program.steps)
    answers: NDArray[Any] = outputs.reshape(len(x), -1).argmax(axis=1)
    return [int(answer) for answer in answers]


def _errors_picture(found: Diagnosis) -> Any:
    layers = [each for each in found.layers if each.stages]
    errors: dict[str, list[float | None]] = {}
    for name, colour in DRAWN.items():
        likeness = [each.stages.get(name) for each in layers]
        errors[colour] = [each.relative_error if each else None for each in likeness]
    figure = new_figure(960, 230)
    axes = figure.add_subplot()
    draw_errors(axes, [each.layer for each in layers], errors, PAGE)
    axes.set_ylabel("relative error, %")
    return inline(figure)


def _activity_picture(
    recording: Recording, names: Sequence[str], colours: Mapping[str, str], dt_s: float
) -> Any:
    figure = new_figure(960, 120)
    axes = figure.add_subplot()
    for name in names:
        draw_activity(axes, recording.spikes[name], colours[name], dt_s, PAGE)
    axes.set_xlabel("step")
    axes.set_ylabel("mean Hz")
    return inline(figure)
