"""`make fuzz` finds what differs, counts what counts, and says where to go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from dialects import NENGO_LOIHI
from exercised import wanted
from random_programs import random_program
from references import Reference, Tracer
from traces import TOO_QUIET, Trace, emulator_trace

from tools import fuzz


@dataclass(frozen=True)
class Stub(Reference):
    """Does what our emulator does, and something to it."""

    change: Callable[[Trace], Trace] = lambda trace: trace

    def tracer(self) -> Tracer:
        return lambda program, inputs: self.change(emulator_trace(program, inputs))


STUB = Stub("stub", NENGO_LOIHI, "none", recorded=0)
LOUD = next(
    seed for seed in range(100) if emulator_trace(*random_program(seed, NENGO_LOIHI)).firing > 0.3
)
FINE = fuzz.Outcome(None, None, frozenset({"decay_u 0"}), 0.5)
QUIET = fuzz.Outcome(TOO_QUIET, None, frozenset(), 0.01)
WRONG = fuzz.Outcome(None, "seed 7, step 3 ...", frozenset({"decay_u 0"}), 0.7)


def test_a_program_that_runs_alike_counts() -> None:
    outcome = fuzz.check_one(STUB, LOUD)
    assert outcome.differs is None
    assert outcome.skipped is None
    assert outcome.covered <= set(wanted(NENGO_LOIHI))
    assert {"delay 0", "vmax exponent 7"} & outcome.covered


def test_a_spike_more_is_found() -> None:
    def one_more(trace: Trace) -> Trace:
        spikes = trace.spikes.copy()
        spikes[20, 0] ^= True
        return replace(trace, spikes=spikes)

    outcome = fuzz.check_one(replace(STUB, change=one_more), LOUD)
    assert outcome.differs is not None
    assert outcome.differs.startswith(f"seed {LOUD}, step 20, core 0, compartment 0: spikes is ")


def test_a_quiet_program_is_compared_but_does_not_count() -> None:
    def silent(trace: Trace) -> Trace:
        return replace(trace, spikes=trace.spikes & False)

    outcome = fuzz.check_one(replace(STUB, change=silent), LOUD)
    assert outcome.skipped == TOO_QUIET
    assert outcome.differs is not None


def test_the_tally_counts_programs_skipped_ones_and_mismatches(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        fuzz, "outcomes", lambda *_: (one for one in (FINE, QUIET, WRONG, FINE, FINE))
    )
    tally = fuzz.fuzz(STUB, programs=3, jobs=1, seed=100)
    assert (tally.counted, tally.mismatches, tally.next_seed) == (3, 1, 104)
    assert tally.skipped == {TOO_QUIET: 1}
    assert tally.coverage.met == {"decay_u 0": 3}
    assert "seed 7, step 3 ..." in capsys.readouterr().out
    assert "least 50.0%, median 50.0%, most 70.0%" in tally.coverage.table(NENGO_LOIHI)


def test_an_interrupted_run_still_tells_what_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def until_interrupted(*_: object) -> object:
        yield FINE
        raise KeyboardInterrupt

    monkeypatch.setattr(fuzz, "outcomes", until_interrupted)
    tally = fuzz.fuzz(STUB, programs=10, jobs=1, seed=100)
    assert (tally.counted, tally.next_seed) == (1, 101)
