"""The command line: collects the commands, and turns every error into one sentence."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Sequence

import click
import typer

from nmcompile.cli import build, check, evaluate, inspect, run, targets
from nmcompile.errors import NmcompileError, UsageError

app = typer.Typer(
    name="nmcompile",
    help="A deployment compiler for Loihi-style neuromorphic chips.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("check")(check.check)
app.command("build")(build.build)
app.command("run")(run.run)
app.command("eval")(evaluate.evaluate)
app.command("inspect")(inspect.inspect)
app.command("targets")(targets.targets)


@app.callback()
def _main(
    debug: bool = typer.Option(False, "--debug", help="Show tracebacks of errors."),
) -> None:
    """Options for all commands; `main` looks for --debug itself."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    Exit status: 0, 1 for a failed build or run, 2 for bad usage, 130 where interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = ["--debug"] * debug + [word for word in words if word != "--debug"]
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        if not debug:
            warnings.simplefilter("default")
        try:
            status = app(words, standalone_mode=False)
        except click.exceptions.NoArgsIsHelpError as error:
            print(error.ctx.get_help() if error.ctx else error)
            return 2
        except click.ClickException as error:
            print(f"error: {error.format_message()}", file=sys.stderr)
            return 2
        except (KeyboardInterrupt, click.Abort):
            print("interrupted", file=sys.stderr)
            return 130
        except Exception as error:
            if debug:
                traceback.print_exc()
            print(f"error: {_sentence(error)}", file=sys.stderr)
            return 2 if isinstance(error, UsageError) else 1
    return status if isinstance(status, int) else 0


def _sentence(error: Exception) -> str:
    """An error as one line; those that are not ours say how to report them."""
    if isinstance(error, NmcompileError):
        return " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return "out of memory; use fewer samples at a time or a smaller network"
    if isinstance(error, OSError):
        return f"{error.filename or 'a file'}: {error.strerror or error}"
    return (
        f"this is a fault of nmcompile, {type(error).__name__}: {' '.join(str(error).split())}; "
        "run again with --debug and report what it prints"
    )


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: str | None = None,
) -> None:
    print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)
