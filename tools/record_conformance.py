"""Writes the conformance set: Programs, and their traces in the emulator in plain Python.

    python -m tools.record_conformance

Equal inputs give equal bytes, so that a run without changes leaves no difference.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np

from nmcompile.analysis.conformance import FOLDER
from nmcompile.backends.base import QUANTITIES
from nmcompile.backends.emulator.reference import ReferenceChip
from nmcompile.backends.result_file import places
from nmcompile.chip.file import program_bytes, program_checksum
from nmcompile.chip.program import Program
from nmcompile.chip.verify import verify_program
from nmcompile.hardware import parse_target
from nmcompile.host.decoder import decode, step_weights
from tools.conformance.features import FEATURES, TARGETS
from tools.conformance.sketch import Drawing, samples

#: The oldest time that zip files hold.
EPOCH = (1980, 1, 1, 0, 0, 0)


def program_of(name: str) -> Program:
    """The Program of a feature, verified."""
    make = FEATURES[name]
    drawing = Drawing()
    make(drawing)
    sentence = (make.__doc__ or "").strip()
    program = drawing.program(name, sentence, TARGETS.get(name, "loihi1:kapoho-bay"))
    verify_program(program, parse_target(program.target).hardware)
    return program


def expected(program: Program, x: np.ndarray) -> dict[str, np.ndarray]:
    """Arrays of a result file, from the emulator in plain Python."""
    traces: dict[str, list[np.ndarray]] = {}
    overflows, events = 0, []
    for sample in x:
        chip = ReferenceChip(program, sample)
        steps: dict[str, list[np.ndarray]] = {}
        for _ in range(program.steps):
            chip.step()
            for layer in program.layers:
                for quantity in QUANTITIES:
                    key = f"probe/{layer.name}:{quantity}"
                    steps.setdefault(key, []).append(chip.trace(layer.name, quantity))
        overflows += chip.overflows
        events.append(chip.events)
        for key, values in steps.items():
            traces.setdefault(key, []).append(np.array(values))
    arrays = {
        key: np.array(each, np.bool_ if key.endswith(":spikes") else np.int32)
        for key, each in traces.items()
    }
    counts = {
        layer.name: arrays[f"probe/{layer.name}:spikes"].sum(axis=1, dtype=np.int64)
        for layer in program.layers
    }
    assert (step_weights(program, program.steps) == 1).all()
    scores = decode(program, np.concatenate(list(counts.values()), axis=1), program.steps)
    meta = {
        "samples": len(x),
        "steps": program.steps,
        "backend": "emulator in plain Python",
        "target": program.target,
        "program_sha256": program_checksum(program),
        "overflows": overflows,
        **program.manifest["conformance"],
    }
    return {
        "meta": np.array(json.dumps(meta)),
        "x": x,
        "scores": scores,
        "answers": scores.argmax(axis=1).astype(np.int64),
        "synaptic_events": np.array(events, np.int64),
        **{f"spikes/{name}": each.sum(axis=1) for name, each in counts.items()},
        **arrays,
        **{f"place/{name}": each for name, each in places(program).items()},
    }


def npz_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """A compressed `.npz` without times, so that equal arrays give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, array in arrays.items():
            held = io.BytesIO()
            np.lib.format.write_array(held, np.asanyarray(array), allow_pickle=False)
            file.writestr(zipfile.ZipInfo(f"{name}.npy", EPOCH), held.getvalue(),
                          zipfile.ZIP_DEFLATED)  # fmt: skip
    return buffer.getvalue()


def main(folder: Path = FOLDER) -> None:
    """Write all of it, and nothing else into the folder."""
    folder.mkdir(exist_ok=True)
    for old in [*folder.glob("*.nmc"), *folder.glob("*.npz")]:
        old.unlink()
    for name in FEATURES:
        program = program_of(name)
        (folder / f"{name}.nmc").write_bytes(program_bytes(program))
        (folder / f"{name}.npz").write_bytes(npz_bytes(expected(program, samples())))


if __name__ == "__main__":
    main()
