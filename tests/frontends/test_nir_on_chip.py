"""Networks from NIR files answer on the emulated chip as their tool does."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from nir_files import MODELS

from nmcompile.analysis.evaluation import float_network
from nmcompile.api import Emulator, build


@pytest.mark.parametrize("name", sorted(path.stem for path in MODELS.glob("*.nir")))
def test_spike_counts_on_the_chip_are_near_the_tools(name: str) -> None:
    with np.load(MODELS / f"{name}.npz") as held:
        x, spikes = held["x"].astype(np.float32), held["spikes"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = build(
            MODELS / f"{name}.nir", dialect=name.partition("_")[0], calibrate=x,
            steps=x.shape[1] + 3,
        )  # fmt: skip
        result = Emulator(jobs=1).load(program).run(x, None, [])
    wanted = spikes.sum(axis=1).reshape(len(x), -1)
    # In a loop, what rounding does to one spike changes those that follow.
    least = 0.9 if float_network(program).recurrent else 0.98
    assert np.corrcoef(result.scores.ravel(), wanted.ravel())[0, 1] > least
