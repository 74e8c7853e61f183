"""The tutorial says what happens: its blocks run, and print what the page shows."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nmcompile.cli.app import main

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tutorial.md"


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, text, and line in the page."""

    language: str
    text: str
    line: int


def blocks() -> Iterator[Block]:
    text = PAGE.read_text("utf-8")
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.M | re.S):
        yield Block(match[1], match[2], text.count("\n", 0, match.start()) + 1)


def plain(line: str) -> str:
    """A line without frames, spacing and the value of numbers, which differ from run to run."""
    line = re.sub(r"[─-╿]+", " ", line)
    line = re.sub(r"-?[0-9][0-9,]*(\.[0-9]+)?", "#", line)
    return " ".join(line.split())


def assert_shown(expected: str, printed: str, where: str) -> None:
    """Every line of the page is a line that was printed; … stands for anything."""
    lines = [plain(line) for line in printed.splitlines()]
    for wanted in filter(None, map(plain, expected.splitlines())):
        pattern = re.compile(".*".join(map(re.escape, wanted.split("…"))))
        assert any(map(pattern.fullmatch, lines)), f"{where}: not printed: {wanted}\n{printed}"


def run_console(block: Block, where: str) -> None:
    for part in re.split(r"^\$ ", block.text, flags=re.M)[1:]:
        command, _, expected = part.replace("\\\n", " ").partition("\n")
        words = shlex.split(command)
        if words[0] == "mkdir":
            Path(words[-1]).mkdir(exist_ok=True)
            continue
        assert words[:3] == ["python", "-m", "nmcompile"], where
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
            status = main(words[3:])
        assert status == 0, f"{where}: {command}"
        assert_shown(expected, printed.getvalue(), where)


def test_tutorial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    (tmp_path / "examples").symlink_to(ROOT / "examples", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    printed = ""
    ran = {"console": 0, "python": 0, "text": 0}
    for block in blocks():
        where = f"tutorial.md line {block.line}"
        ran[block.language] += 1
        if block.language == "console":
            run_console(block, where)
        elif block.language == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(block.text, where, "exec"), names)
            printed = out.getvalue()
        else:
            assert_shown(block.text, printed, where)
    assert min(ran.values()) >= 3
    assert (tmp_path / "demo" / "report.html").stat().st_size > 50_000


@pytest.mark.parametrize(
    ("page", "printed", "same"),
    [
        ("│ cores │ 7 on 1 │", "| cores", False),
        ("│ cores │ 7 on 1 │", "┃ cores ┃ 12 on 3 ┃", True),
        ("spikes (5, 32) bool", "spikes (5, 32) int", False),
        ("built …", "built demo/x.nmc", True),
        ("built …", "not built demo/x.nmc", False),
    ],
)
def test_what_counts_as_shown(page: str, printed: str, same: bool) -> None:
    if same:
        assert_shown(page, printed, "here")
    else:
        with pytest.raises(AssertionError):
            assert_shown(page, printed, "here")
