"""Boards as backends: the runner as a process of the Python that has the board's software."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nmcompile.backends.base import Probe, Result
from nmcompile.backends.board.folder import write_folder, write_spikes
from nmcompile.backends.board.result import BoardResult
from nmcompile.backends.emulator import Emulator
from nmcompile.chip.program import Program
from nmcompile.errors import BoardError, NmcompileWarning, UsageError
from nmcompile.ir.nodes import FloatArray

VIRTUAL, NXSDK = "virtual", "N2"
#: Exit status of the runner where samples are missing.
STOPPED = 3
#: Seconds that looking for the board's software may take.
LOOK_S = 120


class BoardWarning(NmcompileWarning):
    """Something on the side of the board that went wrong and was got over."""


@dataclass(frozen=True)
class BoardBackend:
    """A board of Loihi 1, or the virtual one.

    Attributes
    ----------
    name : "N2" for the board that NxSDK finds, "virtual" for a rehearsal
    python : interpreter that has NxSDK; this one where None
    work : folder that keeps the image and finished samples, so that a run goes on after a stop;
        a temporary one where None
    batch : samples of one process on the board
    reset : "board" for a fresh board for each sample, "snip" for a batch in one run, with a SNIP
        that puts the chips back between samples
    retries : tries after a failure
    wait : seconds before the first of these tries; before the second twice as many, and so on
    time_limit : seconds that a sample may take
    """

    name: str = NXSDK
    python: str | None = None
    work: Path | None = None
    batch: int = 16
    reset: str = "board"
    retries: int = 3
    wait: float = 5.0
    time_limit: float = 600.0

    def load(self, program: Program) -> BoardSession:
        """Write the image, and look for the board's software.

        Raises
        ------
        BoardError
            No NxSDK, or a Program that no image can be made of.
        """
        session = BoardSession(program, self)
        session.check_software()
        return session

    @property
    def interpreter(self) -> str:
        """The interpreter that runs the runner."""
        return self.python or sys.executable


class BoardSession:
    """A Program's image, ready to run."""

    def __init__(self, program: Program, backend: BoardBackend) -> None:
        self.program, self.backend = program, backend
        self.folder = Path(backend.work or tempfile.mkdtemp(prefix="nmcompile-board-"))
        if backend.work is None:
            self._cleanup = weakref.finalize(self, shutil.rmtree, self.folder, True)
        write_folder(program, self.folder)

    def check_software(self) -> None:
        """Raise BoardError, with what to do, where the interpreter cannot open such a board."""
        if self.backend.name == VIRTUAL and self.backend.python is None:
            return
        needed = "numpy" if self.backend.name == VIRTUAL else "nxsdk"
        python = self.backend.interpreter
        try:
            done = subprocess.run(
                [python, "-c", f"import {needed}"], capture_output=True, timeout=LOOK_S
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BoardError(f"--board-python {python} cannot be run: {error}") from None
        if done.returncode and b"Error" not in done.stderr:
            raise BoardError(f"--board-python {python} does not answer as Python does")
        if done.returncode and needed == "numpy":
            raise BoardError(f"{python} has no NumPy, which the runner needs; install it there")
        if done.returncode:
            raise BoardError(
                f"{python} has no nxsdk, which boards of Loihi 1 need; members of Intel's "
                "Neuromorphic Research Community get it from Intel: install it there, name that "
                "Python with --board-python, and check with `python -c 'import nxsdk'`; without "
                "it, --backend board:virtual rehearses the way"
            )

    def run(
        self,
        inputs: FloatArray,
        steps: int | None = None,
        probes: Sequence[Probe] = (),
        first: int | None = None,
    ) -> Result:
        """Run samples, each on a board as after power-on; see `Session.run`.

        Raises
        ------
        BoardError
            What kept the runner from its end; finished samples are kept in `work`.
        """
        steps = self.program.steps if steps is None else steps
        if steps < 1:
            raise UsageError(f"--steps {steps}: at least one step is needed")
        if not len(inputs):
            return Emulator().load(self.program).run(inputs, steps, probes)
        spikes, output = self.folder / "run-spikes.npz", self.folder / "result.npz"
        write_spikes(self.program, spikes, inputs, steps, probes)
        self._call_runner(spikes, output)
        result = BoardResult(self.program, output)
        for sentence in result.meta["trouble"] + result.meta["lacking"]:
            warnings.warn(sentence, BoardWarning, stacklevel=2)
        return result.take(inputs, steps, probes)

    def _call_runner(self, spikes: Path, output: Path) -> None:
        backend = self.backend
        words = [backend.interpreter, str(self.folder / "runner.py"), "--board", backend.name]
        words += ["--spikes", str(spikes), "-o", str(output), "--batch", str(backend.batch)]
        # Of each set of samples its own, so that an evaluation finds all that it finished.
        digest = hashlib.sha256(spikes.read_bytes()).hexdigest()[:16]
        words += ["--parts", str(self.folder / "parts" / digest)]
        words += ["--reset", backend.reset, "--with-parent"]
        words += ["--retries", str(backend.retries), "--wait", str(backend.wait)]
        words += ["--time-limit", str(backend.time_limit)]
        environment = dict(os.environ)
        if backend.name == VIRTUAL:
            environment["NMCOMPILE_PYTHON"] = sys.executable
            root = str(Path(__file__).parents[3])
            environment["PYTHONPATH"] = os.pathsep.join(
                [root, *filter(None, [environment.get("PYTHONPATH")])]
            )
        try:
            done = subprocess.run(words, capture_output=True, text=True, env=environment)
        except OSError as error:
            raise BoardError(f"--board-python {words[0]} cannot be run: {error}") from None
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
            sentence = said[-1][7:] if said else f"the runner failed: {done.stderr[-500:]}"
            if done.returncode == STOPPED and backend.work is None:
                self._cleanup.detach()
                sentence += f" with --board-work {self.folder}"
            raise BoardError(sentence)


@dataclass(frozen=True)
class RecordedBackend:
    """A result that was carried back from another machine, as a backend.

    Attributes
    ----------
    path : result file of the runner
    """

    path: Path

    def load(self, program: Program) -> RecordedSession:
        """Read the result."""
        return RecordedSession(BoardResult(program, self.path))


@dataclass(frozen=True)
class RecordedSession:
    """A result that is there already; samples are checked against those that were run."""

    result: BoardResult

    def run(
        self,
        inputs: FloatArray,
        steps: int | None = None,
        probes: Sequence[Probe] = (),
        first: int | None = None,
    ) -> Result:
        """The result of these samples."""
        if not len(inputs):
            return Emulator().load(self.result.program).run(inputs, steps, probes)
        return self.result.take(np.asarray(inputs), steps, probes, first or 0)
