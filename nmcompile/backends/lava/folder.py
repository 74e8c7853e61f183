"""The folder that runs in Lava: the network, the encoder's spikes, and a runner of one file."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.backends.lava.network import described, lava_network
from nmcompile.backends.result_file import places
from nmcompile.chip.file import program_checksum
from nmcompile.chip.program import Program
from nmcompile.errors import UsageError
from nmcompile.files import write_atomically
from nmcompile.host.decoder import read_matrix, step_weights
from nmcompile.host.encoder import encoder_spikes, frame_currents
from nmcompile.ir.nodes import FloatArray

RUNNER = Path(__file__).with_name("runner.py")
#: Name of the runner in a folder.
RUN = "run.py"


def write_folder(
    program: Program,
    folder: str | Path,
    inputs: FloatArray | None = None,
    *,
    steps: int | None = None,
    source: str = "",
) -> None:
    """Write all that runs a Program in Lava.

    Parameters
    ----------
    inputs : samples whose spikes are written along; None for a folder without
    steps : time steps per sample; None for the Program's
    source : name of the Program's file, for people

    Raises
    ------
    CompileError
        Something that Lava lacks.
    UsageError
        A folder that cannot be made.
    """
    folder = Path(folder)
    steps = program.steps if steps is None else steps
    if steps < 1:
        raise UsageError(f"--steps {steps}: at least one step is needed")
    structure, arrays = described(lava_network(program))
    read = program.read_out
    matrix, unit = read_matrix(program, steps)
    arrays.update(
        {
            "read/matrix": matrix,
            "read/bias": read.bias,
            "read/step_weights": step_weights(program, steps),
            **{f"place/{name}": each for name, each in places(program).items()},
        }
    )
    network = _npz(arrays)
    structure = {
        "form": "Lava network of nmcompile, version 1",
        **structure,
        "steps": steps,
        "read": {"kind": read.kind, "layers": read.layers, "unit": unit},
        "sha256": hashlib.sha256(network).hexdigest(),
    }
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder}: {error.strerror}") from None
    write_atomically(folder / "network.npz", network)
    write_atomically(folder / "network.json", json.dumps(structure, indent=1).encode())
    write_atomically(folder / RUN, RUNNER.read_bytes())
    if inputs is not None:
        write_atomically(folder / "input.npz", _spikes(program, inputs, steps, source))


def _spikes(program: Program, inputs: FloatArray, steps: int, source: str) -> bytes:
    """The encoder's spikes, packed, and what a result says of where it comes from."""
    meta = {
        "target": program.target,
        "program": source,
        "program_sha256": program_checksum(program),
        "input_sha256": hashlib.sha256(inputs.tobytes()).hexdigest(),
        "shapes": {
            program.encoder.name: program.encoder.shape,
            **{layer.name: layer.shape for layer in program.layers},
        },
    }
    packed = [
        np.packbits(
            encoder_spikes(program.encoder, frame_currents(program.encoder, x[None]), steps), axis=2
        )
        for x in inputs
    ]
    return _npz({"spikes": np.concatenate(packed), "meta": np.array(json.dumps(meta))})


def _npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()
