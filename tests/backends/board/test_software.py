"""NxSDK is found at both places where its versions keep the class of boards; here it is a stand-in
that hands the virtual board out under NxSDK's names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nmcompile.backends.board.backend import BoardBackend
from nmcompile.backends.board.portable import runner, virtual_board
from nmcompile.backends.board.result import BoardResult
from tests.backends.board.cases import case
from tests.backends.board.through import all_probes, assert_equal, emulated, written

ROOT = Path(__file__).parents[3]
PORTABLE = Path(virtual_board.__file__).parent
#: Version -> module that has the class of boards (nengo-loihi hardware/nxsdk_shim.py).
PLACES = {"1.0.0": "nxsdk/arch/n2a/n2board.py", "0.9.0": "nxsdk/graph/nxboard.py"}


def stand_in(folder: Path, version: str) -> Path:
    """A package nxsdk."""
    sources = {
        "nxsdk/__init__.py": f"__version__ = {version!r}",
        PLACES[version]: "from virtual_board import N2Board",
        "nxsdk/graph/nxinputgen/nxinputgen.py": "from virtual_board import BasicSpikeGenerator",
        "nxsdk/graph/processes/phase_enums.py": "from virtual_board import Phase",
    }
    for name, source in sources.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        for parent in path.relative_to(folder).parents[:-1]:
            (folder / parent / "__init__.py").touch()
        path.write_text(source + "\n")
    return folder


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Leaves no module of a stand-in behind."""
    before = set(sys.modules)
    yield monkeypatch
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("nxsdk", "virtual_board"):
            del sys.modules[name]


@pytest.mark.parametrize("version", PLACES)
def test_every_version_of_the_software_is_found(
    version: str, tmp_path: Path, forgetful: pytest.MonkeyPatch
) -> None:
    forgetful.syspath_prepend(str(PORTABLE))
    forgetful.syspath_prepend(str(stand_in(tmp_path, version)))
    software = runner.Software("N2")
    assert software.version == version
    assert software.board.__name__ == "N2Board"
    assert software.generator.__name__ == "BasicSpikeGenerator"
    assert software.phase.EMBEDDED_MGMT


def test_without_the_software_one_sentence_says_what_to_do() -> None:
    with pytest.raises(runner.RunError, match="no nxsdk; members of Intel's"):
        runner.Software("N2")


@pytest.mark.parametrize("reset", ["board", "snip"])
def test_the_runner_drives_what_is_called_nxsdk(reset: str, tmp_path: Path) -> None:
    program, x = case(11)
    written(program, x, tmp_path / "image")
    paths = (stand_in(tmp_path / "sdk", "1.0.0"), PORTABLE, ROOT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    words = [sys.executable, str(tmp_path / "image" / "runner.py"), "--reset", reset]
    subprocess.run([*words, "-o", str(tmp_path / "r.npz")], check=True, env=environment)
    result = BoardResult(program, tmp_path / "r.npz")
    assert result.meta["sdk"] == "1.0.0"
    assert_equal(result.take(x, None, all_probes(program)), emulated(program, x))


def test_a_backend_drives_what_is_called_nxsdk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, x = case(11)
    paths = (stand_in(tmp_path, "0.9.0"), PORTABLE, ROOT)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, paths)))
    found = BoardBackend().load(program).run(x)
    assert found.backend == "board N2"
    assert (found.scores == emulated(program, x).scores).all()
