"""Call compiled kernels, whatever an older version of nmcompile left in their cache.

numba keeps compiled kernels in files beside the source, and reads them back by the names of the
types in them. Where an update has taken such a name away the file cannot even be read, which
must not stop anybody: it is then emptied, and the kernel compiled anew.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

#: What reading a name that is no more raises, on the way to the cache.
_STALE = (AttributeError, ModuleNotFoundError)


def kernel(module: ModuleType, name: str) -> Callable[..., Any]:
    """A kernel of a module, by name."""

    def call(*arguments: Any) -> Any:
        function = getattr(module, name)
        try:
            return function(*arguments)
        except _STALE as error:
            if "nmcompile" not in str(error):
                raise
            empty_caches(module)
            return function(*arguments)

    return call


def empty_caches(module: ModuleType) -> None:
    """Forget what is compiled of all kernels in a module."""
    for value in vars(module).values():
        cache = getattr(value, "_cache", None)
        if cache is not None and hasattr(cache, "flush"):
            cache.flush()
