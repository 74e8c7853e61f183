"""The page on comparing networks: its command runs, and prints what the page shows."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.docs.pages import python_blocks, run_commands

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "diff.md").read_text("utf-8")
MODELS = ROOT / "tests" / "frontends" / "models"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for end in ("keras", "h5"):
        shutil.copy(MODELS / f"cnn.{end}", tmp_path / f"model.{end}")
    monkeypatch.chdir(tmp_path)


def test_its_command_prints_what_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_commands(PAGE) == 1
    line = capsys.readouterr().out.splitlines()[0]
    assert f"    {line}\n" in PAGE


def test_its_snippet_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = python_blocks(PAGE)
    exec(block, {})
    assert capsys.readouterr().out.startswith("True equal exactly: ")
