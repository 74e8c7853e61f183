"""Write the folder of an image: registers, what the host must know, spikes, and the runner."""

from __future__ import annotations

import hashlib
import importlib.metadata
import itertools
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.backends.base import Probe
from nmcompile.backends.board.encode import encode
from nmcompile.backends.board.host import HostSpikes, host_spikes, layer_places
from nmcompile.backends.board.registers import PORTABLE
from nmcompile.backends.emulator import Emulator
from nmcompile.chip.program import Program
from nmcompile.errors import UsageError
from nmcompile.ir.nodes import FloatArray

#: Of image.json, spikes.npz and result files; the runner reads this one.
FORMAT = 1
#: Number that NxSDK's class of boards is given (nengo-loihi hardware/nxsdk_objects.py).
BOARD_ID = 1
#: Files that are the same in every image.
PORTABLE_FILES = (
    "runner.py",
    "reset_snip.c",
    "registers.json",
    "virtual_board.py",
    "virtual_engine.py",
    "virtual_registers.py",
    "virtual_snip.py",
    "stub/nxsdk.h",
)


def write_folder(
    program: Program,
    folder: Path,
    inputs: FloatArray | None = None,
    steps: int | None = None,
    probes: Sequence[Probe] = (),
) -> dict[str, Any]:
    """Write everything that a machine with a board needs.

    Parameters
    ----------
    folder : made where it is not there; files of an earlier image in it are replaced
    inputs : samples whose spikes are written along; without them the image has none
    steps, probes : of the run, as in `Session.run`

    Returns
    -------
    The contents of image.json.

    Raises
    ------
    BoardError
        A Program that no image can be made of.
    UsageError
        The folder cannot be written.
    """
    image = encode(program)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "spikes.npz").unlink(missing_ok=True)
        image.save(folder / "registers.npz")
        places = {
            f"layer{k}": layer_places(program, layer.name) for k, layer in enumerate(program.layers)
        }
        np.savez_compressed(folder / "host.npz", **places)  # type: ignore[arg-type]
        for name in PORTABLE_FILES:
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(PORTABLE / name, folder / name)
        if inputs is not None:
            write_spikes(program, folder / "spikes.npz", inputs, steps, probes)
        about = {
            "what": "a network for boards of Loihi 1; run it with runner.py --help",
            "format": FORMAT,
            "nmcompile": _version(),
            "target": program.target,
            "board_id": BOARD_ID,
            "registers": image.digest(),
            "cores": list(image.cores),
            "places": [[core.chip, core.position] for core in program.cores],
            "layers": [layer.name for layer in program.layers],
            "sha256": {
                name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
                for name in ("registers.npz", "host.npz", "spikes.npz", *PORTABLE_FILES)
                if (folder / name).exists()
            },
        }
        about["checksum"] = checksum(about)
        (folder / "image.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror or error}") from None
    return about


def checksum(about: Mapping[str, Any]) -> str:
    """Of all that image.json says, but for itself; as the runner has it."""
    rest = {key: value for key, value in about.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _version() -> str:
    """Of nmcompile, as it is installed."""
    try:
        return importlib.metadata.version("nmcompile")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def write_spikes(
    program: Program,
    path: Path,
    inputs: FloatArray,
    steps: int | None = None,
    probes: Sequence[Probe] = (),
) -> None:
    """Write what a run sends and records; spikes of all layers always are.

    `expected` has the spikes of each layer in the emulator, by which the runner sees that a board
    lost some.
    """
    steps = program.steps if steps is None else steps
    spikes = host_spikes(program, inputs, steps)
    names = [layer.name for layer in program.layers]
    expected = Emulator().load(program).run(inputs, steps, first=0)
    record = [(k, "spikes") for k in range(len(names))]
    wanted = {(names.index(p.layer), p.quantity) for p in probes if p.layer in names}
    if program.read_out.kind == "voltage":
        wanted |= {(names.index(name), "v") for name in program.read_out.layers}
    record += sorted(wanted - set(record))
    arrays: dict[str, NDArray[Any]] = {
        "format": np.array(FORMAT),
        "samples": np.array(len(inputs)),
        "steps": np.array(steps),
        "record": np.array(json.dumps(record)),
        "counts": spikes.counts,
        "digest": digests(spikes),
        "expected": np.stack([expected.spikes[name] for name in names], axis=1),
        **{
            name: getattr(spikes, name)
            for name in ("sample", "step", "chip", "core", "axon", "atom")
        },
    }
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def digests(spikes: HostSpikes) -> NDArray[np.uint64]:
    """(samples,) a short hash of the spikes of each sample."""
    columns = np.stack(
        [getattr(spikes, name) for name in ("step", "chip", "core", "axon", "atom")], axis=1
    )
    edges = np.searchsorted(spikes.sample, np.arange(len(spikes.counts) + 1), "left")
    return np.array(
        [
            int.from_bytes(
                hashlib.sha256(np.ascontiguousarray(columns[a:b], "<i4").tobytes()).digest()[:8],
                "little",
            )
            for a, b in itertools.pairwise(edges)
        ],
        np.uint64,
    )
