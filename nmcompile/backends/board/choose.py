"""The backend that a name on the command line stands for."""

from __future__ import annotations

from pathlib import Path

from nmcompile.backends.base import Backend
from nmcompile.backends.board.backend import NXSDK, VIRTUAL, BoardBackend, RecordedBackend
from nmcompile.backends.emulator import Emulator
from nmcompile.errors import UsageError


def chosen_backend(
    name: str,
    *,
    jobs: int | None = None,
    seed: int = 0,
    python: str | None = None,
    work: Path | None = None,
) -> Backend:
    """A backend by name.

    Parameters
    ----------
    name : ``emulator``; ``board`` for the board that NxSDK finds; ``board:virtual``; or
        ``board:FILE.npz`` for a result of the runner that was carried back
    jobs, seed : of the emulator
    python, work : of boards, see `BoardBackend`

    Raises
    ------
    UsageError
        Another name, or options that are not for it.
    """
    kind, _, board = name.partition(":")
    if kind not in ("emulator", "board") or (kind == "emulator" and board):
        raise UsageError(
            f"--backend {name}: there are emulator, board, board:virtual and board:RESULT.npz"
        )
    if kind == "emulator" and (python is not None or work is not None):
        raise UsageError("--board-python and --board-work are for --backend board; leave them out")
    if kind == "emulator":
        return Emulator(jobs, seed)
    if jobs is not None or seed:
        raise UsageError(f"--jobs and --seed are for the emulator, not for {name}; leave them out")
    if board.endswith(".npz"):
        if python is not None or work is not None:
            raise UsageError(f"--backend {name} only reads a file; leave the board's options out")
        return RecordedBackend(Path(board))
    if board not in ("", NXSDK, VIRTUAL):
        raise UsageError(
            f"--backend {name}: {board} is no board; there are board, board:virtual and "
            "board:RESULT.npz"
        )
    return BoardBackend(board or NXSDK, python=python, work=work)
