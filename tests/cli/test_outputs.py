"""Outputs that cannot be written: one sentence, nothing half-written, old files kept."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from nmcompile.errors import UsageError
from nmcompile.files import check_writable, write_atomically
from tests.cli.support import Command, Files

Kept = Callable[[], Path]
Words = tuple[object, ...]


def writers(files: Files, path: object) -> Iterator[Words]:
    """Every command that writes a file, told to write this one."""
    yield ("build", files.model, "--calibrate", files.calibrate, "-o", path)
    yield ("run", files.program, "--input", files.data, "-o", path)
    yield ("eval", files.program, "--data", files.data, "--resume", path)


def test_an_output_that_is_a_folder(command: Command, files: Files, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for words in writers(files, tmp_path / "folder"):
        command(*words).refused("folder", "name a file", status=(2,))
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_an_output_in_a_folder_that_is_missing(
    command: Command, files: Files, tmp_path: Path
) -> None:
    for words in writers(files, tmp_path / "missing" / "net.out"):
        command(*words).refused("missing", "make it first", status=(2,))
    assert not list(tmp_path.iterdir())


def test_an_output_without_permission(
    command: Command, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The owner of a machine may write everywhere, so the system's answer is replaced.
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    for words in writers(files, tmp_path / "net.out"):
        command(*words).refused("no permission", str(tmp_path), status=(2,))
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="may write everywhere")
def test_a_folder_that_may_not_be_written(command: Command, files: Files, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    for words in writers(files, tmp_path / "net.out"):
        command(*words).refused("no permission", status=(2,))


@pytest.mark.parametrize("function", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_is_full_leaves_the_old_file(
    command: Command,
    files: Files,
    kept: Kept,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    number: int,
) -> None:
    def full(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    for words in list(writers(files, kept()))[:2]:
        with monkeypatch.context() as patch:
            patch.setattr(os, function, full)
            outcome = command(*words)
        outcome.refused(os.strerror(number), "nothing was changed", status=(2,))
        kept()


def test_a_full_disk_stops_a_resumable_evaluation_without_a_file(
    command: Command, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        outcome = command("eval", files.program, "--data", files.data, "--resume", tmp_path / "r")
    outcome.refused("No space left", status=(2,))
    assert not list(tmp_path.iterdir())


def limited(size: int, *words: object) -> subprocess.CompletedProcess[str]:
    """Run the command line where no file may grow beyond so many bytes."""
    code = (
        "import resource, sys; from nmcompile.cli.app import main;"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}));"
        "sys.exit(main(sys.argv[1:]))"
    )
    return subprocess.run(
        [sys.executable, "-B", "-c", code, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of the system")
def test_a_write_that_stops_half_way_leaves_the_old_file(files: Files, kept: Kept) -> None:
    words = ("build", files.model, "--calibrate", files.calibrate, "-o", kept(), "--json")
    failed = limited(20_000, *words)
    assert failed.returncode == 2, failed.stderr
    assert failed.stdout == ""
    assert failed.stderr.startswith("error: cannot write ")
    assert failed.stderr.count("\n") == 1
    kept()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_device_is_said_and_stays_a_device(command: Command, files: Files) -> None:
    command("build", files.model, "--calibrate", files.calibrate, "-o", "/dev/full").refused(
        "/dev/full", "No space left", status=(2,)
    )
    command("run", files.program, "--input", files.data, "-o", "/dev/full").refused("/dev/full")
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_does_not_fit_on_the_disk_is_said() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "nmcompile", "targets", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "error: standard output: No space left on device\n"


def test_a_pipe_is_written_and_stays_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_atomically(path, b"content")
        assert os.read(reader, 100) == b"content"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_link_keeps_pointing_where_it_did(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
    assert {path.name for path in tmp_path.iterdir()} == {"real", "link"}


def test_a_new_file_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"")
    write_atomically(tmp_path / "made", b"")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("other", "made")]
    assert modes[0] == modes[1]


def test_an_interrupted_write_leaves_no_trace(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_atomically(kept(), b"new")
    kept()


def test_long_work_is_not_begun_for_an_output_that_cannot_be(tmp_path: Path) -> None:
    check_writable(tmp_path / "net.nmc")
    with pytest.raises(UsageError, match="folder"):
        check_writable(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_stage_that_cannot_be_dumped(command: Command, files: Files, kept: Kept) -> None:
    words = ("build", files.model, "--calibrate", files.calibrate, "-o", kept(), "--dump-ir")
    command(*words, kept()).refused("--dump-ir", str(kept()), status=(2,))
    kept()


def test_a_run_that_fails_leaves_the_old_results(
    command: Command, files: Files, kept: Kept, tmp_path: Path
) -> None:
    np.savez(tmp_path / "bad.npz", x=files.x * np.nan)
    command("run", files.program, "--input", tmp_path / "bad.npz", "-o", kept()).refused("NaN")
    command("run", files.data, "--input", files.data, "-o", kept()).refused(files.data.name)
    kept()
