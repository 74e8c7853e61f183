"""Compiled kernels, never from a cache that another version of the source left behind.

numba keeps compiled kernels in files beside the source, and compiles anew where a kernel's own
file has changed. It does not see that a file has changed from which the kernel takes constants,
types or other kernels. So a stamp lies beside the cache, made of all those files; where it
differs, or is not there, the cache is emptied first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from nmcompile.chip import arithmetic
from nmcompile.errors import UsageError
from nmcompile.files import write_atomically


def kernel(module: ModuleType, name: str) -> Callable[..., Any]:
    """A kernel of a module, by name, once the module's cache is known to be fresh."""
    _freshen(module)
    found: Callable[..., Any] = getattr(module, name)
    return found


@cache
def _freshen(module: ModuleType) -> None:
    """Empty a module's cache unless it carries the stamp of today's source; once a process."""
    kernels = [value for value in vars(module).values() if hasattr(value, "_cache")]
    folders = {
        str(each._cache.cache_path) for each in kernels if hasattr(each._cache, "cache_path")
    }
    if not folders:
        return
    today = source_stamp()
    stamps = [Path(folder) / f"{module.__name__}.stamp" for folder in folders]
    if all(_read(stamp) == today for stamp in stamps):
        return
    for each in kernels:
        each._cache.flush()
    for stamp in stamps:
        try:
            stamp.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(stamp, today)
        except (OSError, UsageError):
            # Nothing can be kept there, and numba keeps nothing there either.
            continue


def source_stamp() -> bytes:
    """A hash of all files that kernels are made of."""
    files = [Path(__file__).parent, Path(str(arithmetic.__file__))]
    state = hashlib.sha256()
    for path in sorted([*files[0].glob("*.py"), files[1]]):
        state.update(path.name.encode())
        state.update(path.read_bytes())
    return state.hexdigest().encode()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
