"""Write one page with pictures of what a Program did on labelled samples."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.analysis.evaluation import Evaluation
from nmcompile.analysis.resources import core_bills, network_use
from nmcompile.backends.base import Probe
from nmcompile.backends.emulator import Emulator
from nmcompile.backends.emulator.session import OverflowWarning
from nmcompile.chip.program import Program
from nmcompile.errors import UsageError
from nmcompile.files import write_atomically
from nmcompile.hardware import parse_target
from nmcompile.host.data import Data
from nmcompile.host.decoder import decode
from nmcompile.ir.nodes import FloatArray
from nmcompile.ir.text import shape_text

#: Samples that are searched for wrong answers, shown, and counted for rates.
SEARCHED, SHOWN, WRONG_SHOWN, COUNTED = 500, 8, 3, 32
#: Largest rows of a layer in a raster, and lines in a picture of scores.
RASTER_ROWS, SCORE_LINES = 160, 12
#: Memory that the probes of one run may take, in bytes.
PROBE_BYTES = 64 << 20
#: A neuron that fires in at least this share of the steps in which it could is saturated.
SATURATED = 0.95
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
    "synapse_words": "synaptic memory",
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


#: Stand-ins that `_inline` turns into the page's own colours, light or dark.
PAGE = Theme("#010101", "#020202", "#030303", "#040404", "#050505")
PRINT = Theme("#1f2328", "#6e7781", "#d0d7de", "#1a7f37", "#cf222e")


@dataclass(frozen=True, eq=False)
class Recording:
    """One sample on the emulator, step by step.

    Attributes
    ----------
    scores : (steps, outputs) float64, as the read-out would give them after each step
    spikes : layer -> (steps, neurons) bool, the encoder's first
    """

    scores: NDArray[np.float64]
    spikes: Mapping[str, NDArray[np.bool_]]

    @property
    def answer(self) -> int:
        """Number of the largest score at the end."""
        return int(self.scores[-1].argmax())


@dataclass(frozen=True, eq=False)
class LayerRates:
    """How often the neurons of a layer fire.

    Attributes
    ----------
    layer : its name
    rates_hz : (samples, neurons) of the steps in which the layer can fire
    highest_hz : the rate that the time step and the refractory period allow
    """

    layer: str
    rates_hz: NDArray[np.float64]
    highest_hz: float

    @property
    def mean_hz(self) -> float:
        """Mean over neurons and samples."""
        return float(self.rates_hz.mean())

    @property
    def silent(self) -> float:
        """Share of neurons that are silent in a sample, on average."""
        return float((self.rates_hz == 0).mean())

    @property
    def never(self) -> float:
        """Share of neurons that are silent in all samples."""
        return float((self.rates_hz == 0).all(axis=0).mean())

    @property
    def saturated(self) -> float:
        """Share of neurons that fire almost whenever they can, on average."""
        return float((self.rates_hz >= SATURATED * self.highest_hz).mean())


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
    jinja2 = _libraries()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    with warnings.catch_warnings():
        # The evaluation has counted overflows already, and the page lists them.
        warnings.simplefilter("ignore", OverflowWarning)
        content = _content(program, data, evaluation)
    text = environment.get_template("report.html.jinja").render(content)
    write_atomically(path, text.encode())


def record(program: Program, x: FloatArray, steps: int) -> Iterator[Recording]:
    """Run samples on the emulator and keep every spike.

    Parameters
    ----------
    x : (samples, *input shape)
    steps : time steps per sample
    """
    session = Emulator().load(program)
    names = layer_names(program)
    read = program.read_out
    probes = [Probe(name, "spikes") for name in names]
    if read.kind == "voltage":
        probes += [Probe(name, "v") for name in read.layers]
    neurons = sum(layer.neurons for layer in program.layers) + int(np.prod(program.encoder.shape))
    batch = max(1, PROBE_BYTES // (neurons * steps * (5 if read.kind == "voltage" else 1)))
    for start in range(0, len(x), batch):
        probed = session.run(x[start : start + batch], steps, probes).probes
        for k in range(len(x[start : start + batch])):
            if read.kind == "voltage":
                values = np.concatenate([probed[Probe(n, "v")][k] for n in read.layers], axis=1)
            else:
                values = np.concatenate(
                    [probed[Probe(n, "spikes")][k] for n in read.layers], axis=1
                ).cumsum(axis=0)
            values = values.astype(np.int64)
            scores = [decode(program, values[t : t + 1], t + 1)[0] for t in range(steps)]
            spikes = {name: probed[Probe(name, "spikes")][k].astype(bool) for name in names}
            yield Recording(np.stack(scores), spikes)


def choose_samples(
    answers: NDArray[np.int64], labels: NDArray[np.int64], count: int = SHOWN
) -> list[int]:
    """Numbers of samples worth a look: a few wrong ones, and right ones of many classes."""
    right = np.flatnonzero(answers == labels).tolist()
    wrong = np.flatnonzero(answers != labels).tolist()
    seen: dict[int, int] = {}
    for number in right:
        seen.setdefault(int(labels[number]), number)
    firsts = sorted(seen.values())
    kept = wrong[: max(WRONG_SHOWN, count - len(right))]
    others = [number for number in right if number not in seen.values()]
    return sorted((kept + firsts + others)[:count])


def layer_rates(program: Program, x: FloatArray, steps: int) -> list[LayerRates]:
    """Rates of the encoder, and of every layer that can fire, on some samples."""
    counts: dict[str, list[NDArray[np.int64]]] = {name: [] for name in layer_names(program)}
    for each in record(program, x, steps):
        for name, spikes in each.spikes.items():
            counts[name].append(spikes.sum(axis=0))
    found = []
    depth = {layer.name: layer.depth for layer in program.layers}
    for name, rows in counts.items():
        if program.read_out.kind == "voltage" and name in program.read_out.layers:
            continue
        seen = max(steps - depth.get(name, 0), 1)
        pause = 1
        if name in depth:
            core = program.cores[int(program.layer(name).core[0])]
            pause = int(core.profiles.refractory[0])
        seconds = seen * program.dt_s
        found.append(LayerRates(name, np.stack(rows) / seconds, ceil(seen / pause) / seconds))
    return found


def layer_names(program: Program) -> list[str]:
    """The encoder and the layers on the chip, in order."""
    return [program.encoder.name, *(layer.name for layer in program.layers)]


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


def draw_rates(axes: Any, rates: LayerRates, colour: str, theme: Theme) -> None:
    """A histogram of the rates of neurons that fire at all."""
    firing = rates.rates_hz[rates.rates_hz > 0]
    edges = np.linspace(0, rates.highest_hz * 1.0001, 26)
    shares = np.histogram(firing, edges)[0] / max(rates.rates_hz.size, 1)
    axes.bar(edges[:-1], 100 * shares, width=0.86 * np.diff(edges), align="edge", color=colour)
    _quiet(axes, theme)
    axes.set_xlim(0, rates.highest_hz)
    axes.set_ylim(bottom=0)


def draw_cores(
    axes: Any,
    uses: NDArray[np.float64],
    owners: Sequence[str],
    colours: Mapping[str, str],
    theme: Theme,
) -> None:
    """How full cores are of one resource, 1 being the limit, a bar a core.

    Parameters
    ----------
    uses : (cores,) share of the limit
    owners : (cores,) name of the layer on each core
    """
    width = ceil(len(uses) / CORE_COLUMNS)
    for name, colour in colours.items():
        mine = np.array([owner == name for owner in owners])
        shown = np.where(mine, uses, 0)
        heights = [shown[k : k + width].max() for k in range(0, len(uses), width)]
        gap = 0.14 if len(heights) <= 128 else 0.0
        where = np.repeat(np.arange(0, len(uses), width, dtype=float), 4)
        where += np.tile([gap, gap, 1 - gap, 1 - gap], len(heights)) * width
        outline = np.stack([np.zeros(len(heights)), heights, heights, np.zeros(len(heights))], 1)
        kept = np.repeat(np.array(heights) > 0, 4)
        axes.fill(where[kept], outline.reshape(-1)[kept], color=colour, linewidth=0)
    _quiet(axes, theme)
    axes.axhline(1, color=theme.muted, linewidth=0.8, linestyle=(0, (3, 3)))
    axes.set_xlim(0, len(uses))
    axes.set_ylim(0, 1.08)
    axes.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])


def new_figure(width: float, height: float) -> Any:
    """A figure of a size in points, which are pixels on the page."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width / 72, height / 72), dpi=72, layout="constrained")


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
    uses = {use.layer: use for use in network_use(program, hardware)}
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


