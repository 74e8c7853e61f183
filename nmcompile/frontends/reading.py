"""What all front ends share in reading files: the size guard, and damage told in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nmcompile.errors import ModelError, NmcompileError

#: What Python and the libraries below raise on malformed contents.
MALFORMED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,  # RecursionError, too
    TypeError,
    ValueError,  # UnicodeDecodeError and JSONDecodeError, too
)


def read_file(path: Path, max_bytes: int) -> bytes:
    """The content of a model file.

    Raises
    ------
    ModelError
        No such file, an empty one, or one larger than `max_bytes`.
    """
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise ModelError(
                f"{path}: the file has {size} bytes, more than the limit of {max_bytes}; "
                "raise it with --max-bytes, or max_bytes in Python, if you trust the file"
            )
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ModelError(f"{path}: the model cannot be read: {reason.lower()}") from error
    except ValueError as error:
        raise ModelError(f"{str(path)!r} is not a file name: {error}") from error
    if not data:
        raise ModelError(f"{path}: the file is empty; save the model again")
    return data


@contextmanager
def model_errors(where: str, advice: str) -> Iterator[None]:
    """Whatever goes wrong within is a ModelError that names the file, and says what to do."""
    try:
        yield
    except ModelError:
        raise
    except NmcompileError as error:
        raise ModelError(f"{where}: {error}") from error
    except MALFORMED as error:
        raise ModelError(
            f"{where}: the model is damaged or of an unknown layout ({short(error)}); {advice}"
        ) from error


def short(error: BaseException) -> str:
    """An error of a library in a few words."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}"
