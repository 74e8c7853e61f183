"""Random networks of snnTorch and Norse, read from the NIR files that these write, spike alike."""

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

pytestmark = pytest.mark.torch


def check(seeds: range, folder: Path) -> None:
    fired = 0
    for seed in seeds:
        path = folder / f"{seed}.nir"
        dialect, x, wanted = random_case(seed, path)
        found = spikes(network(path, dialect=dialect), x)
        np.testing.assert_array_equal(found.reshape(wanted.shape), wanted, err_msg=f"seed {seed}")
        fired += int(wanted.sum())
    assert fired > 20 * len(seeds)


def test_some_networks(tmp_path: Path) -> None:
    check(range(12), tmp_path)


@pytest.mark.slow
def test_500_networks(tmp_path: Path) -> None:
    check(range(1000, 1500), tmp_path)
