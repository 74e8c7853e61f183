"""Kernels of the mapper as machine code."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any


@cache
def compiled(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel as machine code, which numba keeps beside the source; it must stand alone there."""
    from numba import njit

    found: Callable[..., Any] = njit(cache=True, nogil=True)(kernel)
    return found
