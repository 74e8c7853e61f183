"""A regulariser that moves firing rates into a range."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from nmcompile.errors import UsageError


@keras.saving.register_keras_serializable("nmcompile")
class RateRange(keras.regularizers.Regularizer):  # type: ignore[misc]
    """An `activity_regularizer` for rates: a high percentile shall lie in a range.

    The penalty is ``weight * (distance / high_hz)**2``, with the distance of the percentile over a
    batch from the range. Behind a ReLU it takes activations for rates, too: a rate in Hz is the
    activation over `amplitude`.

    Parameters
    ----------
    low_hz, high_hz : the range, such as 200 and 300
    percentile : 0..100, over the batch
    weight : of the penalty, beside the loss
    amplitude : activation per Hz, as in the neuron; 0.001 where an activation of 1 stands for a
        spike in every step of 1 ms
    per : "layer" takes the percentile of all neurons together; "channel" that of each channel
        (the last axis), and "neuron" that of each neuron alone, with the mean of their penalties
    """

    def __init__(
        self,
        low_hz: float,
        high_hz: float,
        percentile: float = 99.9,
        weight: float = 1.0,
        amplitude: float = 0.001,
        per: Literal["layer", "channel", "neuron"] = "layer",
    ) -> None:
        if not 0 <= low_hz <= high_hz or not high_hz > 0:
            raise UsageError(f"RateRange: {low_hz:g}..{high_hz:g} Hz is no range of rates")
        if not 0 <= percentile <= 100:
            raise UsageError(f"RateRange: percentile is {percentile:g}; give one in 0..100")
        if not amplitude > 0:
            raise UsageError(f"RateRange: amplitude is {amplitude:g}; give more than 0")
        if per not in ("layer", "channel", "neuron"):
            raise UsageError(f"RateRange: per is {per!r}; give 'layer', 'channel' or 'neuron'")
        self.low_hz, self.high_hz = low_hz, high_hz
        self.percentile, self.weight = percentile, weight
        self.amplitude, self.per = amplitude, per
        self._divided = divided_by_batch()

    def __call__(self, x: Any) -> Any:
        """The penalty of a batch of activations, times its size where Keras divides by that."""
        x = ops.cast(x, "float32")
        if self.per == "layer":
            among = ops.reshape(x, (-1,))
        elif self.per == "channel":
            among = ops.transpose(ops.reshape(x, (-1, x.shape[-1])))
        else:
            among = ops.moveaxis(x, 0, -1)
        rate = upper_quantile(among, self.percentile / 100) / self.amplitude
        outside = ops.relu(self.low_hz - rate) + ops.relu(rate - self.high_hz)
        size = ops.cast(ops.shape(x)[0], "float32") if self._divided else 1.0
        return size * self.weight * ops.mean(ops.square(outside / self.high_hz))

    def get_config(self) -> dict[str, Any]:
        """All parameters."""
        names = ("low_hz", "high_hz", "percentile", "weight", "amplitude", "per")
        return {name: getattr(self, name) for name in names}


@cache
def divided_by_batch() -> bool:
    """Whether this Keras divides what an `activity_regularizer` gives by the batch size.

    Versions differ: https://github.com/keras-team/keras/pull/22021.
    """

    class One(keras.regularizers.Regularizer):  # type: ignore[misc]
        def __call__(self, x: Any) -> Any:
            return ops.ones(())

    layer = keras.layers.ReLU(activity_regularizer=One())
    layer(np.zeros((2, 1), np.float32))
    return float(layer.losses[0]) < 1


def upper_quantile(x: Any, share: float) -> Any:
    """`keras.ops.quantile` along the last axis, much faster where the share is near 1."""
    number = int(ops.shape(x)[-1])
    place = (1 - share) * (number - 1)  # from the top
    above = int(place)
    top = ops.top_k(x, min(above + 2, number))[0]
    upper, lower = top[..., above], top[..., min(above + 1, number - 1)]
    return upper + (place - above) * (lower - upper)
