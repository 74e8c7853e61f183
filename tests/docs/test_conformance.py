"""The page on the conformance set lists its cases, and its commands and snippet run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from nmcompile.analysis.conformance import FOLDER, case_names
from tests.docs.pages import python_blocks, run_commands
from tools.conformance.features import FEATURES

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "conformance.md").read_text("utf-8")


def test_its_table_is_the_set() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    features = {name: (make.__doc__ or "").strip().rstrip(".") for name, make in FEATURES.items()}
    assert rows == [f"| `{name}` | {features[name]} |" for name in case_names()]


def test_its_commands_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for end in ("nmc", "npz"):
        shutil.copy(FOLDER / f"delays.{end}", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run_commands(PAGE) == 3
    assert f"    {capsys.readouterr().out.splitlines()[0]}\n" in PAGE
    (block,) = python_blocks(PAGE)
    exec(block, {})
    assert capsys.readouterr().out.startswith("2 of 2 cases are equal")
