"""How full cores are, layer by layer, and what binds each layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nmcompile.chip.bill import RESOURCES, Bill, core_bill
from nmcompile.chip.program import Program
from nmcompile.hardware import HardwareModel


@dataclass(frozen=True)
class LayerUse:
    """A layer's cores and the fullest use of each resource among them.

    Attributes
    ----------
    layer, shape, neurons : of the layer
    cores : numbers of its cores
    fullest : resource -> (used, limit) on the core where it is fullest
    """

    layer: str
    shape: tuple[int, ...]
    neurons: int
    cores: tuple[int, ...]
    fullest: dict[str, tuple[int, int]]

    @property
    def binding(self) -> str:
        """The resource that is closest to its limit."""
        return max(self.fullest, key=lambda name: self.fullest[name][0] / self.fullest[name][1])

    def sentence(self) -> str:
        """Cores, and the resource that binds, in words."""
        used, limit = self.fullest[self.binding]
        noun = "core" if len(self.cores) == 1 else "cores"
        return (
            f"{len(self.cores)} {noun}; fullest in {RESOURCES[self.binding]}: "
            f"{used:,} of {limit:,} ({used / limit:.0%})"
        )


def core_bills(program: Program, hardware: HardwareModel) -> list[Bill]:
    """The bill of each core."""
    return [core_bill(core, hardware) for core in program.cores]


def network_use(program: Program, hardware: HardwareModel) -> Sequence[LayerUse]:
    """The use of every layer on the chip."""
    bills = core_bills(program, hardware)
    uses = []
    for layer in program.layers:
        cores = tuple(sorted(set(layer.core.tolist())))
        fullest: dict[str, tuple[int, int]] = {}
        for number in cores:
            for resource, used, limit in bills[number].compared(hardware):
                if used >= fullest.get(resource, (0, limit))[0]:
                    fullest[resource] = (used, limit)
        uses.append(LayerUse(layer.name, layer.shape, layer.neurons, cores, fullest))
    return uses
