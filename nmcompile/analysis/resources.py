"""How full cores are, layer by layer: what binds each layer, and how few cores are possible."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nmcompile.analysis.parts import Part, layer_parts
from nmcompile.chip.bill import RESOURCES, Bill, core_bill
from nmcompile.chip.program import Layer, Program
from nmcompile.hardware import HardwareModel

#: Field of a bill -> a word or two, where a number of units does not follow.
TITLES = {**RESOURCES, "memory_words": "memory", "output_axon_slots": "output axons"}

#: Resources that a layer takes the more of, the larger it is, however it is cut.
DIVISIBLE = ("compartments", "memory_words", "input_axons", "output_axon_slots")


@dataclass(frozen=True)
class Least:
    """A lower bound on cores, from a Program's manifest.

    Attributes
    ----------
    cores : at least
    binding : resource that asks for most
    least, shares : resource -> units, and cores' worth of it, at least
    """

    cores: int
    binding: str
    least: Mapping[str, float]
    shares: Mapping[str, float]

    @classmethod
    def of(cls, bound: Mapping[str, Any]) -> Least:
        """From the manifest's entry `bound`."""
        return cls(**{name: bound[name] for name in ("cores", "binding", "least", "shares")})

    def text(self) -> str:
        """``at least 12, by compartments``."""
        return f"at least {self.cores:,}, by {TITLES.get(self.binding, self.binding)}"


@dataclass(frozen=True)
class LayerUse:
    """A layer's cores, and what is used on the one that it fills most.

    Attributes
    ----------
    layer, shape, neurons : of the layer
    cores : numbers of its cores
    shared : other layer -> numbers of cores that it shares with this one
    core : number of the core that this layer fills most
    fullest : resource -> (used, limit) on that core
    own : resource -> used there by this layer
    worth : resource -> cores' worth of it that the layer takes on all its cores
    registers : what its neurons share: `decay_u`, `decay_v`, `refractory`, `threshold_mantissa`;
        and `weight_exponents` of the synapses into it
    bound : the fewest cores that the layer could take; None for a Program without a mapping
    """

    layer: str
    shape: tuple[int, ...]
    neurons: int
    cores: tuple[int, ...]
    shared: Mapping[str, tuple[int, ...]]
    core: int
    fullest: Mapping[str, tuple[int, int]]
    own: Mapping[str, int]
    worth: Mapping[str, float]
    registers: Mapping[str, Any]
    bound: Least | None = None

    @property
    def binding(self) -> str:
        """The resource that is closest to its limit on the core that the layer fills most.

        Rows of small tables, such as formats, count only where they are full.
        """

        def full(name: str) -> float:
            used, limit = self.fullest[name]
            return used / limit if name in DIVISIBLE or used >= limit else 0.0

        return max(self.fullest, key=full)

    def sentence(self) -> str:
        """Cores, the resource that binds, and the compartments that are left, in words."""
        with_others = sorted({core for cores in self.shared.values() for core in cores})
        if not with_others:
            shared = ""
        elif len(with_others) == len(self.cores):
            shared = f", shared with {listed(self.shared)}"
        else:
            shared = f", {len(with_others)} shared with {listed(self.shared)}"
        verb = "needs" if self.bound and len(self.cores) <= self.bound.cores else "takes"
        binding = self.binding
        used, limit = self.fullest[binding]
        mine = self.own[binding]
        by_it = f" ({percent(mine / limit)} by {self.layer})" if mine < used else ""
        taken, room = self.fullest["compartments"]
        unit = "" if binding == "compartments" else " compartments"
        return (
            f"{verb} {counted(len(self.cores), 'core')}{shared}: {TITLES[binding]} "
            f"{percent(used / limit)} full{by_it}, {room - taken:,} of {room:,}{unit} free"
        )


