"""Discretised layers step by step, as if they were never mapped: the check of every mapping.

Each connection is an integer convolution over its view, each layer one array of neurons with the
chip's update. Nothing here knows of cores, pieces or axons.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip import arithmetic
from nmcompile.chip.arithmetic import ACCUMULATOR_BITS, CURRENT_BITS, DECAY_BITS, WEIGHT_SHIFT
from nmcompile.chip.discrete import DiscreteConnection, DiscreteGraph, DiscreteLayer
from nmcompile.host.encoder import encoder_currents, encoder_spikes
from nmcompile.ir.nodes import FloatArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: The chip's rules, written for single numbers; these hold for arrays, too.
RULES: Any = arithmetic
#: Kernels with fewer weights than this are kept as float64.
KEPT = 1 << 23


def unpartitioned(graph: DiscreteGraph, x: FloatArray, steps: int) -> dict[str, Bools]:
    """Spikes of all layers.

    Parameters
    ----------
    x : (samples, *input shape)

    Returns
    -------
    Layer name, the encoder's included -> (samples, steps, neurons) bool
    """
    encoder = graph.encoder
    spikes = {
        encoder.name: encoder_spikes(encoder, encoder_currents(encoder, x), steps),
        **{name: np.zeros((len(x), steps, size), bool) for name, size in _on_chip(graph)},
    }
    links = [_Link(connection) for connection in graph.connections]
    states = {layer.name: _State(layer, len(x)) for layer in graph.layers}
    # (step, layer) -> what arrives there then.
    arriving: dict[tuple[int, str], Ints | int] = defaultdict(int)
    for now in range(steps):
        for name, state in states.items():
            spikes[name][:, now] = state.step(arriving.pop((now, name), 0))
        for link in links:
            sent = spikes[link.source][:, now]
            if sent.any():
                arriving[now + 1 + link.delay, link.target] += link.through(sent)
    return spikes


def _on_chip(graph: DiscreteGraph) -> Iterator[tuple[str, int]]:
    return ((layer.name, layer.size) for layer in graph.layers)


class _State:
    """A layer's neurons, for several samples."""

    def __init__(self, layer: DiscreteLayer, samples: int) -> None:
        self._layer = layer
        self._bias = RULES.bias(
            layer.bias_mantissa.astype(np.int64),
            layer.bias_exponent.astype(np.int64),
        )
        self._u = np.zeros((samples, layer.size), np.int64)
        self._v = np.zeros_like(self._u)
        self._rest = np.zeros_like(self._u)

    def step(self, gathered: Ints | int) -> Bools:
        """(samples, neurons) spikes after what arrives now."""
        layer, wrap = self._layer, RULES.wrap
        q = wrap(gathered, ACCUMULATOR_BITS)
        self._u = wrap(_decayed(self._u, layer.decay_u, 1) + q, CURRENT_BITS)
        drive = wrap(self._u + self._bias, CURRENT_BITS)
        floor = RULES.voltage_floor(layer.vmin_exponent)
        ceiling = RULES.voltage_ceiling(layer.vmax_exponent)
        v = np.clip(_decayed(self._v, layer.decay_v, 0) + drive, floor, ceiling)
        v[self._rest > 0] = 0
        fired = v > RULES.threshold(layer.threshold_mantissa)
        v[fired] = 0
        self._v = v
        self._rest[fired] = layer.refractory
        self._rest = np.maximum(self._rest - 1, 0)
        return fired


def _decayed(x: Ints, rate: int, offset: int) -> Ints:
    """`arithmetic.decay` of an array."""
    kept = (1 << DECAY_BITS) - offset - rate
    return np.sign(x) * (np.abs(x) * kept >> DECAY_BITS)


class _Link:
    """A connection as a convolution.

    Products are of whole numbers, and sums stay far below 2**53, so float64 is exact.
    """

    def __init__(self, connection: DiscreteConnection) -> None:
        link = connection.link
        self.source, self.target, self.delay = link.source, link.target, connection.delay
        self._link = link
        self._exponent = connection.exponent
        self._out = link.out_shape
        plain = link.window.padding == ((0, 0), (0, 0)) and link.window.groups == 1
        self._single = plain and link.view.shape[:2] == link.window.kernel == (1, 1)
        self._kernel: FloatArray | None = None
        if not self._single and link.weights.size < KEPT:
            self._kernel = self._weights(link.weights)

    def _weights(self, mantissas: NDArray[np.int16]) -> FloatArray:
        """What a spike adds, before the chip's shift to the left."""
        shifted = RULES.shift(mantissas.astype(np.int64), self._exponent)
        return np.asarray(shifted, np.float64)

    def through(self, spikes: Bools) -> Ints:
        """(samples, target neurons) of what (samples, source neurons) spikes add."""
        total = np.stack([self._sum(each) for each in spikes])
        return total << WEIGHT_SHIFT

    def _sum(self, spikes: Bools) -> Ints:
        view = self._link.view
        seen = spikes[view] & (view >= 0)
        if self._single:
            return self._rows(seen[0, 0])
        return self._convolved(seen.astype(np.float64))

    def _rows(self, seen: Bools) -> Ints:
        """Of a matrix, which may be large: the sum of the rows of those that fired."""
        weights = self._link.weights[0, 0]
        total = np.zeros(weights.shape[1], np.int64)
        fired = np.flatnonzero(seen)
        for first in range(0, len(fired), 256):
            part = weights[fired[first : first + 256]].astype(np.int32)
            total += RULES.shift(part, self._exponent).sum(axis=0)
        return total

    def _convolved(self, seen: FloatArray) -> Ints:
        link, (rows, cols, out) = self._link, self._out
        window, groups = link.window, link.window.groups
        padded = np.pad(seen, (*(_whole(pair) for pair in window.padding), (0, 0)))
        padded = padded[_cut(window.padding[0]), _cut(window.padding[1])]
        total = np.zeros((rows * cols, groups, out // groups))
        for i, j in np.ndindex(window.kernel):
            top, left = i * window.dilation[0], j * window.dilation[1]
            taken = padded[top :: window.stride[0], left :: window.stride[1]][:rows, :cols]
            inputs = taken.reshape(rows * cols, groups, -1)
            kernel = (
                self._weights(link.weights[i, j]) if self._kernel is None else self._kernel[i, j]
            )
            kernel = kernel.reshape(-1, groups, out // groups)
            if groups == 1:
                total[:, 0] += inputs[:, 0] @ kernel[:, 0]
            elif len(kernel) == 1:
                total += inputs * kernel[0]
            else:
                total += np.einsum("pgi,igo->pgo", inputs, kernel)
        return total.reshape(-1).astype(np.int64)


def _whole(pair: tuple[int, int]) -> tuple[int, int]:
    """Padding where it adds."""
    return max(pair[0], 0), max(pair[1], 0)


def _cut(pair: tuple[int, int]) -> slice:
    """What padding leaves where it takes away."""
    return slice(max(-pair[0], 0), -max(-pair[1], 0) or None)
