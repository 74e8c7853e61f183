"""A process that judges settings: requests come on standard input, results go to output."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from typing import BinaryIO

from nmcompile.tuning.judge import Request, Task, judge


def serve(requests: BinaryIO, results: BinaryIO) -> None:
    """Take a task, then requests until there are no more."""
    try:
        task: Task = pickle.load(requests)
        while True:
            request: Request = pickle.load(requests)
            pickle.dump(judge(task, request), results)
            results.flush()
    except (EOFError, BrokenPipeError):
        return  # Whoever asked is gone.


def main() -> None:
    """Serve on the standard streams; what else is printed goes to standard error."""
    # Ctrl-C goes to all processes of a terminal; the one that asks decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    results = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin.buffer, results)


if __name__ == "__main__":
    main()
