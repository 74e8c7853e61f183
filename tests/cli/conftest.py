"""A Program and data files, made once, and a way to run the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nmcompile.cli.app import main
from tests.cli.support import MODEL, Command, Files, Outcome


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("cli")
    recorded = np.load(MODEL.with_suffix(".npz"))
    shape, classes = recorded["x"].shape[1:], recorded["y"].shape[1]
    rng = np.random.default_rng(0)
    x = rng.random((12, *shape), dtype=np.float32)
    y = rng.integers(0, classes, 12)
    np.savez(folder / "data.npz", x=x, y=y)
    np.savez(folder / "calibrate.npz", x=rng.random((32, *shape), dtype=np.float32))
    program = folder / "net.nmc"
    words = ["build", MODEL, "--calibrate", folder / "calibrate.npz", "-o", program]
    assert main([*map(str, words), "--steps", "12"]) == 0
    return Files(MODEL, folder / "data.npz", folder / "calibrate.npz", program, x, y)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command line in this process."""

    def run(*words: object) -> Outcome:
        capsys.readouterr()
        status = main([str(word) for word in words])
        return Outcome(status, *capsys.readouterr())

    return run


@pytest.fixture
def kept(tmp_path: Path) -> Callable[[], Path]:
    """An output file with old content, and a check that it is still there, alone and the same."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "old").write_bytes(b"old content")

    def path() -> Path:
        assert [each.name for each in folder.iterdir()] == ["old"]
        assert (folder / "old").read_bytes() == b"old content"
        return folder / "old"

    return path
