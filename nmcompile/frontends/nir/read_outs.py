"""NIR's voltages that never fire: what a network adds up, and a host reads at the end."""

from __future__ import annotations

import numpy as np

from nmcompile.frontends.layout import Refused, Tensor
from nmcompile.frontends.nir.dialects import forgotten, membrane
from nmcompile.frontends.nir.neurons import Numbers, one_of, rules, seconds
from nmcompile.frontends.nir.step import NirStep
from nmcompile.ir import nodes


def integrator(step: NirStep) -> Tensor:
    """A voltage that is read at the end, as the mean of what drives it."""
    _check_last(step)
    dialect, dt_s = rules(step)
    rule = membrane(dialect, dt_s, step.per_value("r", step.x), None)
    step.context.note(
        f"{step.origin}: the network gives the mean per step of what is added up; times the steps, "
        "it is the voltage at the end"
    )
    return _times(step, rule.gain)


def leaky(step: NirStep) -> Tensor:
    return _leaky(step, "tau", 0.0, np.ones(()))


def leaky_with_current(step: NirStep) -> Tensor:
    dialect, dt_s = rules(step)
    p = step.parameters
    lost = one_of(forgotten(dialect, dt_s, p.numbers("tau_syn")), "tau_syn")
    w_in = step.per_value("w_in", step.x) if "w_in" in p else np.ones(())
    return _leaky(step, "tau_mem", seconds(lost, dt_s) if lost < 1 else 0.0, w_in)


def _leaky(step: NirStep, tau: str, synapse_s: float, w_in: Numbers) -> Tensor:
    """A voltage that forgets; what it settles at, for the mean of its input."""
    _check_last(step)
    dialect, dt_s = rules(step)
    r = step.per_value("r", step.x)
    kept = one_of(membrane(dialect, dt_s, r, step.per_value(tau, step.x)).kept, tau)
    if np.any(step.per_value("v_leak", step.x)):
        raise Refused("its v_leak is not 0", "add it to the bias before")
    step.context.note(
        f"{step.origin}: its voltage is read at the end of a sample, and given as what it would "
        "settle at for the mean input, in which late steps count more"
    )
    x = _times(step, r * w_in)
    node = step.add(nodes.Leaky, [x.node], tau_s=seconds(1 - kept, dt_s), synapse_s=synapse_s)
    return Tensor(node, x.shape, x.layout)


def _check_last(step: NirStep) -> None:
    if not step.final:
        raise Refused(
            "its voltage is read by other nodes, but a chip sends spikes",
            "use it as the last node, or a neuron that fires",
        )


def _times(step: NirStep, factor: Numbers) -> Tensor:
    return step.x if np.all(factor == 1) else step.affine(step.x, factor, np.zeros(()))
