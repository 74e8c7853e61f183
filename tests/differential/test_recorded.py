"""The emulator equals three others, bit for bit, on random Programs that were recorded.

`tools/record_traces.py` recorded them; `test_live.py` and `tools/fuzz.py` run others.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from exercised import EVERYTHING, covered, wanted
from random_programs import digest, random_program
from recordings import Recording
from references import REFERENCES, Reference
from traces import FIRING, difference, emulator_trace, unequal

from nmcompile.chip.program import Program
from nmcompile.chip.verify import verify_program
from nmcompile.hardware.load import load_hardware

RECORDED = {name: reference.recordings() for name, reference in REFERENCES.items()}
EACH = [
    pytest.param(REFERENCES[name], recorded, id=f"{name}-seed{recorded.seed}")
    for name, recordings in RECORDED.items()
    for recorded in recordings
]


@cache
def program_of(name: str, seed: int) -> tuple[Program, np.ndarray]:
    return random_program(seed, REFERENCES[name].dialect)


@pytest.mark.parametrize(("reference", "recorded"), EACH)
def test_a_recorded_program_runs_as_in_its_reference(
    reference: Reference, recorded: Recording
) -> None:
    program, inputs = program_of(reference.name, recorded.seed)
    assert digest(program, inputs) == recorded.digest, (
        "the generator gives another Program than was recorded; run tools/record_traces.py"
    )
    verify_program(program, load_hardware("loihi1"))
    theirs = recorded.trace(program)
    assert theirs.firing >= FIRING
    assert unequal(reference.dialect, program, theirs) is None
    differs = difference(
        program,
        emulator_trace(program, inputs),
        theirs,
        reference.dialect.reference,
        recorded.seed,
    )
    assert differs is None, differs


@pytest.mark.parametrize("reference", REFERENCES.values(), ids=REFERENCES)
def test_as_many_programs_are_recorded_as_is_said(reference: Reference) -> None:
    assert len({one.digest for one in RECORDED[reference.name]}) == reference.recorded


@pytest.mark.parametrize("reference", REFERENCES.values(), ids=REFERENCES)
def test_the_recorded_programs_cover_all_that_the_reference_knows(reference: Reference) -> None:
    found: set[str] = set()
    for recorded in RECORDED[reference.name]:
        program, _ = program_of(reference.name, recorded.seed)
        found |= covered(program, recorded.trace(program))
    assert [name for name in wanted(reference.dialect) if name not in found] == []


def test_what_one_reference_lacks_another_has() -> None:
    named = {name for reference in REFERENCES.values() for name in wanted(reference.dialect)}
    assert [name for name in EVERYTHING if name not in named] == []
