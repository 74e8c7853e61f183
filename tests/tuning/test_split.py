"""Data is split into parts that share no sample, each with all classes."""

from __future__ import annotations

import numpy as np
import pytest

from nmcompile.errors import DataError
from nmcompile.host.data import Data
from nmcompile.tuning.split import CALIBRATION, split_data, stratified


def numbered(samples: int, classes: int = 4) -> Data:
    x = np.arange(samples, dtype=np.float32)[:, None]
    y = np.random.default_rng(1).integers(0, classes, samples) ** 2 // classes
    return Data(x, y.astype(np.int64), "data.npz")


def test_no_sample_is_in_two_parts() -> None:
    data = numbered(3000)
    found = split_data(data, None, 400, seed=0)
    assert (len(found.calibration), len(found.search), len(found.check)) == (CALIBRATION, 400, 800)
    used = np.concatenate([found.calibration, found.search.x, found.check.x])[:, 0]
    assert len(set(used.tolist())) == len(used)
    assert data.y is not None
    assert found.search.y is not None
    assert (found.search.y == data.y[found.search.x[:, 0].astype(int)]).all()


def test_with_other_calibration_all_data_are_judged_on() -> None:
    data, other = numbered(50), np.zeros((7, 1), np.float32)
    found = split_data(data, other, 30, seed=0)
    assert found.calibration is other
    assert (len(found.search), len(found.check)) == (30, 20)


def test_little_data_are_shared_out() -> None:
    found = split_data(numbered(12), None, 5000, seed=0)
    assert (len(found.calibration), len(found.search), len(found.check)) == (4, 8, 0)


@pytest.mark.parametrize("leading", [40, 100, 333])
def test_every_leading_part_has_the_classes_in_equal_shares(leading: int) -> None:
    labels = numbered(1000).y
    assert labels is not None
    order = stratified(labels, seed=3)
    assert sorted(order.tolist()) == list(range(1000))
    for label in np.unique(labels):
        expected = leading * np.mean(labels == label)
        assert abs(np.count_nonzero(labels[order[:leading]] == label) - expected) <= 1


def test_the_seed_decides() -> None:
    parts = [split_data(numbered(300), None, 50, seed).search.x for seed in (0, 0, 1)]
    assert (parts[0] == parts[1]).all()
    assert not (parts[0] == parts[2]).all()


@pytest.mark.parametrize("data", [numbered(1), Data(np.zeros((9, 1), np.float32), None, "d.npz")])
def test_too_little_is_refused(data: Data) -> None:
    with pytest.raises(DataError, match="two or more with labels"):
        split_data(data, None, 10, 0)
