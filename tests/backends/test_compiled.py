"""Kernels are never taken from a cache that another version of the source left behind."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from nmcompile.backends.emulator import compiled
from nmcompile.backends.emulator.compiled import kernel, source_stamp


class Cache:
    def __init__(self, folder: Path) -> None:
        self.cache_path = str(folder)
        self.flushed = 0

    def flush(self) -> None:
        self.flushed += 1


class Kernel:
    """As far as numba's are looked at."""

    def __init__(self, folder: Path) -> None:
        self._cache = Cache(folder)

    def __call__(self, x: int) -> int:
        return 2 * x


def module(folder: Path) -> ModuleType:
    made = ModuleType("kernels")
    made.double, made.other = Kernel(folder), Kernel(folder)  # type: ignore[attr-defined]
    return made


def flushed(folder: Path) -> list[int]:
    """How often each of two kernels' caches is emptied when one is used in a new process."""
    made = module(folder)
    assert kernel(made, "double")(4) == 8
    return [made.double._cache.flushed, made.other._cache.flushed]


def test_a_cache_without_a_stamp_is_emptied_once(tmp_path: Path) -> None:
    assert flushed(tmp_path) == [1, 1]
    assert flushed(tmp_path) == [0, 0]


def test_a_cache_of_other_source_is_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed(tmp_path)
    monkeypatch.setattr(compiled, "source_stamp", lambda: b"another")
    assert flushed(tmp_path) == [1, 1]
    assert flushed(tmp_path) == [0, 0]


def test_a_cache_that_cannot_be_stamped_is_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert flushed(tmp_path / "file" / "cache") == [1, 1]
    assert flushed(tmp_path / "file" / "cache") == [1, 1]


def test_the_stamp_is_of_every_file_that_kernels_take_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = source_stamp()
    (tmp_path / "compiled.py").write_text("")
    monkeypatch.setattr(compiled, "__file__", str(tmp_path / "compiled.py"))
    first = source_stamp()
    (tmp_path / "other.py").write_text("LANES = 32")
    assert len({before, first, source_stamp()}) == 3
