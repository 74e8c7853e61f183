"""The examples that learn do what their text says."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, figure: Path) -> list[Any]:
    """All runs of an example, nmcompile's first."""
    pytest.importorskip("matplotlib")
    found = runpy.run_path(str(EXAMPLES / name / f"{name}.py"))["main"](["--figure", str(figure)])
    assert figure.read_bytes().startswith(b"\x89PNG")
    return list(found)


def test_the_communication_channel_is_learnt(tmp_path: Path) -> None:
    ours, _ = run("pes_communication_channel", tmp_path / "channel.png")
    assert ours.ratio < 0.25


def test_the_conditioned_response_comes_with_its_stimulus_alone(tmp_path: Path) -> None:
    ours, nengos = run("pavlovian_conditioning", tmp_path / "conditioning.png")
    for each in (ours, nengos):
        before, after = each.response(0), each.response(12)
        assert np.abs(before).max() < 0.02
        assert np.diag(after).min() > 0.02
    assert ours.response(12).argmax(axis=1).tolist() == [0, 1, 2]
