"""The file that keeps a search: opened by one process at a time, whole again after a kill."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nmcompile.errors import UsageError

#: Name of the study in the file, and of the attribute that says what it searched.
STUDY, FINGERPRINT = "nmcompile tune", "fingerprint"


@contextmanager
def open_study(path: Path, fingerprint: Mapping[str, Any]) -> Iterator[Any]:
    """The Optuna study that a file keeps, or a new one.

    Parameters
    ----------
    path : the file
    fingerprint : what the search is about, part by part; plain values

    Raises
    ------
    UsageError
        A file of something else, of another search, or one that another process has open; or
        the extra `tune` is not installed.
    """
    optuna = import_optuna()
    with _alone(path):
        _mend(path)
        journal = optuna.storages.journal
        try:
            # The lock guards against others, of which there are none.
            Path(f"{path}.lock").unlink(missing_ok=True)
            lock = journal.JournalFileOpenLock(str(path))
            storage = optuna.storages.JournalStorage(journal.JournalFileBackend(str(path), lock))
            there = [study.study_name for study in storage.get_all_studies()]
            make = optuna.load_study if STUDY in there else optuna.create_study
            study = make(study_name=STUDY, storage=storage)
        except (AssertionError, ValueError, KeyError, TypeError):
            raise UsageError(
                f"--storage {path}: not a file of a search by tune; name another"
            ) from None
        _compare(path, study, fingerprint)
        yield study


def import_optuna() -> Any:
    """Optuna, which says nothing by itself.

    Raises
    ------
    UsageError
        It is not installed.
    """
    try:
        import optuna
        import optuna.storages.journal
    except ImportError:
        raise UsageError("tune needs Optuna: pip install 'nmcompile[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _compare(path: Path, study: Any, fingerprint: Mapping[str, Any]) -> None:
    """Refuse a study of something else; sign a new one."""
    kept = study.user_attrs.get(FINGERPRINT)
    wanted = json.loads(json.dumps(fingerprint))
    if kept is None:
        study.set_user_attr(FINGERPRINT, wanted)
    elif kept != wanted:
        other = [name for name in wanted if kept.get(name) != wanted[name]]
        raise UsageError(
            f"--storage {path}: it belongs to a search with another "
            f"{' and another '.join(other) or 'version'}; name another file"
        )


def _mend(path: Path) -> None:
    """Cut off what a killed process had half written; refuse what is no journal at all."""
    try:
        content = path.read_bytes()
        first, _, _ = content.partition(b"\n")
        if content and "op_code" not in json.loads(first):
            raise ValueError
    except OSError as error:
        raise UsageError(f"--storage {path}: cannot be read: {error.strerror}") from None
    except (ValueError, TypeError):
        raise UsageError(
            f"--storage {path}: not a file of a search by tune; name another"
        ) from None
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other processes from the same search, as long as this one lives."""
    try:
        import fcntl
    except ImportError:  # Windows
        path.touch()
        yield
        return
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(
                f"--storage {path}: another search has it open; wait for it, or name another file"
            ) from None
        yield
