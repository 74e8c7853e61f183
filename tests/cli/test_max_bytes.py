"""`--max-bytes` of every command that reads a model: what it takes, and that the guard names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from nmcompile.cli.options import size_in_bytes
from nmcompile.errors import UsageError
from tests.cli.support import Command, Files


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("500", 500), ("4G", 4 << 30), ("4g", 4 << 30), ("1.5M", 3 << 19), ("2 KiB", 2048),
     ("3GB", 3 << 30), ("1T", 1 << 40)],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert size_in_bytes(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "G", "4X", "nan", "inf", "1e400", "1,5G"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="--max-bytes .*: give a size above 0"):
        size_in_bytes(text)


@pytest.mark.parametrize("name", ["check", "build", "convert", "diff", "tune"])
def test_each_command_takes_it(name: str, command: Command, files: Files, tmp_path: Path) -> None:
    rest = {
        "check": (), "build": ("-o", tmp_path / "n.nmc"), "convert": (tmp_path / "n.nir",),
        "diff": (files.model,), "tune": ("--data", files.data, "--storage", tmp_path / "t"),
    }[name]  # fmt: skip
    if name == "tune":
        pytest.importorskip("optuna")
    words = (name, files.model, *rest, "--max-bytes")
    status = 2 if name == "diff" else 1  # diff says by 1 that the networks differ
    command(*words, "1K").refused("more than the limit of 1024", "--max-bytes", status=(status,))
    command(*words, "much").refused("--max-bytes much", status=(2,))


def test_enough_is_enough(command: Command, files: Files) -> None:
    assert command("check", files.model, "--max-bytes", "1M").status == 0
