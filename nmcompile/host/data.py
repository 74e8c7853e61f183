"""Data files: `.npz` with `x`, samples first, and `y`, integer labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.errors import DataError, UsageError
from nmcompile.ir.nodes import FloatArray, Shape


@dataclass(frozen=True, eq=False)
class Data:
    """Samples and, where the file has them, labels.

    Attributes
    ----------
    x : (samples, *shape) float32, or (samples, frames, *shape)
    y : (samples,) int64, or None
    path : where they came from
    """

    x: FloatArray
    y: NDArray[np.int64] | None
    path: str

    def __len__(self) -> int:
        return len(self.x)

    def first(self, count: int | None) -> Data:
        """The first samples, or all.

        Raises
        ------
        UsageError
            A count below 1.
        """
        if count is None:
            return self
        if count < 1:
            raise UsageError(f"--limit {count}: at least one sample is needed")
        return Data(self.x[:count], None if self.y is None else self.y[:count], self.path)


def load_data(
    path: str | Path,
    shape: Shape | None = None,
    *,
    inputs: Mapping[str, Shape] | None = None,
    labels: int | None = None,
    needed: bool = True,
) -> Data:
    """Read a data file.

    Parameters
    ----------
    shape : that one sample must have, or each of its frames where its input changes over time
    inputs : names and shapes of several inputs, each an array of the file instead of `x`; what is
        read is flat, the numbers of one input after those of the other
    labels : number of classes; the file must then hold `y` in 0..labels - 1. `y` is read
        only then, so that files with targets of another kind serve as inputs
    needed : False where a file without `y` will do

    Raises
    ------
    DataError
        One sentence: file, array, what it holds and what is wanted.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    try:
        with path.open("rb") as raw:
            start = raw.read(6)
        if start == b"\x93NUMPY":
            raise DataError(f"{path}: a single array; a .npz file with x (and y) is needed")
        if not start.startswith(b"PK"):
            raise DataError(
                f"{path}: not a .npz file; write one with numpy.savez(path, x=..., y=...)"
            )
        with np.load(path, allow_pickle=False) as file:
            wanted = [*(inputs or ()), "x", *(() if labels is None else ("y",))]
            arrays = {name: file[name] for name in wanted if name in file.files}
            found = ", ".join(file.files) or "nothing"
    except (DataError, MemoryError):
        raise
    except Exception as error:
        # What numpy raises on damaged files is no closed list: zlib's, tokenize's and others'.
        raise DataError(f"{path}: not a readable .npz file ({error})") from None
    if inputs and "x" not in arrays:
        arrays["x"] = join_inputs(arrays, inputs, f"{path}: ", found)
    if "x" not in arrays:
        raise DataError(f"{path}: holds {found}, but no array x; name the samples x")
    x = arrays["x"]
    if x.dtype.kind not in "fiub" or x.ndim < 1:
        raise DataError(f"{path}: x has type {x.dtype} and {x.ndim} axes; numbers are needed")
    if shape is not None and shape not in (x.shape[1:], x.shape[2:]):
        hint = "; add the last axis of 1 channel" if (*x.shape[1:], 1) == shape else ""
        if inputs:
            each = ", ".join(f"{name} {tuple(size)}" for name, size in inputs.items())
            hint = f", all inputs one after the other; or give an array for each: {each}"
        raise DataError(
            f"{path}: each sample of x has shape {x.shape[1:]}, the network takes {shape}{hint}"
        )
    if not x.size:
        what = "samples" if not len(x) else f"numbers, its shape is {x.shape}"
        raise DataError(f"{path}: x holds no {what}")
    with np.errstate(over="ignore"):
        x = np.ascontiguousarray(x, np.float32)
    if not np.isfinite(x).all():
        raise DataError(f"{path}: {int((~np.isfinite(x)).sum())} values of x are NaN or infinite")
    if not needed and "y" not in arrays:
        labels = None
    return Data(x, _labels(path, arrays, len(x), labels), str(path))


def join_inputs(
    arrays: Mapping[str, NDArray[Any]], inputs: Mapping[str, Shape], place: str, found: str
) -> FloatArray:
    """(samples, numbers) of several inputs, or (samples, frames, numbers).

    Parameters
    ----------
    arrays : of each input (samples, *shape), or (samples, frames, *shape)
    inputs : their shapes, in the order in which their numbers follow each other
    place, found : where they come from, and the names that are there, for messages

    Raises
    ------
    DataError
        An input lacks, or its samples do not fit it or those of the others.
    """
    parts: list[NDArray[Any]] = []
    for name, shape in inputs.items():
        if name not in arrays:
            raise DataError(
                f"{place}holds {found}, but no array {name}; the network has the inputs "
                f"{', '.join(inputs)}, each an array"
            )
        array = np.asarray(arrays[name])
        if array.dtype.kind not in "fiub" or shape not in (array.shape[1:], array.shape[2:]):
            raise DataError(
                f"{place}each sample of {name} has shape {array.shape[1:]} and type "
                f"{array.dtype}, the network takes numbers of shape {tuple(shape)}"
            )
        parts.append(array.reshape(*array.shape[: array.ndim - len(shape)], -1))
    if len({part.shape[:-1] for part in parts}) > 1:
        lengths = ", ".join(
            f"{name} {part.shape[:-1]}" for name, part in zip(inputs, parts, strict=True)
        )
        raise DataError(f"{place}inputs differ in samples, or in frames: {lengths}")
    with np.errstate(over="ignore"):
        return np.concatenate([np.asarray(part, np.float32) for part in parts], axis=-1)


def _labels(
    path: Path, arrays: Mapping[str, NDArray[Any]], samples: int, classes: int | None
) -> NDArray[np.int64] | None:
    if classes is None:
        return None
    if "y" not in arrays:
        raise DataError(f"{path}: holds no labels y, which are needed to judge answers")
    y = arrays["y"]
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    whole = y.dtype.kind in "iu" or (y.dtype.kind == "f" and bool((y == np.round(y)).all()))
    if y.shape != (samples,) or not whole:
        raise DataError(
            f"{path}: y has shape {y.shape} and type {y.dtype}; "
            f"{samples} integer labels are needed, one a sample"
        )
    if y.min() < 0 or y.max() >= classes:
        raise DataError(
            f"{path}: labels y run from {y.min()} to {y.max()}, "
            f"the network has {classes} outputs, so 0 to {classes - 1} are possible"
        )
    return y.astype(np.int64)
