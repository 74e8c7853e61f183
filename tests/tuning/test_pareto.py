"""Which points stay, and which of them serves an objective best."""

from __future__ import annotations

import numpy as np
import pytest

from nmcompile.tuning.judge import Measured
from nmcompile.tuning.pareto import Objective, Point, best_first, front, rank


def measured(lost: float, steps: int, spikes: float, cores: int = 4) -> Measured:
    return Measured(1000, 0.9 - lost, 0.9, lost, lost - 0.01, lost + 0.01, steps, spikes, cores, 1)


def point(trial: int, lost: float, steps: int, spikes: float, cores: int = 4) -> Point:
    return Point(trial, {}, measured(lost, steps, spikes, cores), ("build", "a model.keras"))


def test_the_front_holds_what_no_other_beats_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    points = [
        point(n, lost / 100, int(steps), float(spikes), int(cores))
        for n, (lost, steps, spikes, cores) in enumerate(rng.integers(0, 5, (60, 4)))
    ]
    kept = front(points)

    def costs(each: Point) -> np.ndarray:
        m = each.measured
        return np.array([m.lost, m.steps, m.spikes, m.cores])

    for each in points:
        better = [o for o in kept if (costs(o) <= costs(each)).all()]
        assert better, "something that stays is at least as good"
        assert (each in kept) == (better == [each])
    assert [p.measured.spikes for p in kept] == sorted(p.measured.spikes for p in kept)


def test_of_equal_points_the_first_stays() -> None:
    assert [each.trial for each in front([point(3, 0, 1, 1), point(5, 0, 1, 1)])] == [3]


@pytest.mark.parametrize(
    ("objective", "order"),
    [
        # trial: 0 accurate, 1 few steps, 2 few spikes, 3 few cores, 4 best of all but inaccurate
        ("accuracy", [0, 2, 1, 3, 4]),
        ("latency", [1, 2, 3, 0, 4]),
        ("spikes", [2, 1, 3, 0, 4]),
        ("cores", [3, 2, 1, 0, 4]),
    ],
)
def test_the_allowed_loss_comes_first_then_the_objective(
    objective: Objective, order: list[int]
) -> None:
    points = [
        point(0, 0.0, 64, 9000, 9),
        point(1, 0.001, 4, 3000, 9),
        point(2, 0.001, 32, 500, 9),
        point(3, 0.001, 32, 4000, 2),
        point(4, 0.0011, 2, 10, 1),
    ]
    assert [each.trial for each in sorted(points, key=best_first(objective, 0.001))] == order


def test_spikes_never_outweigh_a_sample_a_step_or_a_core() -> None:
    quiet, loud = 1.0, 1e9
    assert rank("accuracy", 0, measured(0.001, 9, quiet)) > rank(
        "accuracy", 0, measured(0, 9, loud)
    )
    assert rank("latency", 0, measured(0, 10, quiet)) > rank("latency", 0, measured(0, 9, loud))
    assert rank("cores", 0, measured(0, 9, quiet, 5)) > rank("cores", 0, measured(0, 9, loud, 4))


def test_a_command_can_be_pasted() -> None:
    assert point(0, 0, 1, 1).command_line == "build 'a model.keras'"
