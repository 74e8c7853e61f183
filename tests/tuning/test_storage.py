"""The file of a search survives kills, and is never mistaken for another."""

from __future__ import annotations

from pathlib import Path

import pytest

from nmcompile.errors import UsageError
from nmcompile.tuning.storage import open_study

optuna = pytest.importorskip("optuna")

ABOUT = {"model": "a", "data": "b"}


def ask_and_tell(path: Path, trials: int) -> None:
    with open_study(path, ABOUT) as study:
        for _ in range(trials):
            trial = study.ask()
            study.tell(trial, trial.suggest_float("x", 0, 1))


def test_what_was_done_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "s"
    ask_and_tell(path, 2)
    ask_and_tell(path, 1)
    with open_study(path, ABOUT) as study:
        assert len(study.trials) == 3


def test_half_a_line_and_a_lock_of_a_killed_process_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "s"
    ask_and_tell(path, 2)
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines()[-1][:20])
    Path(f"{path}.lock").touch()
    ask_and_tell(path, 1)
    assert path.read_bytes().startswith(whole)
    with open_study(path, ABOUT) as study:
        assert len(study.trials) == 3


@pytest.mark.parametrize(
    "content", [b"notes\n", b"PK\x03\x04", b"[1]\n", b"7", b'{"op_code": 99}\n']
)
def test_any_other_file_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="name another"), open_study(path, ABOUT):
        pass
    assert path.read_bytes() == content


def test_another_search_is_refused_with_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "s"
    ask_and_tell(path, 1)
    with (
        pytest.raises(UsageError, match="search with another data; name"),
        open_study(path, {**ABOUT, "data": "c"}),
    ):
        pass


def test_one_process_at_a_time(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    path = tmp_path / "s"
    with (
        open_study(path, ABOUT),
        pytest.raises(UsageError, match="another search has it open"),
        open_study(path, ABOUT),
    ):
        pass
