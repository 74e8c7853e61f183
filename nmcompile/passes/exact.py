"""Layers that are quantised already: the registers and mantissas that hold their very numbers."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip.arithmetic import (
    EXCITATORY,
    INHIBITORY,
    MIXED,
    WEIGHT_SHIFT,
    mantissa_range,
    mantissa_step,
)
from nmcompile.chip.discrete import DiscreteConnection, DiscreteLayer
from nmcompile.errors import CompileError, NmcompileWarning
from nmcompile.hardware import HardwareModel
from nmcompile.ir.layers import Connection, NeuronLayer
from nmcompile.ir.nodes import Spiking


def exact_layer(
    layer: NeuronLayer, incoming: list[Connection], weight_bits: int, hardware: HardwareModel
) -> tuple[DiscreteLayer, list[DiscreteConnection]]:
    """A layer with registers, and the connections into it, without any rounding.

    Raises
    ------
    CompileError
        A number that its register, or no pair of mantissa and exponent, holds.
    """
    neuron, limits = layer.neuron, hardware.compartment
    assert isinstance(neuron, Spiking)
    registers = neuron.registers
    assert registers is not None
    for name, number, low, high in (
        ("decay_u", registers.decay_u, 0, limits.decay_max.value),
        ("decay_v", registers.decay_v, 0, limits.decay_max.value),
        ("refractory", registers.refractory, limits.refractory_min.value,
         limits.refractory_max.value),
    ):  # fmt: skip
        if not low <= number <= high:
            raise CompileError(
                f"layer {layer.name!r}: its {name} is {number}, the register holds {low} to "
                f"{high}; train it within that range"
            )
    unit = 1 << limits.threshold_exponent.value
    threshold, top = neuron.threshold / unit, limits.threshold_mantissa_max.value
    if threshold != round(threshold) or not 1 <= threshold <= top:
        raise CompileError(
            f"layer {layer.name!r}: its threshold is {neuron.threshold:.10g}, the register holds "
            f"multiples of {unit} up to {top * unit}; train it with another threshold"
        )
    _warn_of_overflow(layer, incoming, hardware)
    mantissa, exponent = _bias(layer, hardware)
    made = DiscreteLayer(
        name=layer.name,
        shape=layer.shape,
        decay_u=registers.decay_u,
        decay_v=registers.decay_v,
        refractory=registers.refractory,
        threshold_mantissa=round(threshold),
        bias_mantissa=mantissa,
        bias_exponent=exponent,
        vmin_exponent=limits.vmin_exponent_max.value,
        vmax_exponent=limits.vmax_exponent_max.value,
        initial_voltage=np.zeros(layer.size, np.int32),
        voltage_scale=1.0,
        amplitude=neuron.amplitude,
        depth=layer.depth,
        origin=layer.origin,
        rate=layer.rate,
    )
    return made, exact_links(incoming, weight_bits, hardware)


def exact_links(
    links: list[Connection], weight_bits: int, hardware: HardwareModel
) -> list[DiscreteConnection]:
    """Connections into a layer, with one synapse format for all where one holds them.

    Raises
    ------
    CompileError
        Weights of a connection that no format holds.
    """
    parts = [link.weights.astype(np.float64) / (1 << WEIGHT_SHIFT) for link in links]
    everything = np.concatenate([part.reshape(-1) for part in parts])
    common = _format(everything, weight_bits, hardware)
    made = []
    for link, weights in zip(links, parts, strict=True):
        found = common or _format(weights, weight_bits, hardware)
        if found is None:
            both = weights.min() < 0 < weights.max()
            raise CompileError(
                f"connection {link.name}: no exponent holds its weights of {weights.min():.10g} to "
                f"{weights.max():.10g} in {weight_bits} bits without rounding; quantise them to "
                + ("-128..127, or to even ones in -256..254" if both else "whole ones up to 255")
            )
        exponent, mode = found
        mantissa = (weights / 2.0**exponent).astype(np.int16)
        made.append(
            DiscreteConnection(replace(link, weights=mantissa), exponent, weight_bits, mode)
        )
    return made


def _format(
    weights: NDArray[np.float64], weight_bits: int, hardware: HardwareModel
) -> tuple[int, int] | None:
    """Smallest exponent, and sign mode, whose mantissas are these weights exactly."""
    mode = MIXED
    if weights.min(initial=0) >= 0:
        mode = EXCITATORY
    elif weights.max(initial=0) <= 0:
        mode = INHIBITORY
    if not weights.any():
        return 0, mode
    low, high = mantissa_range(mode)
    synapse = hardware.synapse
    for exponent in range(synapse.weight_exponent_min.value, synapse.weight_exponent_max.value + 1):
        mantissa = weights / 2.0**exponent
        step = max(mantissa_step(weight_bits, mode), 1 << max(0, -exponent))
        fits = low <= mantissa.min(initial=0) and mantissa.max(initial=0) <= high
        if fits and not np.any(mantissa % step):
            return exponent, mode
    return None


def _bias(
    layer: NeuronLayer, hardware: HardwareModel
) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """Mantissas and smallest exponents that hold the biases."""
    bias, limits = layer.bias.astype(np.float64), hardware.compartment
    top, last = limits.bias_mantissa_max.value, limits.bias_exponent_max.value
    exponent = np.zeros(bias.shape, np.uint8)
    for _ in range(last):
        exponent += (np.abs(bias / 2.0**exponent) > top).astype(np.uint8)
    mantissa = bias / 2.0**exponent
    bad = (np.abs(mantissa) > top) | (mantissa != np.rint(mantissa))
    if bad.any():
        raise CompileError(
            f"layer {layer.name!r}: a bias of {bias[bad][0]:.10g} has no mantissa up to {top} and "
            f"exponent up to {last}; use biases up to {top << last} that are multiples of their "
            "exponent's power of two"
        )
    return mantissa.astype(np.int16), exponent


def _warn_of_overflow(
    layer: NeuronLayer, incoming: list[Connection], hardware: HardwareModel
) -> None:
    """Say where all inputs of a sign at once exceed the accumulator."""
    bits = hardware.compartment.accumulator_bits.value
    parts = np.array([0.0, 0.0])
    for link in incoming:
        for k, sign in enumerate((1, -1)):
            part = np.maximum(sign * link.weights, 0).sum(axis=(0, 1, 2), dtype=np.float64)
            parts[k] += float(part.max(initial=0))
    if parts.max() >= 1 << bits:
        warnings.warn(
            f"layer {layer.name!r}: if all inputs fire at once the accumulator of {bits} bits "
            "can overflow; the emulator counts how often",
            NmcompileWarning,
            stacklevel=5,
        )
