"""Rates of the chip's neurons as differentiable functions: the true staircase and smooth ones.

All rates are in spikes per time step, all currents in units in which a neuron without leak
reaches its threshold of 1 in a step, or a leaky one in infinite time.
"""

from __future__ import annotations

from math import log, log1p
from typing import Any

from keras import ops

#: Below this, ``log(softplus(x))`` is x in float32.
_TAIL = -15.0


def straight_through(forward: Any, backward: Any) -> Any:
    """The value of one tensor with the gradient of another."""
    return backward + ops.stop_gradient(forward - backward)


def staircase(current: Any, threshold: float, leak: float, pause: int) -> Any:
    """Spikes per step under constant current; the twin of `nmcompile.ir.reference.firing_rate`.

    Parameters
    ----------
    current : input per step, of any shape, in units of the threshold
    leak : share of the voltage that is lost in a step
    pause : steps after a spike in which the voltage stays zero
    """
    fires = current > leak * threshold
    needed = threshold / ops.where(fires, current, threshold)
    if leak:
        needed = ops.where(fires, needed, 0.5 / leak)
        needed = ops.log1p(-leak * needed) / log1p(-leak)
    rate = 1 / (ops.floor(needed) + (1 + pause))
    return ops.where(fires, rate, ops.zeros_like(rate))


def smooth_if(current: Any, pause: int) -> Any:
    """``1 / (1/J + pause + 1/2)``: half a step is what whole steps cost on average."""
    positive = ops.relu(current)
    return positive / (1 + (pause + 0.5) * positive)


def soft_lif(
    current: Any, tau_rc: float, tau_ref: float, smoothing: float, dt: float, offset: float = 0.0
) -> Any:
    """The rate of a leaky neuron whose onset is smoothed, per step of `dt`.

    With j = s · log(1 + exp((J - 1) / s)) in place of max(J - 1, 0), it is
    dt / (tau_ref + tau_rc · log(1 + 1/j)) (Hunsberger and Eliasmith 2015, Spiking deep networks
    with LIF neurons, equation 4).

    Parameters
    ----------
    current : J; constant currents above 1 fire
    tau_rc, tau_ref, dt : in seconds
    smoothing : s
    offset : added to the time between spikes, in steps; 0.5 is what whole steps cost on average
    """
    x = (current - 1) / smoothing
    tail = x < _TAIL
    softplus = ops.softplus(ops.where(tail, _TAIL, x))
    log_j = ops.where(tail, x, ops.log(softplus)) + log(smoothing)
    j = smoothing * softplus
    seconds = tau_ref + tau_rc * (ops.log1p(j) - log_j) + offset * dt
    return dt / seconds