def raster_height(neurons: int) -> int:
    """Points that a layer's raster takes."""
    return int(np.clip(min(neurons, RASTER_ROWS), 34, RASTER_ROWS))


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


def draw_all_cores(
    rows: Sequence[Any],
    program: Program,
    colours: Mapping[str, str],
    theme: Theme,
    resources: Sequence[str] = tuple(PICTURED),
) -> None:
    """One picture of cores in each of several axes, a resource each."""
    hardware = parse_target(program.target).hardware
    owners = [""] * len(program.cores)
    for layer in program.layers:
        for number in set(layer.core.tolist()):
            owners[number] = layer.name
    tables = [
        {name: (used, limit) for name, used, limit in bill.compared(hardware)}
        for bill in core_bills(program, hardware)
    ]
    chips = [core.chip for core in program.cores]
    borders = [k for k in range(1, len(chips)) if chips[k] != chips[k - 1]]
    for axes, resource in zip(rows, resources, strict=True):
        uses = np.array([table[resource][0] / table[resource][1] for table in tables])
        draw_cores(axes, uses, owners, colours, theme)
        limit = tables[0][resource][1] if tables else 0
        axes.set_title(f"{PICTURED[resource]} (limit {limit:,})", loc="left", color=theme.ink)
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


#: Stand-in colour -> variable of the page's style sheet.
_VARIABLES = {
    PAGE.ink: "var(--ink)",
    PAGE.muted: "var(--muted)",
    PAGE.line: "var(--line)",
    PAGE.right: "var(--right)",
    PAGE.wrong: "var(--wrong)",
}


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


def png_bytes(figure: Any, dpi: int = 144) -> bytes:
    """A figure as PNG without a date or a version in it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def _libraries() -> Any:
    """The module jinja2, once matplotlib is known to be there, too."""
    try:
        import jinja2
        import matplotlib  # noqa: F401
    except ImportError:
        raise UsageError("a report needs more packages: pip install 'nmcompile[report]'") from None
    return jinja2
