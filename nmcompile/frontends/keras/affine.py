"""Keras layers that scale and shift: batch normalisation, rescaling, normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.frontends.keras.builder import Converter, LayerStep
from nmcompile.frontends.keras.options import Options
from nmcompile.frontends.layout import Refused, Tensor


def batch_norm(o: Options) -> Converter:
    axis = o.get("axis", -1)
    if isinstance(axis, list | tuple) and len(axis) == 1:
        axis = axis[0]
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise o.bad("axis", axis, "one axis")
    epsilon = o.number("epsilon", 1e-3)
    scale, center = o.flag("scale", True), o.flag("center", True)

    def convert(step: LayerStep) -> Tensor:
        x = step.x
        where = x.axis(axis)
        size = (x.shape[where],)
        mean = step.weight("moving_mean", size).astype(np.float64)
        variance = step.weight("moving_variance", size).astype(np.float64)
        if not (variance + epsilon > 0).all():
            raise Refused("its moving variance is negative", "train or export the model again")
        factor = 1 / np.sqrt(variance + epsilon)
        if scale:
            factor = factor * step.weight("gamma", size)
        shift = -mean * factor
        if center:
            shift = shift + step.weight("beta", size)
        along = [1] * len(x.shape)
        along[where] = -1
        return step.affine(x, factor.reshape(along), shift.reshape(along))

    return convert


def rescaling(o: Options) -> Converter:
    scale, offset = (
        _numbers(o, key, default) for key, default in (("scale", 1.0), ("offset", 0.0))
    )
    return lambda step: step.affine(step.x, scale, offset)


def normalization(o: Options) -> Converter:
    axes = o.get("axis")
    axes = () if axes is None else axes if isinstance(axes, list | tuple) else (axes,)
    if any(isinstance(axis, bool) or not isinstance(axis, int) for axis in axes):
        raise o.bad("axis", axes, "axes")
    invert = o.flag("invert", False)
    fixed = o.get("mean") is not None
    mean_option, variance_option = _numbers(o, "mean", 0.0), _numbers(o, "variance", 1.0)

    def convert(step: LayerStep) -> Tensor:
        x = step.x
        kept = sorted(x.axis(axis) for axis in axes)
        along = [n if k in kept else 1 for k, n in enumerate(x.shape)]
        size = tuple(x.shape[k] for k in kept)
        if fixed:
            mean, variance = (_spread(v, kept, along) for v in (mean_option, variance_option))
        else:
            mean, variance = (step.weight(name, size).astype(np.float64).reshape(along)
                              for name in ("mean", "variance"))  # fmt: skip
        if not (variance >= 0).all():
            raise Refused("its variance is negative", "adapt the layer again")
        deviation = np.maximum(np.sqrt(variance), 1e-7)  # 1e-7: keras.backend.epsilon()
        if invert:
            return step.affine(x, deviation, mean)
        return step.affine(x, 1 / deviation, -mean / deviation)

    return convert


def _spread(value: NDArray[Any], kept: list[int], along: list[int]) -> NDArray[Any]:
    """Numbers given as an option, their axes laid on the last of the kept axes."""
    shape = [1] * len(along)
    try:
        for k in range(1, value.ndim + 1):
            shape[kept[-k]] = value.shape[-k]
        return np.broadcast_to(value.reshape(shape), along)
    except (IndexError, ValueError):
        raise Refused(
            f"its mean or variance of shape {value.shape} does not fit its axes",
            "give one number per kept axis",
        ) from None


def _numbers(o: Options, key: str, default: float) -> NDArray[np.float64]:
    value = o.get(key, default)
    if isinstance(value, Mapping):  # Keras writes arrays as {"class_name": "__numpy__", ...}
        inner = value.get("config")
        value = inner.get("value") if isinstance(inner, Mapping) else None
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise o.bad(key, value, "numbers") from None
    if not np.isfinite(array).all():
        raise o.bad(key, value, "finite numbers")
    return array
