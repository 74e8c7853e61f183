"""Networks defined by a Python file, named as ``FILE.py:NAME``.

Such a file is run, with all that this means: whoever names it decides that it may.
"""

from __future__ import annotations

import ast
import hashlib
import runpy
import sys
from pathlib import Path
from traceback import extract_tb

from nmcompile.errors import ModelError

#: Bytes beyond which a file is not looked at for Python.
MOST_BYTES = 1 << 20


def is_python(source: str | Path) -> bool:
    """Whether this names an object in a Python file, told by what is in it and not by its name."""
    path, colon, name = str(source).rpartition(":")
    if not colon or not name.isidentifier():
        return False
    return path.endswith(".py") or (not Path(source).exists() and _holds_python(Path(path)))


def _holds_python(path: Path) -> bool:
    """Whether a file is Python; one that is not there is not."""
    try:
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            return False
        return bool(ast.parse(path.read_text("utf-8")).body)
    except (OSError, ValueError, SyntaxError, MemoryError, RecursionError):
        return False


def is_nengo(model: object) -> bool:
    """Whether this is Nengo's or nengo-loihi's, told without importing either."""
    return any(
        kind.__module__.partition(".")[0] in ("nengo", "nengo_loihi")
        for kind in type(model).__mro__
    )


def read_object(source: str | Path) -> tuple[object, str]:
    """Run a Python file and take an object by its name; it, and the file's SHA-256.

    Raises
    ------
    ModelError
        No such file or name, or the file fails.
    """
    path, _, name = str(source).rpartition(":")
    if not Path(path).is_file():
        raise ModelError(f"{path}: there is no such file")
    folder = str(Path(path).resolve().parent)
    sys.path.insert(0, folder)  # As `python FILE.py` does, for what lies beside it.
    try:
        found = runpy.run_path(path, run_name=Path(path).stem)
    except (Exception, SystemExit) as error:
        lines = [each.lineno for each in extract_tb(error.__traceback__) if each.filename == path]
        where = f" in line {lines[-1]}" if lines else ""
        raise ModelError(f"{path}: it fails{where} with {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(folder)
    if name not in found:
        raise ModelError(f"{path}: it defines no {name!r}; name the network as {path}:NAME")
    if not is_nengo(found[name]):
        raise ModelError(
            f"{path}: {name} is of type {type(found[name]).__name__}, not a nengo.Network"
        )
    return found[name], hashlib.sha256(Path(path).read_bytes()).hexdigest()
