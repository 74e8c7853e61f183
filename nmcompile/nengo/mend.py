"""Let nengo-loihi 1.1 run under NumPy 2, which took away two things that it uses.

`numpy.array(..., copy=False)` now refuses to copy where it must, and `numpy.fromstring` no longer
reads bytes. The modules that use them are given a NumPy that still does both; NumPy itself and
all other modules stay as they are, and nothing is done under NumPy 1.
"""

from __future__ import annotations

import importlib
import warnings
from importlib.metadata import version
from types import ModuleType
from typing import Any

import numpy as np

#: The modules of nengo-loihi that use what is gone.
MODULES = ("nengo_loihi.block", "nengo_loihi.neurons", "nengo_loihi.dvs")


class MendWarning(UserWarning):
    """nengo-loihi was changed to run under this NumPy."""


class _OlderNumPy(ModuleType):
    """NumPy, but for `array` and `fromstring`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def array(values: Any, *args: Any, copy: bool | None = True, **kwargs: Any) -> Any:
        """As before NumPy 2: `copy=False` copies only where it must."""
        return np.array(values, *args, copy=copy or None, **kwargs)

    @staticmethod
    def fromstring(data: Any, dtype: Any = float, **kwargs: Any) -> Any:
        """As before NumPy 2: bytes are read as they lie in memory."""
        if isinstance(data, bytes) and not kwargs.get("sep"):
            return np.frombuffer(data, dtype).copy()
        return np.fromstring(data, dtype, **kwargs)


def mend() -> bool:
    """Mend nengo-loihi where this NumPy breaks it; whether anything was done. Warns once."""
    if np.lib.NumpyVersion(np.__version__) < "2.0.0":
        return False
    modules = [importlib.import_module(name) for name in MODULES]
    broken = [module for module in modules if getattr(module, "np", None) is np]
    for module in broken:
        vars(module)["np"] = _OlderNumPy("numpy")
    if broken:
        warnings.warn(
            f"nengo-loihi {version('nengo-loihi')} is made for NumPy 1, and this is "
            f"{np.__version__} with Nengo {version('nengo')}: nmcompile mends "
            "numpy.array(copy=False) and numpy.fromstring in its modules (said once)",
            MendWarning,
            stacklevel=3,
        )
    return bool(broken)
