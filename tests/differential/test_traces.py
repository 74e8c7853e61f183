"""Traces are recorded without loss, and differences and gaps are named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dialects import BRIAN2_LOIHI, LAVA, NENGO_LOIHI, Dialect
from known_differences import STEPS, Known
from random_programs import random_program
from recordings import Recording, load_recordings, save_recordings
from references import REFERENCES
from traces import TOO_QUIET, Trace, difference, emulator_trace, unequal

PROGRAM, INPUTS = next(
    found
    for found in (random_program(seed, NENGO_LOIHI) for seed in range(100))
    if len(found[0].cores) == 3
)
OURS = emulator_trace(PROGRAM, INPUTS)


@pytest.mark.parametrize("reference", [one.dialect.reference for one in REFERENCES.values()])
@pytest.mark.parametrize("quantity", ["u", "v", "spikes"])
def test_a_difference_is_named_by_its_first_place(quantity: str, reference: str) -> None:
    before = len(PROGRAM.cores[0].compartments)
    changed = getattr(OURS, quantity).copy()
    changed[7:, before + 2] ^= True
    message = difference(PROGRAM, replace(OURS, **{quantity: changed}), OURS, reference, seed=5)
    mine, other = (int(values[7, before + 2]) for values in (changed, getattr(OURS, quantity)))
    assert message == (
        f"seed 5, step 7, core 1, compartment 2: {quantity} is {mine}, {reference}'s {other} "
        f"(1 of {changed.shape[1]} compartments differ)"
    )


def test_the_current_is_named_before_the_voltage_of_the_same_step() -> None:
    changed = replace(OURS, u=OURS.u.copy(), v=OURS.v.copy())
    changed.v[4, 0] += 1
    changed.u[4, 1] += 1
    message = difference(PROGRAM, changed, OURS, "the other")
    assert message is not None
    assert message.startswith("step 4, core 0, compartment 1: u is ")


def test_equal_traces_do_not_differ() -> None:
    assert difference(PROGRAM, OURS, emulator_trace(PROGRAM, INPUTS), "the other") is None


def test_wrapping_around_is_compared_where_the_reference_tells() -> None:
    wrapped, silent = (replace(OURS, wrapped=said) for said in (not OURS.wrapped, None))
    assert difference(PROGRAM, OURS, wrapped, "the other") == (
        f"wrapped around: {OURS.wrapped}, the other: {not OURS.wrapped}"
    )
    assert difference(PROGRAM, OURS, silent, "the other") is None


def test_any_trace_is_recorded_without_loss(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shape = OURS.u.shape
    odd = Trace(
        u=rng.integers(-(2**23), 2**23, shape, np.int32),
        v=rng.integers(-(2**23), 2**23, shape, np.int32),
        spikes=rng.integers(0, 2, shape).astype(bool),
        wrapped=None,
    )
    path = tmp_path / "traces.npz"
    save_recordings(path, [Recording.of(k, "", PROGRAM, one) for k, one in enumerate((OURS, odd))])
    for then, loaded in zip((OURS, odd), load_recordings(path, len(OURS.u)), strict=True):
        now = loaded.trace(PROGRAM)
        for quantity in ("u", "v", "spikes"):
            np.testing.assert_array_equal(getattr(now, quantity), getattr(then, quantity))
        assert now.wrapped == then.wrapped


def test_what_follows_from_the_registers_takes_no_room() -> None:
    recorded = Recording.of(0, "", PROGRAM, OURS)
    assert not recorded.v.any() or OURS.wrapped
    assert np.count_nonzero(recorded.u) < np.count_nonzero(OURS.u)


#: Currents that rise to 2**23 and come down a little, by less than an accumulator holds.
RISING = tuple(k << 20 for k in (0, 1, 2, 3, 4, 5, 6, 7, 8, 7, 7, 7))
FALLING = tuple(-k << 20 for k in (0, 1, 2, 3, 4, 5, 6, 7, 8, 7, 7, 7))


@pytest.mark.parametrize(
    ("dialect", "states", "reason"),
    [
        (LAVA, {"u": (0, 1 << 22, *10 * (0,))}, "accumulator wraps around"),
        (BRIAN2_LOIHI, {"u": (0, 1 << 22, *10 * (0,))}, "accumulator wraps around"),
        (NENGO_LOIHI, {"u": (0, 1 << 22, *10 * (0,))}, None),
        (BRIAN2_LOIHI, {"u": RISING}, "current wraps around"),
        (LAVA, {"u": RISING}, "current wraps around"),
        (LAVA, {"u": FALLING}, "drive wraps around"),
        (BRIAN2_LOIHI, {"v": 12 * (-(1 << 23),)}, "voltage clips"),
        (BRIAN2_LOIHI, {"v": 12 * (1 - (1 << 23),)}, None),
        (BRIAN2_LOIHI, {"spikes": 12 * (False,)}, TOO_QUIET),
    ],
)
def test_a_program_that_a_reference_cannot_follow_is_told(
    dialect: Dialect, states: dict[str, tuple[int, ...]], reason: str | None
) -> None:
    program, _ = Known("", "", "", decay_u=0, bias=(-1, 0)).program()
    given = {"u": STEPS * (0,), "v": STEPS * (0,), "spikes": STEPS * (True,), **states}
    trace = Trace(
        np.array(given["u"], np.int32)[:, None],
        np.array(given["v"], np.int32)[:, None],
        np.array(given["spikes"])[:, None],
        wrapped=None,
    )
    assert unequal(dialect, program, trace) == reason
