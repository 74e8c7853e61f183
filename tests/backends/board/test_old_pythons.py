"""The runner and the virtual board on the Pythons that NxSDK wants, where nmcompile does not run.

`make test-runner` makes environments of them; without those, these tests are skipped.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nmcompile.backends.base import Probe
from nmcompile.backends.board.backend import BoardBackend
from nmcompile.backends.board.result import BoardResult
from tests.backends.board.cases import case
from tests.backends.board.through import all_probes, assert_equal, emulated, written

ROOT = Path(__file__).parents[3]
OLD = ("3.6", "3.8")


def interpreter(version: str) -> str:
    """A Python of this version with NumPy, from the folder of environments."""
    folder = Path(os.environ.get("NMCOMPILE_OLD_PYTHONS", ROOT))
    python = folder / f".venv-python{version}" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"there is no {python}; make test-runner makes it")
    return str(python)


@pytest.mark.parametrize("version", [*OLD, "current"])
def test_the_runner_gives_what_the_emulator_gives(version: str, tmp_path: Path) -> None:
    python = sys.executable if version == "current" else interpreter(version)
    program, x = case(11)
    written(program, x, tmp_path / "image")
    command = [python, str(tmp_path / "image" / "runner.py"), "--board", "virtual"]
    environment = {**os.environ, "NMCOMPILE_PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    subprocess.run([*command, "-o", str(tmp_path / "r.npz")], check=True, env=environment)
    result = BoardResult(program, tmp_path / "r.npz")
    assert result.meta["python"].startswith("" if version == "current" else version + ".")
    found = result.take(x, None, all_probes(program))
    assert assert_equal(found, emulated(program, x)) > 100


@pytest.mark.parametrize("version", OLD)
def test_the_backend_drives_an_old_python(version: str) -> None:
    program, x = case(11)
    backend = BoardBackend("virtual", python=interpreter(version))
    probe = Probe(program.layers[0].name, "v")
    found = backend.load(program).run(x, probes=[probe])
    assert (found.probes[probe] == emulated(program, x).probes[probe]).all()
    assert found.backend == "board virtual"
