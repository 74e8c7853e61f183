"""Discretised layers: integers only, with the one scale that links them to the model's numbers.

Sources that are quantised already enter the compiler here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip.program import Encoder
from nmcompile.ir.layers import USUAL_RATE, Connection
from nmcompile.ir.nodes import FloatArray
from nmcompile.ir.text import shape_text, table_text


@dataclass(frozen=True, eq=False)
class DiscreteConnection:
    """A connection with integer mantissas.

    Attributes
    ----------
    link : view, window and delay, with int16 mantissas as weights
    exponent, weight_bits, sign_mode : of its synapse format
    """

    link: Connection
    exponent: int
    weight_bits: int
    sign_mode: int

    @property
    def delay(self) -> int:
        """Synaptic delay in steps, the same for all its synapses."""
        return self.link.delay


@dataclass(frozen=True, eq=False)
class DiscreteLayer:
    """A layer's registers.

    Attributes
    ----------
    decay_u, decay_v, refractory, threshold_mantissa : one value for the layer
    bias_mantissa, bias_exponent : (neurons,)
    initial_voltage : (neurons,) at which a sample begins
    vmin_exponent, vmax_exponent : voltage limits
    voltage_scale : integer voltage units per unit of activation
    amplitude : activation that one spike per step stands for
    depth : steps until its first input arrives
    gain, correction, equalised : as in `ir.layers.NeuronLayer`
    rate : mean spikes of a neuron in a step, as expected
    """

    name: str
    shape: tuple[int, ...]
    decay_u: int
    decay_v: int
    refractory: int
    threshold_mantissa: int
    bias_mantissa: NDArray[np.int16]
    bias_exponent: NDArray[np.uint8]
    vmin_exponent: int
    vmax_exponent: int
    voltage_scale: float
    amplitude: float
    depth: int
    initial_voltage: NDArray[np.int32]
    origin: tuple[str, ...] = ()
    rate: float = USUAL_RATE
    gain: FloatArray | None = None
    correction: FloatArray | None = None
    equalised: FloatArray | None = None

    @property
    def size(self) -> int:
        """Number of neurons."""
        return prod(self.shape)


@dataclass(frozen=True, eq=False)
class DiscreteGraph:
    """All layers on the chip, the encoder before and the read-out behind them.

    Attributes
    ----------
    encoder_rate : mean spikes of an encoder neuron in a step, as expected
    read_kind : "counts" or "voltage"
    read_layers, read_weights, read_bias : as in `chip.program.ReadOut`
    read_correction : (outputs,) part of the bias, as in `ir.layers.LayerGraph`
    """

    name: str
    dt_s: float
    encoder: Encoder
    layers: tuple[DiscreteLayer, ...]
    connections: tuple[DiscreteConnection, ...]
    read_kind: str
    read_layers: tuple[str, ...]
    read_weights: FloatArray
    read_bias: FloatArray
    encoder_rate: float = USUAL_RATE
    read_correction: FloatArray | None = None

    def layer(self, name: str) -> DiscreteLayer:
        """A layer by name."""
        return next(layer for layer in self.layers if layer.name == name)

    def into(self, name: str) -> Iterator[DiscreteConnection]:
        """Connections that end in a layer."""
        return (c for c in self.connections if c.link.target == name)

    def sizes(self) -> dict[str, int]:
        """Neurons of every layer, the encoder included."""
        return {
            self.encoder.name: prod(self.encoder.shape),
            **{layer.name: layer.size for layer in self.layers},
        }

    def __str__(self) -> str:
        layers = table_text(
            ("layer", "shape", "decay_u", "decay_v", "refractory", "threshold", "bias"),
            [
                (
                    x.name,
                    shape_text(x.shape),
                    x.decay_u,
                    x.decay_v,
                    x.refractory,
                    x.threshold_mantissa,
                    _bias_text(x),
                )
                for x in self.layers
            ],
        )
        links = table_text(
            ("source", "target", "mantissas", "exponent", "bits", "sign mode", "delay"),
            [
                (
                    c.link.source,
                    c.link.target,
                    f"{c.link.weights.min()}..{c.link.weights.max()}",
                    c.exponent,
                    c.weight_bits,
                    c.sign_mode,
                    c.delay,
                )
                for c in self.connections
            ],
        )
        encoder = (
            f"encoder {self.encoder.name} {shape_text(self.encoder.shape)}, mode "
            f"{self.encoder.mode}, threshold {self.encoder.threshold:.3g}"
        )
        return f"discretised layers of {self.name}\n{encoder}\n{layers}\n\n{links}\n"


def _bias_text(layer: DiscreteLayer) -> str:
    value = layer.bias_mantissa.astype(np.int64) << layer.bias_exponent
    return f"{value.min()}..{value.max()}"
