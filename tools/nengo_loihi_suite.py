"""pytest plugin: nengo-loihi's own tests with nmcompile's emulator in place of theirs.

    python -m pytest -p tools.nengo_loihi_suite nengo_loihi

Models that are not discretised (target "simreal") have no chip arithmetic, so these stay with
nengo-loihi's emulator. With NMCOMPILE_THEIRS=1 nothing is replaced, to compare with.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import nengo_loihi.emulator
    import nengo_loihi.simulator

    import nmcompile.nengo

#: What ran on which emulator, for the last line of the report.
_runs = {"nmcompile": 0, "nengo-loihi": 0}
_theirs = nengo_loihi.emulator.EmulatorInterface


class InPlace(nmcompile.nengo.EmulatorInterface):
    """nmcompile's emulator for models in integers, nengo-loihi's for others."""

    def __new__(cls, model: Any, seed: int | None = None) -> Any:
        """An emulator of either kind."""
        discrete = all(block.compartment.vth.dtype == np.int32 for block in model.blocks)
        if discrete and model.blocks and not os.environ.get("NMCOMPILE_THEIRS"):
            _runs["nmcompile"] += 1
            return super().__new__(cls)
        _runs["nengo-loihi"] += 1
        _theirs.strict = cls.strict
        return _theirs(model, seed=seed)


nengo_loihi.emulator.EmulatorInterface = InPlace
nengo_loihi.simulator.EmulatorInterface = InPlace


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many models ran on which emulator."""
    terminalreporter.write_line(
        f"emulators: nmcompile's {_runs['nmcompile']} times, nengo-loihi's {_runs['nengo-loihi']}"
    )
