"""What tests of the command line share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

MODELS = Path(__file__).parents[1] / "frontends" / "models"
MODEL = MODELS / "cnn.keras"


@dataclass(frozen=True)
class Files:
    """Paths: a model, data with labels, images for calibration, and a built Program."""

    model: Path
    data: Path
    calibrate: Path
    program: Path
    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Standard output as one JSON object."""
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value

    def refused(self, *words: str, status: tuple[int, ...] = (1, 2)) -> str:
        """Check that there is one sentence on standard error, with these words; return it."""
        assert self.status in status, (self.status, self.out, self.err)
        assert "Traceback" not in self.err
        lines = [line for line in self.err.splitlines() if not line.startswith("warning: ")]
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: "), self.err
        assert "fault of nmcompile" not in lines[0], self.err
        for word in words:
            assert word in lines[0], (word, lines[0])
        return lines[0]


Command = Callable[..., Outcome]
