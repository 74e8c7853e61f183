"""Evaluation: intervals that hold, numbers that add up, and work that can be stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nmcompile.analysis import evaluation
from nmcompile.analysis.evaluation import Evaluation, evaluate_program, paired_difference
from nmcompile.backends.emulator import Emulator
from nmcompile.errors import DataError, UsageError
from nmcompile.host.data import Data
from nmcompile.ir import evaluate
from tests.chip.programs import random_program, samples, small_program

TIMES = ("seconds", "samples_per_second", "steps_per_second")


def answers(both: int, first: int, second: int, none: int) -> tuple[np.ndarray, np.ndarray]:
    """Right answers of two judges on the same samples."""
    pairs = [(True, True)] * both + [(True, False)] * first
    pairs += [(False, True)] * second + [(False, False)] * none
    array = np.array(pairs, bool)
    return array[:, 0], array[:, 1]


def test_the_interval_equals_one_worked_by_hand() -> None:
    # 100 samples, 10 only the first, 4 only the second; half a sample more in each cell:
    # p = 10.5 / 102, q = 4.5 / 102, p - q = 6 / 102 = 0.058824,
    # variance = (15 / 102 - 0.058824^2) / 102 = 0.0014078, times 1.95996 of its root = 0.073540.
    difference, low, high = paired_difference(*answers(80, 10, 4, 6))
    assert difference == pytest.approx(0.06)
    assert low == pytest.approx(0.058824 - 0.073540, abs=1e-5)
    assert high == pytest.approx(0.058824 + 0.073540, abs=1e-5)


def test_the_interval_has_a_width_where_no_answer_differs() -> None:
    difference, low, high = paired_difference(*answers(1000, 0, 0, 0))
    assert difference == 0
    assert low == pytest.approx(-high)
    # sqrt(1 / 1002 / 1002) times 1.96
    assert high == pytest.approx(1.959964 / 1002)


def test_the_interval_is_symmetric_in_the_two() -> None:
    first, second = answers(50, 9, 2, 5)
    there, back = paired_difference(first, second), paired_difference(second, first)
    assert there == pytest.approx((-back[0], -back[2], -back[1]))


@pytest.mark.parametrize("cells", [(0, 1, 0, 0), (0, 0, 1, 0), (0, 3, 0, 0), (1, 0, 0, 0)])
def test_the_interval_stays_within_what_shares_can_be(cells: tuple[int, int, int, int]) -> None:
    difference, low, high = paired_difference(*answers(*cells))
    assert -1 <= low <= difference <= high <= 1


@pytest.mark.parametrize("shares", [(0.9, 0.05, 0.03, 0.02), (0.98, 0.01, 0.005, 0.005)])
@pytest.mark.parametrize("size", [100, 1000])
def test_the_interval_holds_the_truth_in_95_of_100_cases(
    shares: tuple[float, ...], size: int
) -> None:
    rng = np.random.default_rng(4)
    truth, inside, trials = shares[1] - shares[2], 0, 1500
    for cells in rng.multinomial(size, shares, trials):
        _, low, high = paired_difference(*answers(*cells.tolist()))
        inside += low <= truth <= high
    # Two standard errors of the simulation; where few answers differ it errs on the safe side.
    assert 0.938 <= inside / trials <= (0.975 if size == 1000 else 1)


def data(count: int = 30, seed: int = 0) -> Data:
    x = samples(small_program(), count, seed)
    return Data(x, np.random.default_rng(seed).integers(0, 5, count), "data.npz")


def judged(**options: object) -> Evaluation:
    return evaluate_program(small_program(), data(), Emulator(), **options)  # type: ignore[arg-type]


def timeless(found: Evaluation) -> dict[str, object]:
    return {name: value for name, value in found.as_json().items() if name not in TIMES}


def test_the_numbers_are_those_of_a_run() -> None:
    found, program, given = judged(), small_program(), data()
    result = Emulator().load(program).run(given.x)
    assert found.samples == 30
    assert found.steps == program.steps == result.steps
    assert found.accuracy == np.mean(result.answers == given.y)
    assert found.lost == pytest.approx(found.float_accuracy - found.accuracy)
    assert found.lost_low <= found.lost <= found.lost_high
    assert found.layer_spikes == {name: each.mean() for name, each in result.spikes.items()}
    on_chip = [each for name, each in result.spikes.items() if name != program.encoder.name]
    assert found.spikes_per_sample == pytest.approx(np.sum(on_chip, axis=0).mean())
    assert found.spikes_per_sample > 0
    assert found.synaptic_events_per_sample == result.synaptic_events.mean()
    assert found.overflows == result.overflows
    assert found.samples_per_second == pytest.approx(30 / found.seconds)
    assert found.steps_per_second == pytest.approx(30 * found.steps / found.seconds)
    assert (found.cores, found.chips) == (len(program.cores), program.chips)
    assert (found.backend, found.target) == ("emulator", program.target)


def test_the_float_network_is_judged_on_the_same_samples() -> None:
    program, given = small_program(), data()
    network = evaluation.float_network(program)
    scores = evaluate(network, given.x)[network.outputs[0].name]
    right = Data(given.x, scores.argmax(axis=1), "data.npz")
    found = evaluate_program(program, right, Emulator())
    assert found.float_accuracy == 1.0
    assert found.lost == pytest.approx(1 - found.accuracy)


@pytest.mark.parametrize("batch", [1, 7, 30, 500])
@pytest.mark.parametrize("jobs", [1, 3])
def test_neither_jobs_nor_batches_change_results(
    batch: int, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = timeless(judged())
    monkeypatch.setattr(evaluation, "BATCH", batch)
    found = evaluate_program(small_program(), data(), Emulator(jobs))
    assert timeless(found) == expected


def test_steps_can_be_chosen() -> None:
    assert judged(steps=5).steps == 5
    assert judged(steps=5).spikes_per_sample < judged().spikes_per_sample


def test_progress_tells_samples_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "BATCH", 12)
    seen: list[tuple[int, int]] = []
    judged(progress=lambda done, total: seen.append((done, total)))
    assert seen == [(12, 30), (24, 30), (30, 30)]


class Stop(Exception):
    """Stands for whatever ends the process."""


@pytest.mark.parametrize("after", [10, 20])
def test_a_resumed_evaluation_equals_one_that_was_not_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr(evaluation, "BATCH", 10)

    def stop(done: int, total: int) -> None:
        if done == after:
            raise Stop

    with pytest.raises(Stop):
        judged(resume=tmp_path / "r", progress=stop)
    seen: list[int] = []
    resumed = judged(resume=tmp_path / "r", progress=lambda done, total: seen.append(done))
    assert seen == list(range(after + 10, 31, 10))
    assert timeless(resumed) == timeless(judged())
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_a_resume_file_belongs_to_one_program_data_and_number_of_steps(tmp_path: Path) -> None:
    path = tmp_path / "r"
    judged(resume=path)
    content = path.read_bytes()
    program, given = small_program(), data()
    assert given.y is not None
    encoder = replace(program.encoder, threshold=program.encoder.threshold + 1)
    others = [
        (replace(program, encoder=encoder), given, None),
        (program, data(seed=1), None),
        (program, given.first(29), None),
        (program, Data(given.x, 4 - given.y, given.path), None),
        (program, given, 5),
    ]
    for other, some, steps in others:
        with pytest.raises(UsageError, match="another Program, data file or number of steps"):
            evaluate_program(other, some, Emulator(), steps=steps, resume=path)
        assert path.read_bytes() == content


def test_data_without_labels_are_refused() -> None:
    with pytest.raises(DataError, match="no labels"):
        evaluate_program(small_program(), replace(data(), y=None), Emulator())


def test_no_samples_and_labels_of_another_number_are_refused() -> None:
    given = data()
    for samples_kept, labels_kept in ((0, 0), (3, 2), (2, 3)):
        assert given.y is not None
        part = replace(given, x=given.x[:samples_kept], y=given.y[:labels_kept])
        with pytest.raises(DataError, match=f"{samples_kept} samples and labels of shape"):
            evaluate_program(small_program(), part, Emulator())


@pytest.mark.parametrize("count", [0, -1])
def test_a_limit_below_one_sample_is_refused(count: int) -> None:
    with pytest.raises(UsageError, match=f"--limit {count}"):
        data().first(count)


def test_data_for_another_program_are_refused() -> None:
    program = random_program(0)
    assert program.encoder.input_shape != small_program().encoder.input_shape
    with pytest.raises(DataError, match="the network takes"):
        evaluate_program(program, data(), Emulator())


def test_a_program_without_its_float_network_says_so() -> None:
    with pytest.raises(DataError, match="no float network"):
        evaluate_program(replace(small_program(), manifest={}), data(), Emulator())
