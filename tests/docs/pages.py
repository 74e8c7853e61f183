"""What pages hold that a test can run."""

from __future__ import annotations

import re
import shlex

from nmcompile.cli.app import main


def python_blocks(page: str) -> list[str]:
    """The page's fenced Python."""
    return re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)


def commands(page: str) -> list[str]:
    """The page's commands of nmcompile."""
    return re.findall(r"^    (python -m nmcompile .*)$", page, re.M)


def run_commands(page: str) -> int:
    """Run the page's commands of nmcompile in the current folder; how many there are."""
    found = commands(page)
    for command in found:
        assert main(shlex.split(command)[3:]) == 0, command
    return len(found)
