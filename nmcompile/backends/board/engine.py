"""The emulator as what the virtual board runs on: registers and spikes in, state out.

As a program it serves a virtual board in another Python by standard input and output, in
messages of 8 bytes of length and an `.npz` each way.
"""

from __future__ import annotations

import io
import itertools
import struct
import sys
from collections.abc import Callable, Mapping
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.backends.board.image import RegisterImage
from nmcompile.backends.board.replay import Replay
from nmcompile.errors import BoardError, NmcompileError

Arrays = dict[str, NDArray[Any]]


class Engine:
    """Loads register fields, runs steps."""

    def __init__(self) -> None:
        self._replay: Replay | None = None

    def call(self, command: str, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
        """Carry out a command.

        ``load``: a register image and `places`, (places, 4), that spikes may be sent to.
        ``restart``: all state as after power-on.
        ``run``: `steps`, with `sent`, (spikes, 5) step, chip, core, axon and atom, and `probed`,
        (compartments, 3) chip, core and compartment, for `quantities`; gives (steps, compartments)
        of each.

        Raises
        ------
        BoardError
            What no board would do.
        """
        commands: dict[str, Callable[[Mapping[str, NDArray[Any]]], Arrays]] = {
            "load": self._load,
            "restart": self._restart,
            "run": self._run,
        }
        if command not in commands:
            raise BoardError(f"the engine knows no command {command}")
        return commands[command](arrays)

    def close(self) -> None:
        """Forget the image."""
        self._replay = None

    def _load(self, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
        image = RegisterImage.from_arrays(
            {name: values for name, values in arrays.items() if name != "places"}
        )
        self._replay = Replay(image, arrays["places"])
        return {}

    def _restart(self, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
        self._loaded().restart()
        return {}

    def _run(self, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
        replay = self._loaded()
        sent, probed = arrays["sent"], arrays["probed"]
        numbers = replay.numbers(sent[:, 1:])
        steps = int(arrays["steps"])
        edges = np.searchsorted(sent[:, 0], np.arange(steps + 1), "left")
        parts = [numbers[a:b] for a, b in itertools.pairwise(edges)]
        compartments = np.zeros(len(probed), np.int64)
        for chip, core in np.unique(probed[:, :2], axis=0).tolist():
            mine = (probed[:, 0] == chip) & (probed[:, 1] == core)
            compartments[mine] = replay.compartments(chip, core, probed[mine, 2])
        quantities = [name for name in str(arrays["quantities"]).split(",") if name]
        record = replay.run(parts, compartments, quantities)
        return {name: getattr(record, name) for name in quantities}

    def _loaded(self) -> Replay:
        if self._replay is None:
            raise BoardError("no image is loaded")
        return self._replay


def serve(source: IO[bytes], sink: IO[bytes]) -> None:
    """Answer messages until the source ends."""
    engine = Engine()
    while len(header := source.read(8)) == 8:
        data = source.read(struct.unpack("<Q", header)[0])
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        try:
            answer = engine.call(str(arrays.pop("command")), arrays)
        except NmcompileError as error:
            answer = {"error": np.array(str(error))}
        buffer = io.BytesIO()
        np.savez(buffer, **answer)  # type: ignore[arg-type]
        sink.write(struct.pack("<Q", len(buffer.getvalue())) + buffer.getvalue())
        sink.flush()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
