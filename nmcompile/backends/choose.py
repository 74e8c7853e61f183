"""The backend that a name on the command line stands for."""

from __future__ import annotations

from pathlib import Path

from nmcompile.backends.base import Backend
from nmcompile.errors import UsageError

#: What `--backend` takes.
NAMES = "emulator, board, board:virtual, board:RESULT.npz, lava and lava:hardware"


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
    name : ``emulator``; ``board`` for the board that NxSDK finds; ``board:virtual``;
        ``board:FILE.npz`` for a result of the runner that was carried back; ``lava`` for Lava's
        models on this machine, ``lava:hardware`` for a Loihi 2
    jobs, seed : of the emulator
    python : interpreter that has the board's software, or Lava; this one where None
    work : folder in which a board keeps its image and finished samples

    Raises
    ------
    UsageError
        Another name, or options that are not for it.
    """
    kind, _, which = name.partition(":")
    if kind == "emulator" and not which:
        if python is not None or work is not None:
            raise UsageError(
                "--board-python and --board-work are for boards and Lava; leave them out"
            )
        from nmcompile.backends.emulator import Emulator

        return Emulator(jobs, seed)
    if kind in ("board", "lava") and (jobs is not None or seed):
        raise UsageError(f"--jobs and --seed are for the emulator, not for {name}; leave them out")
    if kind == "board":
        return _board(name, which, python, work)
    if kind == "lava" and which in ("", "hardware"):
        if work is not None:
            raise UsageError("--board-work is for boards of Loihi 1; leave it out")
        from nmcompile.backends.lava import Lava

        return Lava(python, hardware=which == "hardware")
    raise UsageError(f"--backend {name}: there are {NAMES}")


def carried_back(name: str) -> list[Path]:
    """The file that a backend's name asks to read, if any."""
    kind, _, which = name.partition(":")
    return [Path(which)] if kind == "board" and which.endswith(".npz") else []


def _board(name: str, which: str, python: str | None, work: Path | None) -> Backend:
    from nmcompile.backends.board.backend import NXSDK, VIRTUAL, BoardBackend, RecordedBackend

    if which.endswith(".npz"):
        if python is not None or work is not None:
            raise UsageError(f"--backend {name} only reads a file; leave the board's options out")
        return RecordedBackend(Path(which))
    if which not in ("", NXSDK, VIRTUAL):
        raise UsageError(f"--backend {name}: there are {NAMES}")
    return BoardBackend(which or NXSDK, python=python, work=work)
