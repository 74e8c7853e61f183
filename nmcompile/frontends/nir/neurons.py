"""NIR's neurons as the chip's: parameters folded into threshold, scale and shift where exact."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nmcompile.frontends.layout import Refused, Tensor
from nmcompile.frontends.nir.dialects import DIALECTS, forgotten, membrane
from nmcompile.frontends.nir.step import NirStep
from nmcompile.ir import nodes

#: Share of a step, as a time constant, in which a voltage forgets everything.
AT_ONCE = 2**-7
#: Relative difference up to which numbers that tools compute in single precision are equal.
EQUAL = 1e-5
#: Relative error of a factor that was rounded on its way through a file.
ROUNDING = 1e-12

Numbers = NDArray[np.float64]


def integrate_and_fire(step: NirStep) -> Tensor:
    return _fire(step, None)


def leaky(step: NirStep) -> Tensor:
    return _fire(step, "tau")


def current_based(step: NirStep) -> Tensor:
    dialect, dt_s = rules(step)
    if dialect == "norse":
        raise Refused(
            "Norse writes a current that jumps with its input and reads one that follows it, so "
            "the file names no rule",
            "use LIFBoxCell, or write the file anew and read it with --dialect nir",
        )
    p = step.parameters
    lost = one_of(forgotten(dialect, dt_s, p.numbers("tau_syn")), "tau_syn")
    w_in = step.per_value("w_in", step.x) if "w_in" in p else np.ones(())
    synapse_s = seconds(lost, dt_s) if lost < 1 else 0.0
    return _fire(step, "tau_mem", synapse_s, w_in)


def _fire(
    step: NirStep, tau: str | None, synapse_s: float = 0.0, w_in: Numbers | float = 1.0
) -> Tensor:
    """Add neurons whose voltage starts at, and a spike sets to, the same value."""
    dialect, dt_s = rules(step)
    x, p = step.x, step.parameters
    given = None if tau is None else step.per_value(tau, x)
    rule = membrane(dialect, dt_s, step.per_value("r", x), given)
    kept = one_of(rule.kept, tau or "leak")
    threshold = step.per_value("v_threshold", x)
    reset = step.per_value("v_reset", x) if "v_reset" in p else np.zeros(())
    if tau is None:
        leak = reset
    else:
        leak = step.per_value("v_leak", x)
        if dialect == "snntorch" and np.any(leak):
            raise Refused("its v_leak is not 0, which snnTorch does not have", "write v_leak as 0")
    start = leak if dialect == "norse" else reset
    if np.any(start != reset):
        raise Refused(
            "it starts at v_leak, but a spike sets it to another v_reset; the chip has one "
            "voltage for both",
            "use equal v_leak and v_reset",
        )
    if np.any(leak != reset):
        step.context.note(f"{step.origin}: voltages start at v_reset")
    if np.any(threshold <= reset):
        raise Refused(
            "a threshold is not above the reset voltage, so it fires without input",
            "use v_threshold above v_reset",
        )
    return _add(
        step, threshold=threshold - reset, gain=rule.gain * w_in,
        shift=(1 - kept) * (leak - reset), tau_rc_s=None if kept == 1 else seconds(1 - kept, dt_s),
        synapse_s=synapse_s, dt_s=dt_s,
    )  # fmt: skip


def threshold(step: NirStep) -> Tensor:
    """A step function: neurons that forget all else than the input of the step."""
    dt_s = step.context.step_s or 1e-3
    limit = step.per_value("threshold", step.x)
    if np.any(limit <= 0):
        raise Refused("its threshold is not positive, so it fires without input", "use one above 0")
    return _add(
        step, threshold=limit, gain=np.ones(()), shift=np.zeros(()), tau_rc_s=AT_ONCE * dt_s,
        synapse_s=0.0, dt_s=dt_s,
    )  # fmt: skip


def rules(step: NirStep) -> tuple[str, float]:
    """Dialect and time step in seconds.

    Raises
    ------
    Refused
        Neither the file nor the user says.
    """
    dialect = step.context.dialect
    if dialect is None:
        raise Refused(
            "the file does not say which tool's rules its neurons follow",
            f"name them with --dialect: {', '.join(DIALECTS)}",
        )
    dt_s = step.context.step_s
    if dt_s is None:
        raise Refused(
            "the file does not say how long a time step is", "give it in seconds with --dt"
        )
    if step.context.dt_s is None:
        step.context.note(f"a time step is {dt_s:g} s, as {dialect} has it; --dt gives another")
    if dialect == "snntorch":
        step.context.note(
            "a spike sets voltages to zero at once, as snntorch.import_from_nir has it; the file "
            "does not say how the network was trained, so use reset_mechanism='zero' and "
            "reset_delay=False there, or --dialect snntorch-reset-delay"
        )
    return DIALECTS[dialect].rules, dt_s


def _add(
    step: NirStep, *, threshold: Numbers, gain: Numbers, shift: Numbers, tau_rc_s: float | None,
    synapse_s: float, dt_s: float,
) -> Tensor:  # fmt: skip
    """Neurons with v = kept * v + gain * x + shift, in units in which the gain is 1."""
    x = step.x
    if np.any(gain == 0):
        raise Refused("the factor on its input is 0, so it does nothing", "leave it out")
    gain = np.where(np.abs(gain - 1) < ROUNDING, 1.0, gain)
    limit = threshold / gain
    factor, offset = np.ones(()), np.asarray(shift / gain)
    if np.any(gain < 0) or not same_values(limit):
        # One threshold for all neurons; each has its own scale instead.
        factor, offset = np.asarray(1 / limit), np.asarray(shift / threshold)
        limit = np.ones(())
    source = x
    if np.any(factor != 1) or np.any(offset):
        source = _scaled(step, factor, offset)
    pause = 0
    if step.context.dialect and (step.looped or step.parameters.node.kind == "CubaLIF"):
        pause = DIALECTS[step.context.dialect].pause
    node = step.add(
        nodes.Spiking, [source.node], own=True, dt_s=dt_s, tau_rc_s=tau_rc_s,
        synapse_s=synapse_s, threshold=float(limit.reshape(-1)[0]), refractory_s=pause * dt_s,
    )  # fmt: skip
    return Tensor(node, x.shape, source.layout)


def _scaled(step: NirStep, factor: Numbers, offset: Numbers) -> Tensor:
    """The input times a factor for each neuron, plus an offset."""
    part = replace(step, name=f"{step.name}/current")
    return part.affine(step.x, factor, offset)


def same_values(values: Numbers) -> bool:
    first = values.reshape(-1)[0]
    return bool(np.allclose(values, first, rtol=EQUAL, atol=0))


def one_of(values: Numbers, key: str) -> float:
    """The one number that all neurons share."""
    if not same_values(values):
        raise Refused(
            f"its neurons have different {key}, but a layer's neurons share their decays",
            f"use one {key} for the layer, or split the layer",
        )
    return float(values.reshape(-1)[0])


def seconds(lost: float, dt_s: float) -> float:
    """Time constant in seconds that forgets a share in a step."""
    if lost >= 1:
        return AT_ONCE * dt_s
    return -dt_s / math.log1p(-lost)