@dataclass(frozen=True)
class NetworkUse:
    """All layers, and what the mapper expects of the network.

    Attributes
    ----------
    cores : in use
    layers : on the chip, in order
    bound : the fewest cores that the network could take; None for a Program without a mapping
    messages : in a step; `total`, `between_chips`, and `hops` of those within a chip
    """

    cores: int
    layers: Sequence[LayerUse]
    bound: Least | None = None
    messages: Mapping[str, float] = field(default_factory=dict)

    @property
    def gap(self) -> float | None:
        """Cores as a multiple of the bound."""
        return self.cores / self.bound.cores if self.bound else None

    def sentence(self) -> str:
        """Cores and their bound, in words."""
        words = counted(self.cores, "core")
        if self.bound is None or self.gap is None:
            return words
        by = TITLES.get(self.bound.binding, self.bound.binding)
        how = f"{self.gap:.2f} times the bound" if self.gap > 1 else "no fewer are possible"
        return f"{words}, at least {self.bound.cores:,} by {by}: {how}"

    def messages_sentence(self) -> str | None:
        """Expected messages, in words; None where none are known."""
        if not self.messages:
            return None
        total = self.messages["total"]
        if not total:
            return "none between cores"
        return (
            f"{total:,.0f} expected a step, {self.messages['between_chips'] / total:.1%} of them "
            f"between chips, {self.messages['hops'] / total:.2f} hops a message"
        )


def core_bills(program: Program, hardware: HardwareModel) -> list[Bill]:
    """The bill of each core."""
    return [core_bill(core, hardware) for core in program.cores]


def network_use(program: Program, hardware: HardwareModel) -> NetworkUse:
    """The use of every layer on the chip, and of the network."""
    bills = core_bills(program, hardware)
    parts = layer_parts(program)
    mapping = program.manifest.get("mapping")
    on_core: list[set[str]] = [set() for _ in program.cores]
    for name, each in parts.items():
        for part in each:
            on_core[part.number].add(name)
    uses = []
    for layer in program.layers:
        cores = tuple(part.number for part in parts[layer.name])
        shared = {
            name: tuple(core for core in cores if name in on_core[core])
            for name in parts
            if name != layer.name
        }
        own = [part_bill(part, bills, hardware) for part in parts[layer.name]]
        most = max(range(len(own)), key=lambda k: own[k].fullness(hardware))
        at = parts[layer.name][most].number
        known = mapping and mapping["layers"].get(layer.name)
        uses.append(
            LayerUse(
                layer=layer.name,
                shape=layer.shape,
                neurons=layer.neurons,
                cores=cores,
                shared={name: with_it for name, with_it in shared.items() if with_it},
                core=at,
                fullest={name: (used, n) for name, used, n in bills[at].compared(hardware)},
                own={name: used for name, used, _ in own[most].compared(hardware)},
                worth=cores_worth(own, hardware),
                registers=_registers(program, layer, parts[layer.name]),
                bound=Least.of(known["bound"]) if known else None,
            )
        )
    return NetworkUse(
        cores=len(program.cores),
        layers=uses,
        bound=Least.of(mapping["bound"]) if mapping else None,
        messages=dict(mapping.get("messages", {})) if mapping else {},
    )


def part_bill(part: Part, bills: Sequence[Bill], hardware: HardwareModel) -> Bill:
    """What a layer takes of a core; the core's whole bill where it is alone there."""
    return bills[part.number] if part.whole else part.bill(hardware)


def cores_worth(bills: Sequence[Bill], hardware: HardwareModel) -> dict[str, float]:
    """Resource -> cores' worth of it in all bills together."""
    return {
        name: sum(getattr(bill, name) for bill in bills) / getattr(hardware.core, name).value
        for name in DIVISIBLE
    }


def _registers(program: Program, layer: Layer, parts: Sequence[Part]) -> dict[str, Any]:
    """What a layer's neurons share, read from the first, and the scales of its weights."""
    core, row = program.cores[int(layer.core[0])], int(layer.compartment[0])
    profile = int(core.compartments.profile[row])
    exponents: set[int] = set()
    for part in parts:
        formats = np.unique(part.core.blocks.format[part.blocks])
        exponents |= set(part.core.formats.exponent[formats].tolist())
    return {
        "decay_u": int(core.profiles.decay_u[profile]),
        "decay_v": int(core.profiles.decay_v[profile]),
        "refractory": int(core.profiles.refractory[profile]),
        "threshold_mantissa": int(core.thresholds.mantissa[core.compartments.threshold[row]]),
        "weight_exponents": sorted(exponents),
    }


def counted(number: int, noun: str) -> str:
    """``1 core``, ``2 cores``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def percent(share: float) -> str:
    """``97 %``; never ``100 %`` where something is left."""
    return "over 99 %" if 0.995 <= share < 1 else f"{share:.0%}".replace("%", " %")


def listed(names: Iterable[str]) -> str:
    """``a, b and c``."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
