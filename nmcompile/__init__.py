"""A deployment compiler for Loihi-style neuromorphic chips.

>>> import nmcompile
>>> program = nmcompile.build("model.keras", calibrate="data.npz")  # doctest: +SKIP
>>> nmcompile.evaluate(program, "test.npz").accuracy                # doctest: +SKIP

Everything else is imported when it is first used, so that this line stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nmcompile.errors import NmcompileError

if TYPE_CHECKING:
    from nmcompile.api import Emulator, Program, build, diagnose, diff, evaluate, load, targets
    from nmcompile.tuning import tune

__all__ = [
    "Emulator",
    "NmcompileError",
    "Program",
    "build",
    "diagnose",
    "diff",
    "evaluate",
    "load",
    "targets",
    "tune",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in __all__:
        home = "nmcompile.tuning" if name == "tune" else "nmcompile.api"
        return getattr(import_module(home), name)
    raise AttributeError(f"module 'nmcompile' has no attribute {name!r}")
