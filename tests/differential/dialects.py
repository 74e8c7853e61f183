"""What each reference emulator can be told and shown; random Programs leave out the rest."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch


@dataclass(frozen=True)
class Dialect:
    """What random Programs may contain so that a reference has an equal for all of it.

    Attributes
    ----------
    reference : name of the emulator, as in texts
    steps : that every Program runs for
    cores, profiles, thresholds, formats : at most so many; so many of each in one core
    size : most compartments of a core that is no grid
    level : largest exponent around which a core's weights and thresholds lie
    biases, refractory, delays : whether compartments and synapses have them
    limits : whether a core may have other vmin and vmax than the widest
    repeats : whether two synapses of a row may go to the same compartment
    shifts_sums : whether negative weight exponents shift sums of mantissas, not each: then
        mantissas are multiples that lose nothing
    lowest_weight : whether a weight can be -(2**21), mantissa -256 at exponent 7
    wraps : what of "accumulator", "current" and "drive" wraps around as on the chip
    clips : whether a voltage is clipped as on the chip
    not_met : patterns of what cannot be covered, for `exercised`
    """

    reference: str
    steps: int
    cores: int
    profiles: int
    thresholds: int
    formats: int
    size: int = 60
    level: int = 7
    biases: bool = True
    refractory: bool = True
    delays: bool = True
    limits: bool = True
    repeats: bool = True
    shifts_sums: bool = False
    lowest_weight: bool = True
    wraps: frozenset[str] = frozenset()
    clips: bool = True
    not_met: tuple[str, ...] = ()

    def meets(self, name: str) -> bool:
        """Whether Programs of this dialect can cover something that `exercised` names."""
        return not any(fnmatch(name, pattern) for pattern in self.not_met)


NENGO_LOIHI = Dialect(
    reference="nengo-loihi",
    steps=36,
    cores=4,
    profiles=6,
    thresholds=8,
    formats=6,
    delays=False,
    repeats=False,
    wraps=frozenset({"accumulator", "current", "drive"}),
    not_met=("delay [!0]*", "two synapses of a row on one compartment"),
)
BRIAN2_LOIHI = Dialect(
    reference="Brian2Loihi",
    steps=80,
    cores=3,
    profiles=2,
    thresholds=1,
    formats=2,
    size=30,
    level=5,
    biases=False,
    limits=False,
    lowest_weight=False,
    clips=False,
    not_met=(
        "bias mantissa [!0]*",
        "bias exponent *",
        "vmin exponent ?",
        "vmin exponent *..*",
        "vmax exponent [0-6]",
        "* wraps around",
        "voltage clipped to vm??",
    ),
)
LAVA = Dialect(
    reference="Lava",
    steps=72,
    cores=4,
    profiles=1,
    thresholds=1,
    formats=2,
    size=24,
    level=6,
    refractory=False,
    limits=False,
    shifts_sums=True,
    wraps=frozenset({"current"}),
    not_met=(
        "refractory [!1]*",
        "vmin exponent ?",
        "vmin exponent *..*",
        "vmax exponent [0-6]",
        "accumulator alone wraps around",
        "current plus bias wraps around",
        "voltage clipped to vmax",
        "voltage held at 0 after a spike",
    ),
)
DIALECTS = {"nengo-loihi": NENGO_LOIHI, "brian2-loihi": BRIAN2_LOIHI, "lava": LAVA}
