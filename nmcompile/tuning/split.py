"""Split labelled data into samples to calibrate with, to search with, and to check with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nmcompile.errors import DataError
from nmcompile.host.data import Data
from nmcompile.ir.nodes import FloatArray

#: Samples for calibration, and the largest share of the data that they may be.
CALIBRATION, CALIBRATION_SHARE = 500, 1 / 3
#: Samples that trials are judged on, and how many times as many check the best of them.
LIMIT, CHECKED = 5000, 2


@dataclass(frozen=True, eq=False)
class Samples:
    """Data in three parts that share no sample.

    Attributes
    ----------
    calibration : (samples, *shape), for builds
    search : that trials are judged on; every leading part has all classes in equal shares
    check : that the best trials are judged on anew; may be empty
    """

    calibration: FloatArray
    search: Data
    check: Data


def split_data(data: Data, calibration: FloatArray | None, limit: int, seed: int) -> Samples:
    """Split data; equal arguments give equal parts.

    Parameters
    ----------
    data : with labels
    calibration : other data for that, or None to take it from this
    limit : samples to search with

    Raises
    ------
    DataError
        No labels, or too few samples.
    """
    if data.y is None or len(data) < 2:
        raise DataError(f"{data.path}: {len(data)} samples; two or more with labels y are needed")
    order = stratified(data.y, seed)
    kept = 0
    if calibration is None:
        kept = max(1, min(CALIBRATION, int(len(data) * CALIBRATION_SHARE)))
        calibration = data.x[order[:kept]]
    most = min(kept + limit, len(data))
    return Samples(
        calibration,
        _part(data, order[kept:most]),
        _part(data, order[most : most + CHECKED * limit]),
    )


def stratified(labels: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """A random order of samples in which every leading part has the classes in equal shares."""
    rng = np.random.default_rng(seed)
    when = np.zeros(len(labels))
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        when[members] = (np.arange(len(members)) + rng.random()) / len(members)
    return np.argsort(when, kind="stable").astype(np.int64)


def _part(data: Data, order: NDArray[np.int64]) -> Data:
    assert data.y is not None
    return Data(data.x[order], data.y[order], data.path)
