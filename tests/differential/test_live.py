"""The emulator equals other emulators, bit for bit, on new random Programs, run side by side.

Where they are installed (requirements/reference.txt, requirements/lava.txt); NMCOMPILE_FUZZ
says on how many. `tools/fuzz.py` is for more.
"""

from __future__ import annotations

import os

import pytest
from random_programs import random_program
from references import REFERENCES, Reference
from traces import TOO_QUIET, difference, emulator_trace, unequal

#: How many unless NMCOMPILE_FUZZ says: what takes well under a minute.
USUAL = {"nengo-loihi": 200, "brian2-loihi": 30, "lava": 20}
#: Seeds are far from those recorded, so many to choose from for each Program.
FIRST_SEED, SEEDS = 500_000, 100

EACH = [
    pytest.param(
        reference,
        number,
        id=f"{name}-{number}",
        marks=pytest.mark.skipif(
            not reference.installed, reason=f"needs {reference.dialect.reference} and NumPy 1"
        ),
    )
    for name, reference in REFERENCES.items()
    for number in range(int(os.environ.get("NMCOMPILE_FUZZ", USUAL[name])))
]


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")  # The reference's own affair.
@pytest.mark.parametrize(("reference", "number"), EACH)
def test_a_new_program_runs_as_in_its_reference(reference: Reference, number: int) -> None:
    dialect = reference.dialect
    trace_of = reference.tracer()
    first = FIRST_SEED + SEEDS * number
    for seed in range(first, first + SEEDS):
        program, inputs = random_program(seed, dialect)
        theirs = trace_of(program, inputs)
        skipped = unequal(dialect, program, theirs)
        if skipped in (None, TOO_QUIET):
            ours = emulator_trace(program, inputs)
            differs = difference(program, ours, theirs, dialect.reference, seed)
            assert differs is None, differs
        if skipped is None:
            return
    pytest.fail(f"none of the Programs from seed {first} on counts")
