"""`nmcompile doctor` prints what this machine has; its status says whether something is broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import Command


def test_a_healthy_machine(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    outcome = command("doctor")
    assert (outcome.status, outcome.err) == (0, "")
    for words in ("this machine", "numba", "extra onnx", "NxSDK, Loihi 1", "Lava, Loihi 2"):
        assert words in outcome.out
    found = command("doctor", "--board-python", tmp_path / "python", "--json")
    assert found.status == 1
    assert found.json["healthy"] is False
    broken = [each for each in found.json["checks"] if each["status"] == "broken"]
    assert [each["name"] for each in broken] == [f"interpreter {tmp_path / 'python'}"]
    assert broken[0]["remedy"]
