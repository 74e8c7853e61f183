"""Kernels run, whatever their cache holds."""

from __future__ import annotations

from types import ModuleType

import pytest

from nmcompile.backends.emulator.compiled import kernel


class Cache:
    def __init__(self) -> None:
        self.flushed = 0

    def flush(self) -> None:
        self.flushed += 1


class Kernel:
    """As numba's: fails as long as its cache, or that of a kernel it calls, is stale."""

    def __init__(self, error: Exception) -> None:
        self._cache = Cache()
        self.error = error

    def __call__(self, x: int) -> int:
        if not self._cache.flushed:
            raise self.error
        return 2 * x


def module(error: Exception) -> ModuleType:
    made = ModuleType("kernels")
    made.double = Kernel(error)  # type: ignore[attr-defined]
    made.other = Kernel(error)  # type: ignore[attr-defined]
    return made


@pytest.mark.parametrize(
    "error",
    [
        AttributeError("Can't get attribute 'Old' on <module 'nmcompile.backends.emulator.lower'>"),
        ModuleNotFoundError("No module named 'nmcompile.backends.emulator.old'"),
    ],
)
def test_a_cache_that_names_what_is_gone_is_emptied(error: Exception) -> None:
    made = module(error)
    assert kernel(made, "double")(4) == 8
    assert made.other._cache.flushed == 1


def test_other_errors_are_raised() -> None:
    made = module(AttributeError("'int' object has no attribute 'x'"))
    with pytest.raises(AttributeError, match="'int'"):
        kernel(made, "double")(4)
    assert made.double._cache.flushed == 0
