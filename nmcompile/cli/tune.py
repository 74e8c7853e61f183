"""`nmcompile tune`: search the options of a build, and say which command gives what."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmcompile.cli.options import Dialect, Json, MaxBytes, ModelPath, TargetName, source_file
from nmcompile.cli.output import Report, count, print_json, print_note, print_table, progress

if TYPE_CHECKING:
    from nmcompile.tuning import Point, Tuning


def tune(
    model: ModelPath,
    data: Annotated[
        Path,
        typer.Option(help="Data file, .npz with x and y; never the samples you will test with."),
    ],
    objective: Annotated[
        str,
        typer.Option(
            help="What to make best: accuracy; or, within the allowed loss, latency (steps), "
            "spikes or cores."
        ),
    ] = "accuracy",
    allowed_loss: Annotated[
        float, typer.Option(help="Points of accuracy that latency, spikes and cores may cost.")
    ] = 0.1,
    trials: Annotated[
        int, typer.Option(min=1, help="Settings to try, those in the storage file included.")
    ] = 60,
    storage: Annotated[
        Path | None,
        typer.Option(
            help="File that keeps the search, and from which it goes on [default: MODEL.tune]."
        ),
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(help="Data file for calibration [default: some of --data, which are kept]."),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, help="Samples to judge a trial on; others check the best.")
    ] = 5000,
    fix: Annotated[
        list[str] | None,
        typer.Option(help="Hold an option of build, NAME=value, such as steps=16; repeat."),
    ] = None,
    target: TargetName = None,
    dialect: Dialect = None,
    max_bytes: MaxBytes = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes [default: one a core].")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search.")] = 0,
    plot: Annotated[
        Path | None, typer.Option(help="Also draw the points, .png or .svg (extra: report).")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Also write a page with all of it (extra: report).")
    ] = None,
    json: Json = False,
) -> None:
    """Search options, steps and rates of a build on the emulator (extra: tune)."""
    from nmcompile.analysis.pages import template
    from nmcompile.files import check_writable
    from nmcompile.frontends import MAX_BYTES
    from nmcompile.tuning import tune as search
    from nmcompile.tuning.pictures import check_plot, write_page, write_plot
    from nmcompile.tuning.space import fixed_options

    storage = storage or Path(source_file(model).with_suffix(".tune").name)
    for path in (plot, html):
        if path is not None:
            check_writable(path, source_file(model), data, calibrate, storage)
    if plot is not None:
        check_plot(plot)
    if html is not None:
        template("tuning.html.jinja", "matplotlib")
    with ExitStack() as shown:

        def show(label: str) -> Report:
            shown.close()
            return shown.enter_context(progress(label, quiet=json))

        try:
            found = search(
                model,
                data,
                storage=storage,
                target=target,
                dialect=dialect,
                max_bytes=max_bytes or MAX_BYTES,
                calibrate=calibrate,
                objective=objective,  # type: ignore[arg-type]
                allowed_loss=allowed_loss / 100,
                trials=trials,
                limit=limit,
                jobs=jobs,
                fixed=fixed_options(fix or []),
                seed=seed,
                progress=show,
            )
        except KeyboardInterrupt:
            shown.close()
            print(f"{storage} keeps what is done; the same command goes on", file=sys.stderr)
            raise
    if plot is not None:
        write_plot(plot, found)
    if html is not None:
        write_page(html, found, model.name)
    if json:
        print_json(found.as_json())
        return
    _print(found, str(model))
    for path in (plot, html):
        if path is not None:
            print_note(f"written: {path}")


def _print(found: Tuning, name: str) -> None:
    """The points, and how to build each."""
    on = f"{count(found.checked, 'sample')} that the search did not see"
    print_table(
        f"{name} tuned for {found.objective}: points that no other beats, on "
        f"{on if found.checked else count(found.searched, 'sample')}",
        ("point", "accuracy", "points lost", "steps", "spikes per sample", "cores"),
        [
            *(_row(str(number), point) for number, point in enumerate(found.points, start=1)),
            *([_row("untuned", found.usual)] if found.usual else []),
        ],
    )
    for number, point in enumerate(found.points, start=1):
        # Not wrapped, so that it can be copied.
        typer.echo(f"{number}: {point.command_line}")
    for sentence in _notes(found):
        print_note(sentence)


def _row(name: str, point: Point) -> tuple[object, ...]:
    each = point.measured
    return (
        name,
        f"{each.accuracy:.2%}",
        f"{100 * each.lost:.2f} ({100 * each.lost_low:.2f} to {100 * each.lost_high:.2f})",
        each.steps,
        f"{each.spikes:,.0f}",
        each.cores,
    )


def _notes(found: Tuning) -> Iterator[str]:
    best = found.points.index(found.best) + 1
    measured = found.best.measured
    loss = f"{100 * found.allowed_loss:g} points"
    kept = "" if found.objective == "accuracy" else f" and keeps the allowed loss of {loss}"
    if found.met:
        yield f"point {best} serves best{kept}"
        if kept and measured.lost_high > found.allowed_loss:
            yield (
                f"on {measured.samples:,} samples the loss could be up to "
                f"{100 * measured.lost_high:.2f} points; check it on more"
            )
    else:
        yield (
            f"no point keeps the allowed loss of {loss}; point {best} loses least, "
            f"{100 * measured.lost:.2f}; allow more with --allowed-loss, or search on with more "
            "--trials"
        )
    yield (
        f"{count(found.trials, 'trial')}, {found.stopped} stopped early, "
        f"{len(found.failures)} without a Program; kept in {found.storage}"
    )
    for sentence, times in Counter(found.failures.values()).most_common():
        yield f"{count(times, 'trial')}: {sentence}"
