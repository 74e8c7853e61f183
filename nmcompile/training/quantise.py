"""Layers whose weights are the chip's while they train."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from nmcompile.chip.arithmetic import EXCITATORY, INHIBITORY, MIXED
from nmcompile.errors import UsageError
from nmcompile.frontends.keras.spiking import WEIGHT_BITS, weight_grid
from nmcompile.training.curves import straight_through


def quantise(weights: Any, weight_bits: int) -> Any:
    """Weights rounded to the chip's mantissas, with the gradient of the weights themselves.

    A layer has one exponent, a power of two, and one scale, at which its largest weight has the
    largest mantissa that fits both signs: so the compiler chooses it, too, see
    `nmcompile.passes.discretise`. Weights of one sign alone take the chip's format for that sign,
    with steps half as large.
    """
    weights = ops.cast(weights, "float32")
    largest = ops.maximum(ops.max(ops.abs(weights)), 1e-30)
    rounded = {}
    for mode in (MIXED, EXCITATORY, INHIBITORY):
        unit, low, high = weight_grid(weight_bits, mode)
        step = largest * unit
        rounded[mode] = ops.clip(ops.round(weights / step), low, high) * step
    found = ops.where(ops.max(weights) <= 0, rounded[INHIBITORY], rounded[MIXED])
    found = ops.where(ops.min(weights) >= 0, rounded[EXCITATORY], found)
    return straight_through(found, weights)


def _checked(name: str, weight_bits: int) -> int:
    if weight_bits not in WEIGHT_BITS:
        raise UsageError(
            f"layer {name!r}: weight_bits is {weight_bits}; the chip has "
            f"{', '.join(map(str, WEIGHT_BITS))}"
        )
    return weight_bits


@keras.saving.register_keras_serializable("nmcompile")
class ChipConv2D(keras.layers.Conv2D):  # type: ignore[misc]
    """A `Conv2D` that computes with weights as the chip holds them, see `quantise`.

    Parameters
    ----------
    weight_bits : 1, 2, 3, 4, 5, 6 or 8
    """

    def __init__(self, *args: Any, weight_bits: int = 8, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.weight_bits = _checked(self.name, weight_bits)

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """The convolution with rounded weights."""
        kernel = ops.cast(quantise(kernel, self.weight_bits), inputs.dtype)
        return super().convolution_op(inputs, kernel)

    def get_config(self) -> dict[str, Any]:
        """All parameters."""
        return {**super().get_config(), "weight_bits": self.weight_bits}


@keras.saving.register_keras_serializable("nmcompile")
class ChipDense(keras.layers.Dense):  # type: ignore[misc]
    """A `Dense` that computes with weights as the chip holds them, see `quantise`.

    Parameters
    ----------
    weight_bits : 1, 2, 3, 4, 5, 6 or 8
    """

    def __init__(self, *args: Any, weight_bits: int = 8, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.weight_bits = _checked(self.name, weight_bits)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The product with rounded weights."""
        kernel = ops.cast(quantise(self.kernel, self.weight_bits), inputs.dtype)
        x = ops.matmul(inputs, kernel)
        if self.use_bias:
            x = ops.add(x, self.bias)
        return self.activation(x) if self.activation is not None else x

    def get_config(self) -> dict[str, Any]:
        """All parameters."""
        return {**super().get_config(), "weight_bits": self.weight_bits}
