"""Processes that judge settings side by side, each on one thread; a dead one is replaced."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import IO

from nmcompile.tuning.judge import Failure, Measured, Request, Task, judge

#: So many threads would only get in each other's way.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
}


class WorkerDied(Exception):
    """A process ended before it gave a result, as when it is killed for its memory."""


class Workers:
    """Judges requests in parallel; with one job in this process.

    Parameters
    ----------
    task : what settings are judged for
    jobs : processes
    """

    def __init__(self, task: Task, jobs: int) -> None:
        self.jobs = jobs
        self._task = task
        self._pickled = b"" if jobs == 1 else pickle.dumps(task)
        self._threads = None if jobs == 1 else ThreadPoolExecutor(jobs)
        self._idle: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        self._all: list[subprocess.Popen[bytes]] = []
        self._closed = False

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed = True
        for process in self._all:
            process.kill()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
        for process in self._all:
            process.wait()
            for stream in (process.stdin, process.stdout):
                assert stream is not None
                _close(stream)

    def submit(self, request: Request) -> Future[Measured | Failure]:
        """Judge a setting; the result may be a `WorkerDied`."""
        if self._threads is not None:
            return self._threads.submit(self._ask, request)
        done: Future[Measured | Failure] = Future()
        done.set_result(judge(self._task, request))
        return done

    @property
    def processes(self) -> list[int]:
        """Numbers of the processes that run."""
        return [each.pid for each in self._all if each.poll() is None]

    def _ask(self, request: Request) -> Measured | Failure:
        try:
            process = self._idle.get_nowait()
        except Empty:
            process = self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            pickle.dump(request, process.stdin)
            process.stdin.flush()
            result: Measured | Failure = pickle.load(process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError):
            process.kill()
            raise WorkerDied from None
        self._idle.put(process)
        return result

    def _start(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise WorkerDied
        process = subprocess.Popen(
            [sys.executable, "-m", "nmcompile.tuning.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._all.append(process)
        assert process.stdin is not None
        try:
            process.stdin.write(self._pickled)
        except OSError:
            raise WorkerDied from None
        return process


def _close(stream: IO[bytes]) -> None:
    try:
        stream.close()
    except OSError:
        return  # What it still held was for a process that is gone.
