"""Lower bounds: what no cut of a layer, and no packing of a network, can fall below.

They hold for every mapping of the mapper's kind: a neuron is on one core, a population is of one
place, and the weights of a kernel are stored once at least, those of equal rows or columns of it
once together. Of a sparse matrix, whose blocks are shared wherever they turn out equal, nothing
is sure but that each value is stored. Shares are in cores: 2.5 cores' worth of compartments need
three cores, or two and half of one that other layers are on too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from nmcompile.chip.bill import block_words, neuron_words
from nmcompile.hardware import HardwareModel
from nmcompile.mapper.entry import synapse_bits
from nmcompile.mapper.problem import Problem

#: Resources that a bound is known for, as in `chip.bill.Bill`.
BOUNDED = ("compartments", "memory_words", "input_axons", "output_axon_slots")


@dataclass(frozen=True)
class Bound:
    """The least that something takes.

    Attributes
    ----------
    least : resource -> units of it, such as words
    shares : resource -> cores' worth of it
    """

    least: Mapping[str, float]
    shares: Mapping[str, float]

    @property
    def cores(self) -> int:
        """Cores, at least."""
        return max(1, ceil(max(self.shares.values()) - 1e-9))

    @property
    def binding(self) -> str:
        """The resource that asks for most cores."""
        return max(self.shares, key=lambda name: self.shares[name])


def layer_bound(problem: Problem, layer: str) -> Bound:
    """The least that one layer takes."""
    hardware = problem.hardware
    size = problem.layers[layer].size
    links = [problem.links[k] for k in problem.into[layer]]
    words = sum(
        link.least_synapses() * words_per_synapse(synapse_bits(link.connection), hardware)
        for link in links
    )
    most = hardware.axon.pop32_atoms.value
    sent = [problem.links[k].least_axons(most) for k in problem.out_of[layer]]
    return _bound(
        hardware,
        {
            "compartments": size,
            "memory_words": words + neuron_words(size, hardware),
            "input_axons": sum(link.least_axons(most) for link in links),
            "output_axon_slots": sum(sent),
        },
    )


def network_bound(problem: Problem) -> Bound:
    """The least that all layers take together, if their pieces packed without any loss."""
    bounds = [layer_bound(problem, name) for name in problem.layers]
    total = {name: sum(bound.least[name] for bound in bounds) for name in BOUNDED}
    return _bound(problem.hardware, total)


def _bound(hardware: HardwareModel, least: Mapping[str, float]) -> Bound:
    shares = {name: units / getattr(hardware.core, name).value for name, units in least.items()}
    return Bound(dict(least), shares)


def words_per_synapse(bits: int, hardware: HardwareModel) -> float:
    """The least words that a synapse of so many bits takes, without an index, in a good group."""
    group = hardware.synapse.group_size.value
    return min(block_words(n, bits, hardware) / n for n in range(1, group + 1))
