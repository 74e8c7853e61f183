"""Round weights so that what a layer computes changes least, rather than the weights.

Weights are rounded one input after the other, and what an input's weights lost is made up for
by those still to come, as far as inputs go together: error feedback along the fan-in, with the
second moments of the inputs (Hassibi and Stork 1993; Frantar et al. 2022, "GPTQ").
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip.arithmetic import mantissa_range, mantissa_span, mantissa_step
from nmcompile.chip.discrete import DiscreteConnection
from nmcompile.ir.layers import Connection
from nmcompile.ir.nodes import FloatArray
from nmcompile.ir.reference import pad, windows

#: Inputs of a neuron up to which their second moments are worth computing.
MOST_INPUTS = 4096
#: Windows of calibration samples that moments are taken of.
MOST_WINDOWS = 1 << 15
#: Share of the mean moment that is added to all, so that the matrix can be inverted.
DAMPING = 0.01
#: What the largest weights are cut to, as shares of the largest, of which the best is taken.
CUTS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)


def second_moments(link: Connection, rates: FloatArray) -> NDArray[np.float64] | None:
    """(inputs, inputs) mean products of what a neuron's inputs send; None where not worth it.

    Parameters
    ----------
    rates : (samples, source neurons) mean input
    """
    inputs = prod(link.weights.shape[:3])
    if link.window.groups != 1 or inputs > MOST_INPUTS:
        return None
    rows, cols = link.out_shape[:2]
    samples = rates[: max(1, MOST_WINDOWS // (rows * cols))]
    gathered = np.where(link.view >= 0, samples[:, link.view], np.float32(0))
    window = link.window
    seen = windows(pad(gathered, window.padding), window.kernel, window.stride, window.dilation)
    flat = seen.transpose(0, 1, 2, 4, 5, 3).reshape(-1, inputs)
    return (flat.T @ flat).astype(np.float64) / len(flat)


def best_cut(
    link: Connection, made: DiscreteConnection, moments: NDArray[np.float64]
) -> Connection:
    """The connection with its largest weights cut to what rounds to the least output error.

    Parameters
    ----------
    made : the same, rounded to the nearest; of it come bits and sign mode
    """
    flat = link.weights.reshape(-1, link.weights.shape[3]).astype(np.float64)
    largest = float(np.abs(flat).max(initial=0))
    levels = mantissa_span(made.weight_bits, made.sign_mode) // mantissa_step(
        made.weight_bits, made.sign_mode
    )
    best, least = flat, np.inf
    for share in CUTS if largest else ():
        unit = share * largest / levels
        cut = np.clip(flat, -share * largest, share * largest)
        lost = np.rint(cut / unit) * unit - flat
        error = float((lost * (moments @ lost)).sum())
        if error < 0.98 * least:
            best, least = cut, error
    return replace(link, weights=best.reshape(link.weights.shape).astype(np.float32))


def round_for_output(
    link: Connection, made: DiscreteConnection, moments: NDArray[np.float64]
) -> Connection:
    """The connection with weights that discretise to mantissas chosen for the least output error.

    Parameters
    ----------
    made : the same, rounded to the nearest; of it come exponent, step and scale
    """
    mantissas = made.link.weights.reshape(-1, link.weights.shape[3]).astype(np.float64)
    flat = link.weights.reshape(mantissas.shape).astype(np.float64)
    power = float((mantissas * flat).sum())
    if not power:
        return link
    step = max(mantissa_step(made.weight_bits, made.sign_mode), 1 << max(0, -made.exponent))
    largest = np.unravel_index(np.abs(flat).argmax(), flat.shape)
    unit = abs(flat[largest] / mantissas[largest])
    low, high = (bound / step for bound in mantissa_range(made.sign_mode))
    wanted = flat / (unit * step)
    fixed = np.abs(mantissas) >= np.abs(mantissas).max()
    whole = feedback_rounding(wanted, moments, np.ceil(low), np.floor(high), fixed)
    return replace(
        link, weights=(whole * step * unit).reshape(link.weights.shape).astype(np.float32)
    )


def feedback_rounding(
    wanted: NDArray[np.float64],
    moments: NDArray[np.float64],
    low: float,
    high: float,
    fixed: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """(inputs, outputs) whole numbers whose products with the inputs differ least from wanted.

    Parameters
    ----------
    wanted : (inputs, outputs)
    moments : (inputs, inputs) second moments of the inputs
    low, high : range of the whole numbers
    fixed : (inputs, outputs) which are rounded to the nearest, whatever was lost before
    """
    damped = moments + np.eye(len(moments)) * max(DAMPING * float(np.diag(moments).mean()), 1e-12)
    upper = np.linalg.cholesky(np.linalg.inv(damped)).T
    left = wanted.copy()
    result = np.empty_like(wanted)
    for k in range(len(wanted)):
        near = np.where(fixed[k], wanted[k], left[k])
        result[k] = np.clip(np.rint(near), low, high)
        lost = (left[k] - result[k]) / upper[k, k]
        left[k + 1 :] -= upper[k, k + 1 :, None] * lost
    return result
