"""Write files whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from nmcompile.errors import UsageError


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write beside the file, then rename; on any failure the old file is left as it was.

    A link keeps pointing where it did; a device or pipe is written to, never replaced.

    Raises
    ------
    UsageError
        The folder does not exist or cannot be written, or the disk is full.
    """
    path = Path(os.path.realpath(path))
    name = None
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            path.write_bytes(data)
            return
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
        name = None
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror or error}; nothing was changed there"
        ) from None
    finally:
        if name is not None:
            Path(name).unlink(missing_ok=True)


def check_writable(path: str | Path, *inputs: str | Path | None) -> None:
    """Raise UsageError, before long work, where a file could not or must not be written.

    Parameters
    ----------
    path : to be written
    inputs : files that the same command reads

    Raises
    ------
    UsageError
        The folder is missing or not writable, or the path is a folder or an input.
    """
    path = Path(os.path.realpath(path))
    if any(each is not None and Path(os.path.realpath(each)) == path for each in inputs):
        raise UsageError(f"{path} is an input of this command, so it is not overwritten")
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder; name a file")
    if not path.parent.is_dir():
        raise UsageError(f"cannot write {path}: there is no folder {path.parent}; make it first")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"cannot write {path}: no permission to write in {path.parent}")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
