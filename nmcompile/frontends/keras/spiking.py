"""The layers of `nmcompile.training`: neurons, quantised weights, encoders; Keras is not needed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, exp, expm1, log2

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip.arithmetic import (
    EXCITATORY,
    INHIBITORY,
    MIXED,
    mantissa_range,
    mantissa_span,
    mantissa_step,
)
from nmcompile.frontends.keras.builder import Converter, LayerStep, Parser
from nmcompile.frontends.keras.model import Layer, Model
from nmcompile.frontends.keras.options import Options
from nmcompile.frontends.keras.weights import WeightStore
from nmcompile.frontends.layout import Refused, Tensor
from nmcompile.ir import nodes
from nmcompile.ir.nodes import FloatArray

#: Bits that a weight can have on the chip.
WEIGHT_BITS = (1, 2, 3, 4, 5, 6, 8)


def gain_and_bias(
    max_rate: float | None, intercept: float, tau_rc: float | None, tau_ref: float, dt: float
) -> tuple[float, float]:
    """Gain and bias of a neuron's current, from the rate at x = 1 and the x at which it starts.

    A leaky neuron fires at J > 1 with the rate 1 / (tau_ref + tau_rc · log(1 + 1/(J - 1))), so
    J = 1 / (1 - exp((tau_ref - 1/max_rate) / tau_rc)) at x = 1 and J = 1 at the intercept
    (Nengo, `LIFRate.gain_bias`). One without leak has the rate 1 / (tau_ref + dt/J), J being in
    thresholds per step, so J = dt / (1/max_rate - tau_ref) at x = 1 and 0 at the intercept.

    Raises
    ------
    ValueError
        A rate that the refractory period or the time step does not allow, or an intercept of 1
        or more.
    """
    if max_rate is None:
        return 1.0, 0.0
    if not intercept < 1:
        raise ValueError(f"its intercept is {intercept:g}; give less than 1")
    if not 0 < max_rate <= 1 / dt:
        raise ValueError(
            f"its max_rate is {max_rate:g} Hz; give more than 0 and at most {1 / dt:g} Hz, a spike "
            "in every step"
        )
    if max_rate * tau_ref >= 1:
        raise ValueError(
            f"its max_rate is {max_rate:g} Hz, but a refractory period of {tau_ref:g} s allows "
            f"less than {1 / tau_ref:g} Hz; lower one of them"
        )
    if tau_rc is None:
        gain = dt / (1 / max_rate - tau_ref) / (1 - intercept)
        return gain, -gain * intercept
    top = -1 / expm1((tau_ref - 1 / max_rate) / tau_rc)
    gain = (top - 1) / (1 - intercept)
    return gain, 1 - gain * intercept


def neuron(*, leaky: bool) -> Parser:
    """Spiking activations: their current as an Affine node, then their neurons."""

    def parse(o: Options) -> Converter:
        tau_rc = o.number("tau_rc", 0.02) if leaky else None
        tau_ref, dt = o.number("tau_ref", 0.0), o.number("dt", 0.001)
        rate = o.get("max_rate")
        max_rate = None if rate is None else o.number("max_rate", 0.0)
        intercept, amplitude = o.number("intercept", 0.0), o.number("amplitude", 0.001)
        o.get("smoothing")
        for key, value in (("tau_rc", tau_rc), ("dt", dt), ("amplitude", amplitude)):
            if value is not None and value <= 0:
                raise o.bad(key, value, "more than 0")
        if tau_ref < 0:
            raise o.bad("tau_ref", tau_ref, "0 or more")
        try:
            gain, bias = gain_and_bias(max_rate, intercept, tau_rc, tau_ref, dt)
        except ValueError as error:
            raise o.bad("max_rate", max_rate, f"other numbers, for {error}") from None
        leak = 0.0 if tau_rc is None else 1 - exp(-dt / tau_rc)

        def convert(step: LayerStep) -> Tensor:
            source = step.x.node
            if (gain, bias) != (1.0, 0.0):
                fields = {
                    "scale": np.array([gain], np.float32),
                    "shift": np.array([bias], np.float32),
                }
                source = step.add(nodes.Affine, [source], "current", **fields)
            node = step.add(
                nodes.Spiking, [source], own=True, tau_rc_s=tau_rc, refractory_s=tau_ref,
                threshold=1 / leak if leak else 1.0, amplitude=amplitude / dt, dt_s=dt,
            )  # fmt: skip
            return Tensor(node, step.x.shape, step.x.layout)

        return convert

    return parse


def noise(o: Options) -> Converter:
    """Noise that only training has."""
    for key in ("steps", "amplitude", "dt"):
        o.get(key)
    return lambda step: step.x


def weight_grid(weight_bits: int, mode: int) -> tuple[float, int, int]:
    """How mantissas of a sign mode lie, if the largest weight takes what fits both signs.

    Returns
    -------
    step between weights, as a share of the largest; smallest and largest multiple of it
    """
    top = mantissa_span(weight_bits, MIXED) or 255
    span = mantissa_span(weight_bits, mode)
    if not span:
        return 1.0, 0, 0
    step = mantissa_step(weight_bits, mode)
    exponent = max(0, ceil(log2(top / span)))
    low, high = mantissa_range(mode)
    return (step << exponent) / top, -(-low // step), high // step


def quantised(weights: FloatArray, weight_bits: int) -> FloatArray:
    """Weights on the grid that `nmcompile.training.quantise` trains them on."""
    mode = MIXED
    if weights.min(initial=0) >= 0:
        mode = EXCITATORY
    elif weights.max(initial=0) <= 0:
        mode = INHIBITORY
    largest = np.abs(weights).max(initial=0)
    if not largest:
        return weights
    unit, low, high = weight_grid(weight_bits, mode)
    step = largest * np.float32(unit)
    return (np.clip(np.rint(weights / step), low, high) * step).astype(np.float32)


def rounded(parse: Parser) -> Parser:
    """A layer of Keras' own whose kernel is on the chip's grid."""

    def outer(o: Options) -> Converter:
        bits = o.get("weight_bits", 8)
        if bits not in WEIGHT_BITS:
            raise o.bad("weight_bits", bits, " or ".join(map(str, WEIGHT_BITS)))
        convert = parse(o)
        return lambda step: convert(replace(step, store=_Rounded(step.store, bits)))

    return outer


@dataclass(frozen=True)
class _Rounded:
    """A store whose kernels are rounded."""

    store: WeightStore
    weight_bits: int

    def bind(self, model: Model) -> None:
        self.store.bind(model)

    def read(self, layer: Layer, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        value = self.store.read(layer, name, shape)
        if name == "kernel" and self.weight_bits == 1 and value.min() < 0 < value.max():
            raise Refused(
                "its weights of 1 bit hold no positive weight beside negative ones",
                "use weight_bits=2 or more, or a constraint that keeps one sign",
            )
        return quantised(value, self.weight_bits) if name == "kernel" else value


def encoder(o: Options) -> Converter:
    """A 1x1 convolution and ReLU, learnt or with weights of 1 and -1."""
    mode = o.choice("mode", ("learnt", "on", "on-off"))
    filters = o.count("filters") if mode == "learnt" else 0
    o.get("filters")

    def convert(step: LayerStep) -> Tensor:
        source, layout = step.image(step.x, 2, channels_first=False)
        channels = step.builder.shapes[source][-1]
        bias, groups = None, channels
        if mode == "learnt":
            weights, groups = step.weight("kernel", (1, 1, channels, filters)), 1
            bias = step.weight("bias", (filters,))
        else:
            signs = np.array([1] if mode == "on" else [1, -1], np.float32)
            weights = np.tile(signs, channels).reshape(1, 1, 1, -1)
        node = step.add(nodes.Conv2d, [source], "linear", weights=weights, bias=bias, groups=groups)
        return step.tensor(step.add(nodes.ReLU, [node]), layout)

    return convert
