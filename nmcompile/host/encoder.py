"""Input encoding on the host: integer currents for spiking neurons, the same on every machine."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip.program import INPUT_LIMIT, Encoder, HostConv
from nmcompile.errors import DataError, UsageError
from nmcompile.ir.linear import expand_groups
from nmcompile.ir.nodes import FloatArray
from nmcompile.ir.reference import pad, windows

#: Numbers that samples may unfold to at a time.
UNFOLDED = 1 << 24


def encoder_currents(encoder: Encoder, x: FloatArray) -> NDArray[np.int64]:
    """Current of every encoder neuron, constant over a sample's steps.

    All arithmetic is on integers below 2^53, which float64 holds exactly, so a matrix product
    gives the same result in whatever order a machine adds.

    Parameters
    ----------
    x : (samples, *input shape)

    Returns
    -------
    (samples, neurons) int64, 0..threshold

    Raises
    ------
    DataError
        Samples of another shape, or values that are NaN or infinite.
    """
    if x.shape[1:] != encoder.input_shape:
        raise DataError(
            f"samples have shape {tuple(x.shape[1:])}, the network takes {encoder.input_shape}"
        )
    if not np.isfinite(x).all():
        raise DataError(f"{int((~np.isfinite(x)).sum())} input values are NaN or infinite")
    scaled = np.rint(x.astype(np.float64) * encoder.input_scale)
    value = np.clip(scaled, -INPUT_LIMIT, INPUT_LIMIT).reshape(len(x), prod(encoder.input_shape))
    for layer in encoder.layers:
        kernel = layer.weights.shape[0] * layer.weights.shape[1]
        at_once = max(1, UNFOLDED // max(1, layer.view.size * kernel))
        starts = range(0, max(len(value), 1), at_once)
        value = np.concatenate([_host_layer(layer, value[k : k + at_once]) for k in starts])
    return value.astype(np.int64)


def _host_layer(layer: HostConv, value: NDArray[np.float64]) -> NDArray[np.float64]:
    """(samples, outputs) of one integer layer; whole numbers in float64."""
    gathered = value[:, layer.view]
    if (layer.view < 0).any():
        gathered[:, layer.view < 0] = 0
    kh, kw = layer.weights.shape[:2]
    plain = (kh, kw) == layer.stride == (1, 1) and layer.padding == ((0, 0), (0, 0))
    if plain and layer.groups == 1:
        flat = gathered.reshape(-1, layer.view.shape[2]) @ layer.weights[0, 0].astype(np.float64)
        return _limited(layer, flat)
    patches = windows(pad(gathered, layer.padding), (kh, kw), layer.stride, layer.dilation)
    samples, rows, cols, channels = patches.shape[:4]
    if layer.groups == channels > 1:
        # Channel by channel: a matrix of all channels would grow with their square.
        each = layer.weights.shape[3] // channels
        result = np.zeros((samples, rows, cols, layer.weights.shape[3]))
        for i, j in np.ndindex(kh, kw):
            result += np.repeat(patches[..., i, j], each, axis=3) * layer.weights[i, j, 0]
    else:
        unfolded = patches.transpose(0, 1, 2, 4, 5, 3).reshape(
            samples, rows * cols, kh * kw * channels
        )
        kernel = expand_groups(layer.weights.astype(np.float64), layer.groups)
        result = unfolded @ kernel.reshape(kh * kw * channels, layer.weights.shape[3])
    return _limited(layer, result)


def _limited(layer: HostConv, result: NDArray[np.float64]) -> NDArray[np.float64]:
    """(samples, outputs) with bias, clipped and shifted; changes its argument."""
    flat = result.reshape(-1, len(layer.bias))
    flat += layer.bias
    np.clip(flat, 0, float(layer.ceiling), out=flat)
    return np.floor(flat * 2.0**-layer.shift) if layer.shift else flat


def frame_currents(encoder: Encoder, x: FloatArray) -> NDArray[np.int64]:
    """Current of every encoder neuron for each frame of the samples.

    Parameters
    ----------
    x : (samples, *input shape), or (samples, frames, *input shape) for input that changes

    Returns
    -------
    (samples, frames, neurons) int64; a sample that does not change is one frame
    """
    frames = x[:, None] if x.ndim <= 1 + len(encoder.input_shape) else x
    if frames.shape[2:] != encoder.input_shape:
        raise DataError(
            f"samples have shape {tuple(x.shape[1:])}, the network takes {encoder.input_shape}, or "
            "several of that shape as frames over time"
        )
    flat = encoder_currents(encoder, frames.reshape(-1, *encoder.input_shape))
    return flat.reshape(*frames.shape[:2], flat.shape[1])


def n_frames(encoder: Encoder, x: FloatArray) -> int:
    """Frames of each sample; 1 where it does not change."""
    return 1 if x.ndim <= 1 + len(encoder.input_shape) else x.shape[1]


def frame_steps(frames: int, steps: int) -> int:
    """Steps in which each frame is shown; what is left over, behind the last, has no input.

    Raises
    ------
    UsageError
        More frames than steps.
    """
    if frames > steps:
        raise UsageError(
            f"--steps {steps}: each sample has {frames} frames, and one takes a step at least; "
            f"use {frames} steps or more"
        )
    return steps // max(frames, 1)


def encoder_spikes(encoder: Encoder, currents: NDArray[np.int64], steps: int) -> NDArray[np.bool_]:
    """Spikes that the currents cause, step by step.

    Parameters
    ----------
    currents : (samples, neurons), or (samples, frames, neurons)

    Returns
    -------
    (samples, steps, neurons) bool
    """
    currents = currents[:, None] if currents.ndim == 2 else currents
    samples, frames, neurons = currents.shape
    hold = frame_steps(frames, steps)
    spikes = np.zeros((samples, steps, neurons), bool)
    voltage = np.full((samples, neurons), encoder.threshold // 2, np.int64)
    for step in range(min(steps, frames * hold)):
        voltage += currents[:, step // hold]
        spikes[:, step] = voltage >= encoder.threshold
        voltage -= encoder.threshold * spikes[:, step]
    return spikes
