"""Result files: what a run gave, as a `.npz` that plain NumPy reads, and where each neuron sits."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.backends.base import QUANTITIES, Probe, Result
from nmcompile.chip.file import program_checksum
from nmcompile.chip.program import Program
from nmcompile.errors import DataError
from nmcompile.files import write_atomically
from nmcompile.ir.nodes import FloatArray

#: Columns of the arrays ``place/LAYER``, one row a neuron.
PLACE = ("chip", "position", "core", "compartment")
#: Kind of array -> number of axes. The first axis is samples, the second of a probe steps.
_AXES = {"scores": 2, "answers": 1, "synaptic_events": 1, "spikes/": 1, "probe/": 3}


def save_result(
    path: str | Path, result: Result, program: Program, *, source: str, inputs: FloatArray
) -> None:
    """Write a result file, atomically.

    Parameters
    ----------
    source : name of the Program's file, for people
    inputs : that were run; their checksum is kept
    """
    meta = {
        "samples": len(result.scores),
        "steps": result.steps,
        "backend": result.backend,
        "target": result.target,
        "seconds": result.seconds,
        "spikes_per_sample": {name: float(each.mean()) for name, each in result.spikes.items()},
        "overflows": dict(result.overflows),
        "program": source,
        "program_sha256": program_checksum(program),
        "input_sha256": hashlib.sha256(inputs.tobytes()).hexdigest(),
        "shapes": {
            program.encoder.name: program.encoder.shape,
            **{layer.name: layer.shape for layer in program.layers},
        },
    }
    arrays: dict[str, Any] = {
        "meta": np.array(json.dumps(meta)),
        "scores": result.scores,
        "answers": result.answers,
        "synaptic_events": result.synaptic_events,
        **{f"spikes/{name}": each for name, each in result.spikes.items()},
        **{f"probe/{name}": each for name, each in result.probes.items()},
        **{f"place/{name}": each for name, each in places(program).items()},
        **{f"scores/{name}": result.scores[:, part] for name, part in program.outputs.items()},
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomically(path, buffer.getvalue())


def places(program: Program) -> dict[str, NDArray[np.int32]]:
    """Layer -> (neurons, 4): the chip, the core's position on it, its number, and compartment."""
    chip = np.array([core.chip for core in program.cores], np.int32)
    position = np.array([core.position for core in program.cores], np.int32)
    return {
        layer.name: np.stack(
            [chip[layer.core], position[layer.core], layer.core, layer.compartment], axis=1
        ).astype(np.int32)
        for layer in program.layers
    }


@dataclass(frozen=True, eq=False)
class ResultFile:
    """A result file; arrays are read when they are asked for.

    Attributes
    ----------
    path : of the file
    meta : samples, steps and whatever else the file says of itself
    names : of its arrays
    """

    path: Path
    meta: Mapping[str, Any]
    names: tuple[str, ...]

    @property
    def samples(self) -> int:
        """Number of samples."""
        return int(self.meta["samples"])

    @property
    def steps(self) -> int:
        """Time steps of each."""
        return int(self.meta["steps"])

    @property
    def probes(self) -> tuple[Probe, ...]:
        """What was recorded in every step."""
        keys = (name.removeprefix("probe/") for name in self.names if name.startswith("probe/"))
        return tuple(Probe.parse(key) for key in keys)

    def shape(self, layer: str) -> tuple[int, ...] | None:
        """Shape of a layer, where the file has it."""
        found = self.meta.get("shapes", {}).get(layer)
        return None if found is None else tuple(found)

    def array(self, name: str) -> NDArray[Any]:
        """An array of the file.

        Raises
        ------
        DataError
            It is damaged, or of another shape or type than it should be.
        """
        try:
            # NumPy leaves a damaged file open that it opened by itself.
            with self.path.open("rb") as raw, np.load(raw, allow_pickle=False) as held:
                array = np.asarray(held[name])
        except Exception as error:
            # What numpy and zlib raise on damaged files is no closed list.
            raise DataError(f"{self.path}: {name} cannot be read ({error})") from None
        axes = next((n for start, n in _AXES.items() if name.startswith(start)), None)
        if array.dtype.kind not in "biuf":
            raise DataError(f"{self.path}: {name} has type {array.dtype}; numbers are needed")
        if axes is not None:
            wanted = (self.samples, self.steps)[: min(axes, 2 if name[:5] == "probe" else 1)]
            if array.ndim != axes or array.shape[: len(wanted)] != wanted:
                raise DataError(
                    f"{self.path}: {name} has shape {array.shape}, but the file says that it "
                    f"holds {self.samples} samples of {self.steps} steps"
                )
        return array


def load_result(path: str | Path) -> ResultFile:
    """Open a result file of `run -o`, or of an exported runner of Lava.

    Raises
    ------
    DataError
        One sentence on what is wrong with the file.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as held:
            names = tuple(held.files)
            text = str(held["meta"]) if "meta" in names else None
    except Exception as error:
        raise DataError(f"{path}: not a readable .npz file ({error})") from None
    if "counts" in names and text is not None:
        raise DataError(
            f"{path}: a board's runner wrote it; first make a result file of it, with run NET.nmc "
            f"--input DATA.npz --backend board:{path.name} -o FILE.npz"
        )
    if text is None:
        raise DataError(f"{path}: holds no meta, so it is no result file; make one with run -o")
    try:
        meta = json.loads(text)
        found = ResultFile(path, meta, names)
        right = found.samples >= 0 and found.steps >= 1
        shapes = meta.get("shapes", {}).values()
        right = right and all(type(size) is int for shape in shapes for size in shape)
    except (ValueError, TypeError, KeyError, AttributeError):
        right = False
    if not right:
        raise DataError(
            f"{path}: its meta does not say how many samples and steps it holds; of what a board's "
            f"runner wrote, make a result file with run --backend board:{path} -o"
        )
    wrong = [
        name for name in names
        if name.startswith("probe/") and name.rpartition(":")[2] not in QUANTITIES
    ]  # fmt: skip
    if wrong:
        raise DataError(f"{path}: {wrong[0]} is none of {', '.join(QUANTITIES)} of a layer")
    return found
