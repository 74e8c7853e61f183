"""Random networks of snnTorch and Norse, read from the NIR files that these write, spike alike.

So do the networks that are read from what is written of them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

for package in ("torch", "snntorch", "norse", "nir", "nirtorch"):
    pytest.importorskip(package)
sys.path.insert(0, str(Path(__file__).parent))

from nir_files import network, spikes  # noqa: E402
from random_spiking import random_case  # noqa: E402

from nmcompile.frontends.nir.write import write  # noqa: E402

#: The tools warn of what their own dependencies will drop.
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]


def check(seeds: range, folder: Path) -> None:
    fired = 0
    for seed in seeds:
        path = folder / f"{seed}.nir"
        dialect, x, wanted = random_case(seed, path)
        found = network(path, dialect=dialect)
        given = spikes(found, x)
        np.testing.assert_array_equal(given.reshape(wanted.shape), wanted, err_msg=f"seed {seed}")
        write(found, folder / "again.nir")
        np.testing.assert_array_equal(spikes(network(folder / "again.nir"), x), given)
        fired += int(wanted.sum())
    assert fired > 20 * len(seeds)


def test_some_networks(tmp_path: Path) -> None:
    check(range(12), tmp_path)


@pytest.mark.slow
def test_500_networks(tmp_path: Path) -> None:
    check(range(1000, 1500), tmp_path)
