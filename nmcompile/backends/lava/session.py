"""Lava as a backend: drives the runner of an exported folder in a Python that has Lava."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nmcompile.backends.base import Probe, Result
from nmcompile.backends.lava.folder import RUN, write_folder
from nmcompile.backends.lava.network import lava_network
from nmcompile.backends.result_file import load_result
from nmcompile.chip.program import Program
from nmcompile.errors import DataError, UsageError
from nmcompile.ir.nodes import FloatArray


class Lava:
    """Intel's Lava: its fixed-point CPU models, or a Loihi 2.

    Parameters
    ----------
    python : interpreter that has lava-nc; this one where None
    hardware : run on Loihi 2, for which that interpreter needs lava-loihi
    time_limit_s : for each run; None for no limit
    """

    def __init__(
        self,
        python: str | Path | None = None,
        hardware: bool = False,
        time_limit_s: float | None = None,
    ) -> None:
        self.python = str(python or sys.executable)
        self.hardware = hardware
        self.time_limit_s = time_limit_s

    def load(self, program: Program) -> LavaSession:
        """Prepare a Program; what Lava lacks is refused here."""
        lava_network(program)
        return LavaSession(program, self)


class LavaSession:
    """A Program in Lava; every run starts the interpreter anew."""

    def __init__(self, program: Program, lava: Lava) -> None:
        self.program = program
        self.lava = lava

    def run(
        self,
        inputs: FloatArray,
        steps: int | None = None,
        probes: Sequence[Probe] = (),
        first: int | None = None,
    ) -> Result:
        """Run samples, as `backends.base.Session` says; nothing here depends on `first`.

        Overflows are not counted, for Lava does not tell of them.

        Raises
        ------
        UsageError
            The interpreter cannot be run, or has no Lava.
        DataError
            The run failed; the message is the last line of what it said.
        """
        begin = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="nmcompile-lava-") as name:
            folder = Path(name)
            write_folder(self.program, folder, inputs, steps=steps)
            words = [self.lava.python, str(folder / RUN), "--quiet", "-o", str(folder / "out.npz")]
            words += ["--hardware"] if self.lava.hardware else []
            words += [word for probe in probes for word in ("--probe", str(probe))]
            self._run(words)
            held = load_result(folder / "out.npz")
            names = [self.program.encoder.name, *(layer.name for layer in self.program.layers)]
            missing = np.zeros(held.samples, np.int64)
            return Result(
                scores=held.array("scores").astype(np.float64),
                spikes={
                    name: held.array(f"spikes/{name}")
                    if f"spikes/{name}" in held.names
                    else missing
                    for name in names
                },
                synaptic_events=(
                    held.array("synaptic_events") if "synaptic_events" in held.names else missing
                ),
                overflows={},
                steps=held.steps,
                backend=str(held.meta["backend"]),
                target=self.program.target,
                seconds=time.perf_counter() - begin,
                probes={probe: held.array(f"probe/{probe}") for probe in probes},
            )

    def _run(self, words: Sequence[str]) -> None:
        limit = self.lava.time_limit_s
        try:
            process = subprocess.Popen(
                words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise UsageError(
                f"{words[0]} cannot be run ({error.strerror}); name a Python 3.10 with lava-nc"
            ) from None
        try:
            _, said = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            raise DataError(f"Lava did not finish within {limit:g} s; run fewer samples") from None
        finally:
            if process.poll() is None:
                # Lava has a process for each of its own, all in one group.
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if process.stderr is not None:
                process.stderr.close()
        if process.returncode:
            lines = said.strip().splitlines() or [f"exit status {process.returncode}"]
            message = lines[-1].removeprefix("error: ")
            if "no Lava" in message:
                raise UsageError(f"{words[0]}: {message}")
            raise DataError(f"the run in Lava failed: {message}")
