"""Read a discretised layer's registers as numbers: drives, thresholds, and bits in use.

Drives and thresholds are in voltage units, the integers of the chip's membrane.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log2

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip.arithmetic import DECAY_BITS, THRESHOLD_SHIFT, WEIGHT_SHIFT, mantissa_step
from nmcompile.chip.discrete import DiscreteConnection, DiscreteLayer
from nmcompile.chip.rate_curve import rate_curve
from nmcompile.ir.layers import Connection
from nmcompile.ir.links import through
from nmcompile.ir.nodes import FloatArray

#: Share of a connection's weights that are its usual ones; the rest are outliers.
USUAL = 99.0


@dataclass(frozen=True)
class WeightBits:
    """How many of its bits a connection's weights use.

    Attributes
    ----------
    source : layer that the connection comes from
    available : bits that a weight was given
    largest : bits that the range up to the largest weight spans
    usual : bits that the range of 99 % of the weights other than zero spans
    outlier : the largest weight by the largest of those 99 %
    """

    source: str
    available: int
    largest: float
    usual: float
    outlier: float


def spike_weights(link: DiscreteConnection, layer: DiscreteLayer) -> Connection:
    """The connection with all that one spike adds to the voltage over time as weights."""
    mantissas = link.link.weights.astype(np.int64)
    exponent = link.exponent
    shifted = mantissas << exponent if exponent >= 0 else mantissas >> -exponent
    added = (shifted << WEIGHT_SHIFT) * current_gain(layer)
    return replace(link.link, weights=added.astype(np.float32))


def current_gain(layer: DiscreteLayer) -> float:
    """Sum over time of a unit of current that decays."""
    return (1 << DECAY_BITS) / (layer.decay_u + 1)


def layer_bias(layer: DiscreteLayer) -> NDArray[np.float64]:
    """(neurons,) what the bias registers add to the voltage in every step."""
    return layer.bias_mantissa.astype(np.float64) * 2.0 ** layer.bias_exponent.astype(np.float64)


def layer_drive(
    layer: DiscreteLayer, incoming: list[tuple[Connection, FloatArray]]
) -> NDArray[np.float64]:
    """(samples, neurons) what reaches the voltage in a step, in the mean.

    Parameters
    ----------
    incoming : connections with `spike_weights`, each with (samples, source neurons) spikes per
        step of its source
    """
    total = layer_bias(layer)[None]
    for link, rates in incoming:
        total = total + through(link, rates.astype(np.float32))
    return total


def chip_rates(layer: DiscreteLayer, drive: NDArray[np.float64]) -> FloatArray:
    """Spikes per step that a constant drive causes, in the chip's integer arithmetic."""
    threshold = layer.threshold_mantissa << THRESHOLD_SHIFT
    periods = rate_curve(np.rint(drive), layer.decay_v, threshold, layer.refractory)
    return np.divide(
        1.0, periods, out=np.zeros(periods.shape, np.float32), where=periods > 0, casting="unsafe"
    )


def amplitudes(layer: DiscreteLayer) -> FloatArray:
    """(neurons,) activation of the network that one spike per step stands for."""
    gain = np.ones(layer.size, np.float32) if layer.gain is None else layer.gain
    return gain * np.float32(layer.amplitude) / equalised(layer)


def equalised(layer: DiscreteLayer) -> FloatArray:
    """(neurons,) how many times the network's own activations are."""
    return np.ones(layer.size, np.float32) if layer.equalised is None else layer.equalised


def layer_correction(layer: DiscreteLayer) -> NDArray[np.float64]:
    """(neurons,) part of the bias that makes up for what sources lose, in voltage units."""
    if layer.correction is None:
        return np.zeros(layer.size)
    return layer.correction.astype(np.float64) * layer.voltage_scale


def weight_bits(link: DiscreteConnection) -> WeightBits:
    """Bits in use of a connection's weights."""
    step = max(mantissa_step(link.weight_bits, link.sign_mode), 1 << max(0, -link.exponent))
    sizes = np.abs(link.link.weights.astype(np.int64)) // step
    kept = sizes[sizes > 0]
    largest = int(kept.max(initial=0))
    usual = float(np.percentile(kept, USUAL)) if len(kept) else 0.0
    signs = 2 if (link.link.weights < 0).any() and (link.link.weights > 0).any() else 1
    return WeightBits(
        source=link.link.source,
        available=link.weight_bits,
        largest=log2(signs * largest + 1),
        usual=log2(signs * usual + 1),
        outlier=largest / usual if usual else 1.0,
    )


def threshold_bits(layer: DiscreteLayer) -> int:
    """Bits in use of the threshold's mantissa."""
    return int(layer.threshold_mantissa).bit_length()


def bias_bits(layer: DiscreteLayer) -> int:
    """Bits in use of the largest bias mantissa, without its sign."""
    return int(np.abs(layer.bias_mantissa.astype(np.int64)).max(initial=0)).bit_length()
