"""nengo-loihi runs under NumPy 2, and NumPy itself stays as it is."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from nengo_loihi import block, dvs

import nmcompile.nengo  # noqa: F401
from nmcompile.nengo.mend import mend

NUMPY_2 = np.lib.NumpyVersion(np.__version__) >= "2.0.0"


@pytest.mark.skipif(not NUMPY_2, reason="nothing is mended under NumPy 1")
def test_what_numpy_2_took_away_is_back_in_nengo_loihi_alone() -> None:
    assert block.np.array([1, 2], copy=False).tolist() == [1, 2]
    given = np.arange(3)
    assert np.shares_memory(block.np.array(given, copy=False), given)
    assert dvs.np.fromstring(b"\x01\x02", np.uint8).tolist() == [1, 2]
    assert block.np.zeros is np.zeros
    with pytest.raises(ValueError, match="copy"):
        np.array([1, 2], copy=False)


def test_it_is_mended_once() -> None:
    assert mend() is False


@pytest.mark.skipif(not NUMPY_2, reason="nothing is mended under NumPy 1")
def test_it_says_so_once_on_import() -> None:
    code = "import nmcompile.nengo, importlib; importlib.reload(nmcompile.nengo)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert found.stderr.count("nmcompile mends") == 1
    assert "numpy.core" not in found.stderr
