"""Other simulators, each a process in an environment of its own that measures when it is asked."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

from tools.bench.record import ROOT, progress

#: Side -> its environment and script.
SIDES = {
    "nengo-loihi": (".venv-reference", "side_nengo_loihi.py"),
    "Lava": (".venv-lava", "side_lava.py"),
    "PyTorch": (".venv-torch", "side_torch.py"),
}


def available(name: str) -> bool:
    """Whether a side's environment is there; says so where it is not."""
    folder = SIDES[name][0]
    there = (ROOT / folder / ".bench").is_file()
    if not there:
        progress(f"{name} is left out: there is no {folder}; `make bench-sides` makes it.")
    return there


class Side:
    """A running side; `hello` is what it said of itself."""

    def __init__(self, name: str, *arguments: Path) -> None:
        folder, script = SIDES[name]
        self.name = name
        self._process = subprocess.Popen(
            [str(ROOT / folder / "bin" / "python"), str(Path(__file__).parent / script)]
            + [str(argument) for argument in arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests" / "differential"))),
                "NUMBA_CACHE_DIR": str(ROOT / folder / "numba"),
            },
        )
        self.hello = self._answer()

    def ask(self, **what: object) -> dict[str, Any]:
        """Have it measure, and wait."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)
                return answer
        raise RuntimeError(f"{self.name} ended early, with status {self._process.wait()}")

    def __enter__(self) -> Side:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()
