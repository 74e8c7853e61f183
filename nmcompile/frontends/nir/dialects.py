"""What the tools that write NIR mean by its neurons, as rules for one time step.

NIR gives differential equations and a reset; a network was trained with one tool's steps. Here
each dialect says by how much a neuron forgets in a step, and with what factor its input counts:

    u = (1 - current_leak) * u + current_leak * drive
    v = (1 - leak) * v + gain * (u + shift);   a spike and v = 0 where v > threshold

- `nir`: the equations of the specification, solved over a step in which the input stays constant;
  of CubaLIF, the current first
  (https://github.com/neuromorphs/NIR/blob/main/nir/ir/neuron.py).
- `snntorch`: ``snntorch.import_from_nir`` (1.0.0): beta = 1 - dt / tau with dt = 1e-4, and a reset
  to zero in the step of the spike
  (https://github.com/jeshraghian/snntorch/blob/master/snntorch/import_nir.py).
- `snntorch-reset-delay`: the same, trained with ``reset_delay=True``, snnTorch's default. Its
  `Synaptic`, `RSynaptic` and `RLeaky` then throw away the input of the step after a spike, so that
  the voltage is zero in both; `Leaky` does not. `RSynaptic` of snnTorch 1.0.0 knows no other reset
  (https://github.com/jeshraghian/snntorch/tree/master/snntorch/_neurons).
- `norse`: ``norse.torch.from_nir`` (1.1.0): an Euler step of LIFBoxCell, dt = 1e-3, which starts
  at v_leak, and IAFCell, which adds its input whatever dt is
  (https://github.com/norse/norse/blob/main/norse/torch/functional/lif_box.py and iaf.py beside it).

The neurons of the others cannot be the chip's, which a spike sets to zero; `REFUSED` says why.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nmcompile.frontends.layout import Refused


@dataclass(frozen=True)
class Dialect:
    """What a tool means.

    Attributes
    ----------
    rules : for a step, by the name of the tool
    dt_s : length of a step in seconds where nothing is said; None where the user must
    pause : steps after a spike in which the voltage of neurons with a current, or with recurrent
        connections, stays zero
    """

    rules: str
    dt_s: float | None
    pause: int = 0


DIALECTS: dict[str, Dialect] = {
    "nir": Dialect("nir", None),
    "snntorch": Dialect("snntorch", 1e-4),
    "snntorch-reset-delay": Dialect("snntorch", 1e-4, pause=1),
    "norse": Dialect("norse", 1e-3),
    "sinabs": Dialect("sinabs", 1.0),
    "rockpool": Dialect("rockpool", 1e-3),
    "spyx": Dialect("spyx", 1.0),
    "lava": Dialect("lava", 1.0),
}
_SOFT = "train with a reset to zero, and write the file from a tool that says so (--dialect nir)"
#: Dialect -> why its neurons are refused, and what to do.
#: sinabs (3.1.3): https://github.com/synsense/sinabs, sinabs/nir.py and sinabs/activation;
#: rockpool: https://github.com/synsense/rockpool, rockpool/nn/modules/torch/lif_torch.py;
#: spyx (1.0.0): https://github.com/kmheckel/spyx, spyx/nn.py;
#: lava: https://github.com/lava-nc/lava-dl, src/lava/lib/dl/netx/nir_lava.py.
REFUSED: dict[str, tuple[str, str]] = {
    "sinabs": (
        "a neuron of Sinabs fires several times in a step and subtracts its threshold, and the "
        "file cannot say otherwise",
        "train with SingleSpike, MembraneReset and norm_input, and read the file with "
        "--dialect nir --dt 1",
    ),
    "rockpool": ("a neuron of Rockpool subtracts its threshold for each of its spikes", _SOFT),
    "spyx": ("a neuron of Spyx subtracts its threshold in the step after a spike", _SOFT),
    "lava": (
        "lava-dl writes decays in 4096ths and reads them as shares, so its NIR files name no "
        "time constants",
        "export the network anew from the tool that trained it",
    ),
}
_WITH_R = (
    "its r is not 1, which Norse leaves out",
    "multiply the weights before it by r and write r as 1",
)

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Membrane:
    """One step of a voltage.

    Attributes
    ----------
    kept : share of the voltage that stays, 0 to 1
    gain : factor on the input
    """

    kept: Numbers
    gain: Numbers


def membrane(dialect: str, dt_s: float, r: Numbers, tau: Numbers | None) -> Membrane:
    """A step of a voltage with time constant `tau` in seconds; None for one without leak.

    Raises
    ------
    Refused
        Neurons that a dialect does not have, or that the chip cannot have.
    """
    if dialect in REFUSED:
        raise Refused(*REFUSED[dialect])
    if dialect == "norse" and np.any(r != 1):
        raise Refused(*_WITH_R)
    if tau is None:
        if dialect == "snntorch":
            raise Refused(
                "snnTorch writes no neurons without leak, and reads them with one",
                "use snn.Leaky(beta=1)",
            )
        return Membrane(np.ones(()), r if dialect == "norse" else r * dt_s)
    lost = forgotten(dialect, dt_s, tau)
    return Membrane(1 - lost, r * lost)


def forgotten(dialect: str, dt_s: float, tau: Numbers) -> Numbers:
    """Share of a voltage or current that a step forgets.

    Raises
    ------
    Refused
        A time constant that is not positive, or too short for the step.
    """
    if np.any(tau <= 0):
        raise Refused("a time constant is not positive", "write time constants in seconds")
    if dialect == "nir":
        return np.asarray(-np.expm1(-dt_s / tau))
    lost = dt_s / tau
    if np.any(lost > 1 + 1e-6):
        raise Refused(
            f"its time constant of {tau.min():g} s is shorter than the step of {dt_s:g} s",
            "give the step of the training with --dt",
        )
    return np.asarray(np.minimum(lost, 1))
