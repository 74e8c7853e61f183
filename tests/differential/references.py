"""The emulators that ours is compared with: how to run each, and what was recorded of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from dialects import BRIAN2_LOIHI, LAVA, NENGO_LOIHI, Dialect
from recordings import Recording, load_recordings
from traces import Trace

#: Of a Program and a sample; what else it takes, its twin says.
Tracer = Callable[..., Trace]


@dataclass(frozen=True)
class Reference:
    """One of them.

    Attributes
    ----------
    name : for commands and files
    module : that must be installed
    recorded : how many Programs its recording has
    forgets : whether it gives back the memory of a Program that has run
    """

    name: str
    dialect: Dialect
    module: str
    recorded: int
    forgets: bool = True

    @property
    def path(self) -> Path:
        """Of the recording."""
        return Path(__file__).parent / f"{self.name.replace('-', '_')}_traces.npz"

    @property
    def installed(self) -> bool:
        """Whether it can run here; all of them need NumPy 1."""
        return find_spec(self.module) is not None and np.lib.NumpyVersion(np.__version__) < "2.0.0"

    def recordings(self) -> list[Recording]:
        """What was recorded of it."""
        return load_recordings(self.path, self.dialect.steps)

    def tracer(self) -> Tracer:
        """What runs a Program in it."""
        stem = self.name.replace("-", "_")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # The reference's own affair.
            return getattr(import_module(f"{stem}_twin"), f"{stem}_trace")


REFERENCES = {
    reference.name: reference
    for reference in (
        Reference("nengo-loihi", NENGO_LOIHI, "nengo_loihi", recorded=240),
        Reference("brian2-loihi", BRIAN2_LOIHI, "brian2_loihi", recorded=100, forgets=False),
        Reference("lava", LAVA, "lava", recorded=500),
    )
}
