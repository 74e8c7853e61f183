"""The emulator equals nengo-loihi's, bit for bit, on random Programs.

Everywhere from traces that `tools/record_nengo_loihi.py` recorded; live where nengo-loihi is
installed (requirements/reference.txt), on NMCOMPILE_FUZZ other Programs.
"""

from __future__ import annotations

import os
import sys
import warnings
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from exercised import covered, wanted
from random_programs import STEPS, digest, random_program
from traces import FIRING, Recording, difference, emulator_trace, load_recordings

from nmcompile.chip.verify import verify_program
from nmcompile.hardware.load import load_hardware

RECORDED = load_recordings(Path(__file__).parent / "nengo_loihi_traces.npz", STEPS)
LIVE = int(os.environ.get("NMCOMPILE_FUZZ", "200"))
#: Live Programs have seeds from here on, far from those recorded, so many to choose from each.
FIRST_LIVE_SEED, LIVE_SEEDS = 1_000_000, 100


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: f"seed{recorded.seed}")
def test_a_recorded_program_runs_as_in_nengo_loihi(recorded: Recording) -> None:
    program, inputs = random_program(recorded.seed)
    assert digest(program, inputs) == recorded.digest, (
        "the generator gives another Program than was recorded; run tools/record_nengo_loihi.py"
    )
    verify_program(program, load_hardware("loihi1"))
    assert recorded.trace.firing >= FIRING
    differs = difference(program, emulator_trace(program, inputs), recorded.trace)
    assert differs is None, f"seed {recorded.seed}: {differs}"


def test_at_least_200_programs_are_recorded() -> None:
    assert len({recorded.digest for recorded in RECORDED}) >= 200


def test_the_recorded_programs_cover_all_registers_formats_and_events() -> None:
    found: set[str] = set()
    for recorded in RECORDED:
        found |= covered(random_program(recorded.seed)[0], recorded.trace)
    assert [name for name in wanted() if name not in found] == []


@pytest.mark.parametrize("quantity", ["u", "v", "spikes"])
def test_a_difference_is_named_by_its_first_place(quantity: str) -> None:
    recorded = next(one for one in RECORDED if len(random_program(one.seed)[0].cores) == 3)
    program, _ = random_program(recorded.seed)
    before = len(program.cores[0].compartments)
    changed = getattr(recorded.trace, quantity).copy()
    changed[7:, before + 2] ^= True
    message = difference(program, replace(recorded.trace, **{quantity: changed}), recorded.trace)
    assert message is not None
    assert message.startswith(f"step 7, core 1, compartment 2: {quantity} is ")
    assert f"is {int(changed[7, before + 2])}, nengo-loihi's" in message


@pytest.mark.reference
@pytest.mark.skipif(
    find_spec("nengo_loihi") is None or np.lib.NumpyVersion(np.__version__) >= "2.0.0",
    reason="needs nengo-loihi and NumPy 1.26, see requirements/reference.txt",
)
@pytest.mark.parametrize("number", range(LIVE))
def test_a_new_program_runs_as_in_nengo_loihi(number: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Nengo 3.2 asks distutils.
        from nengo_loihi_twin import nengo_loihi_trace

    first = FIRST_LIVE_SEED + LIVE_SEEDS * number
    for seed in range(first, first + LIVE_SEEDS):
        program, inputs = random_program(seed)
        theirs = nengo_loihi_trace(program, inputs)
        differs = difference(program, emulator_trace(program, inputs), theirs)
        assert differs is None, f"seed {seed}: {differs}"
        if theirs.firing >= FIRING:
            return
    pytest.fail(f"in none of the Programs from seed {first} on do {FIRING:.0%} of neurons fire")
