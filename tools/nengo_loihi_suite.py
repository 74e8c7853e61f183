"""pytest plugin: nengo-loihi's own tests with nmcompile's emulator in place of theirs.

    python -m pytest -p tools.nengo_loihi_suite nengo_loihi

Models that are not discretised (target "simreal") have no chip arithmetic, so these stay with
nengo-loihi's emulator. With NMCOMPILE_THEIRS=1 nothing is replaced, to compare with.

The source distribution lacks a file of ten MNIST digits that its convolution tests read; it is
made of the samples in `examples/mnist`.
"""

from __future__ import annotations

import os
import pickle
import warnings
from pathlib import Path
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


def pytest_configure(config: Any) -> None:
    """Make the file that the source distribution lacks."""
    path = Path(str(config.rootpath)) / "nengo_loihi" / "tests" / "mnist10.pkl"
    if path.parent.is_dir() and not path.exists():
        with np.load(Path(__file__).parents[1] / "examples" / "mnist" / "test_1000.npz") as file:
            images, labels = file["x"][:10], file["y"][:10]
        images = images.reshape(10, 784).astype(np.float32) / max(1.0, float(images.max()))
        path.write_bytes(pickle.dumps((images, labels)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many models ran on which emulator."""
    terminalreporter.write_line(
        f"emulators: nmcompile's {_runs['nmcompile']} times, nengo-loihi's {_runs['nengo-loihi']}"
    )
