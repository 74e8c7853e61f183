"""What the virtual board runs on: nmcompile's emulator, in this Python or in another.

Another is named by NMCOMPILE_PYTHON, where this one has no nmcompile. Plain Python from 3.6 on.
"""

import io
import os
import struct
import subprocess
import sys

import numpy as np
from virtual_registers import VirtualBoardError


def make_engine():
    """nmcompile's emulator: in this Python if it has nmcompile, else in NMCOMPILE_PYTHON."""
    python = os.environ.get("NMCOMPILE_PYTHON")
    if python:
        return RemoteEngine(python)
    try:
        from nmcompile.backends.board.engine import Engine
    except Exception:
        raise VirtualBoardError(
            "this Python %d.%d has no nmcompile, whose emulator the virtual board runs on; name "
            "one that has it in NMCOMPILE_PYTHON" % sys.version_info[:2]
        ) from None
    return Engine()


class RemoteEngine:
    """The engine in another Python: messages of 8 bytes of length and an .npz each way."""

    def __init__(self, python):
        self.process = subprocess.Popen(
            [python, "-m", "nmcompile.backends.board.engine"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def call(self, command, arrays):
        """Arrays of the answer."""
        buffer = io.BytesIO()
        np.savez(buffer, command=np.array(command), **arrays)
        data = buffer.getvalue()
        try:
            self.process.stdin.write(struct.pack("<Q", len(data)) + data)
            self.process.stdin.flush()
            size = struct.unpack("<Q", self._read(8))[0]
            with np.load(io.BytesIO(self._read(size)), allow_pickle=False) as file:
                answer = {name: file[name] for name in file.files}
        except (OSError, struct.error):
            raise VirtualBoardError(
                "nmcompile stopped; is it installed in NMCOMPILE_PYTHON?"
            ) from None
        if "error" in answer:
            raise VirtualBoardError(str(answer["error"]))
        return answer

    def close(self):
        """End the other Python."""
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def _read(self, size):
        data = b""
        while len(data) < size:
            part = self.process.stdout.read(size - len(data))
            if not part:
                raise OSError("closed")
            data += part
        return data
