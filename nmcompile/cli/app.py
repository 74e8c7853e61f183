"""The command line: collects the commands, and turns every error into one sentence."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Sequence

import typer

from nmcompile import __version__
from nmcompile.cli import (
    board_image,
    build,
    check,
    compare,
    conformance,
    convert,
    diagnose,
    diff,
    doctor,
    evaluate,
    inspect,
    lava_export,
    run,
    targets,
    tune,
)
from nmcompile.cli.output import print_remedies
from nmcompile.errors import FitError, NmcompileError, UsageError

app = typer.Typer(
    name="nmcompile",
    help="A deployment compiler for Loihi-style neuromorphic chips.",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("check")(check.check)
app.command("build")(build.build)
app.command("convert")(convert.convert)
app.command("diff")(diff.diff)
app.command("run")(run.run)
app.command("compare")(compare.compare)
app.command("conformance")(conformance.conformance)
app.command("eval")(evaluate.evaluate)
app.command("board-image")(board_image.board_image)
app.command("lava-export")(lava_export.lava_export)
app.command("diagnose")(diagnose.diagnose)
app.command("tune")(tune.tune)
app.command("inspect")(inspect.inspect)
app.command("targets")(targets.targets)
app.command("doctor")(doctor.doctor)


#: The base of all usage errors. Some versions of typer use the package click and some hold a
#: copy of it, so the class is taken from an error that typer makes public.
_CliError: type[Exception] = typer.BadParameter.__bases__[0].__bases__[0]


#: Exit status of a command that was stopped with Ctrl-C, 128 and the signal's number.
INTERRUPTED = 130


@app.callback()
def _main(
    context: typer.Context,
    debug: bool = typer.Option(False, "--debug", help="Show tracebacks of errors."),
    version: bool = typer.Option(False, "--version", help="Print the version."),
) -> None:
    """A deployment compiler for Loihi-style neuromorphic chips."""
    if version:
        typer.echo(f"nmcompile {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


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
            sys.stdout.flush()
            if status == INTERRUPTED:
                # Newer versions of typer catch the interrupt and return its status.
                raise KeyboardInterrupt
        except _CliError as error:
            message = error.format_message() if hasattr(error, "format_message") else str(error)
            print(f"error: {' '.join(message.split())}", file=sys.stderr)
            return 2
        except (KeyboardInterrupt, typer.Abort):
            print("interrupted", file=sys.stderr)
            return INTERRUPTED
        except BrokenPipeError:
            # Whoever read our output, such as `head`, has seen enough.
            _abandon_output()
            return 0
        except Exception as error:
            if debug:
                traceback.print_exc()
            if isinstance(error, OSError) and error.filename is None:
                _abandon_output()
            print(f"error: {_sentence(error)}", file=sys.stderr, flush=True)
            if isinstance(error, FitError):
                print_remedies(error)
            return 2 if isinstance(error, UsageError) else 1
    return status if isinstance(status, int) else 0


def _abandon_output() -> None:
    """Let what standard output still holds go nowhere, so that leaving Python does not fail."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        # Not a real file, such as a test's: nothing to save.
        return


def _sentence(error: Exception) -> str:
    """An error as one line; those that are not ours say how to report them."""
    if isinstance(error, NmcompileError):
        return " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return "out of memory; use fewer samples at a time or a smaller network"
    if isinstance(error, OSError):
        return f"{error.filename or 'standard output'}: {error.strerror or error}"
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
