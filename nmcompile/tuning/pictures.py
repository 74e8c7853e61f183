"""Draw points over spikes and accuracy, and write them as a picture or as a page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nmcompile.analysis.inline import PAGE, inline
from nmcompile.analysis.pages import template
from nmcompile.analysis.pictures import PRINT, Theme, new_figure, picture_style, png_bytes
from nmcompile.errors import UsageError
from nmcompile.files import write_atomically
from nmcompile.tuning.pareto import Point, Tuning

#: Kinds of picture that are written.
SUFFIXES = (".png", ".svg")


def check_plot(path: Path) -> None:
    """Refuse a picture of another kind, or without matplotlib.

    Raises
    ------
    UsageError
        One of these.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--plot {path}: name a file that ends in {' or '.join(SUFFIXES)}")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UsageError("a plot needs more packages: pip install 'nmcompile[report]'") from None


def write_plot(path: Path, found: Tuning) -> None:
    """Write a picture; equal arguments give equal bytes."""
    check_plot(path)
    with picture_style():
        figure = new_figure(720, 420)
        _draw(figure, found, PRINT)
        if path.suffix.lower() == ".png":
            content = png_bytes(figure)
        else:
            buffer = io.BytesIO()
            figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
            content = buffer.getvalue()
    write_atomically(path, content)


def write_page(path: Path, found: Tuning, name: str) -> None:
    """Write a self-contained HTML page; equal arguments give equal bytes.

    Parameters
    ----------
    name : of the model
    """
    page = template("tuning.html.jinja", "matplotlib")
    with picture_style():
        figure = new_figure(960, 400)
        _draw(figure, found, PAGE)
        picture = inline(figure)
    write_atomically(path, page.render(found=found, name=name, picture=picture).encode())


def _draw(figure: Any, found: Tuning, theme: Theme) -> None:
    """Accuracy over spikes: the points, the best one ringed, the untuned one, and the float."""
    axes = figure.add_subplot()
    points = found.points
    spikes = [point.measured.spikes for point in points]
    accuracy = [100 * point.measured.accuracy for point in points]
    steps = [point.measured.steps for point in points]
    best = found.best.measured
    line = _staircase(points)
    axes.plot(*line, color=theme.muted, linewidth=1.2, drawstyle="steps-post", zorder=1)
    shown = axes.scatter(
        spikes, accuracy, c=steps, cmap="viridis", s=46, zorder=3, edgecolors=theme.line
    )
    axes.scatter(
        [best.spikes], [100 * best.accuracy], s=170, facecolors="none", edgecolors=theme.right,
        linewidths=1.8, zorder=4,
    )  # fmt: skip
    if found.usual is not None:
        usual = found.usual.measured
        axes.scatter(
            [usual.spikes], [100 * usual.accuracy], marker="x", color=theme.muted, s=70, zorder=2
        )
        axes.annotate(
            "untuned",
            (usual.spikes, 100 * usual.accuracy),
            xytext=(-22, 9),
            textcoords="offset points",
            color=theme.muted,
            fontsize=9,
        )
    axes.axhline(
        100 * best.float_accuracy, color=theme.muted, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0
    )
    for number, point in enumerate(points, start=1):
        axes.annotate(
            str(number),
            (point.measured.spikes, 100 * point.measured.accuracy),
            xytext=(6, -11),
            textcoords="offset points",
            color=theme.muted,
            fontsize=9,
        )
    bar = figure.colorbar(shown, ax=axes)
    bar.set_label("steps", color=theme.muted)
    bar.ax.tick_params(colors=theme.muted)
    bar.outline.set_edgecolor(theme.line)
    axes.set_xlabel("spikes per sample", color=theme.muted)
    axes.set_ylabel("accuracy, %", color=theme.muted)
    axes.tick_params(colors=theme.muted)
    for side, spine in axes.spines.items():
        spine.set_color(theme.line)
        spine.set_visible(side in ("left", "bottom"))


def _staircase(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    """Spikes, and the best accuracy with so many or fewer in percent."""
    spikes: list[float] = []
    best: list[float] = []
    for point in sorted(points, key=lambda each: each.measured.spikes):
        spikes.append(point.measured.spikes)
        best.append(max([*best[-1:], 100 * point.measured.accuracy]))
    return spikes, best
