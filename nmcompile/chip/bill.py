"""What a core's contents cost: the one cost model of partitioner, verifier and reports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from math import ceil

import numpy as np

from nmcompile.chip.core import DISCRETE, POP32, Core, Formats
from nmcompile.hardware import HardwareModel

#: Field of a bill -> words for people.
RESOURCES = {
    "compartments": "compartments",
    "memory_words": "64-bit words of memory",
    "input_axons": "input axons",
    "output_axon_slots": "output axon slots",
    "profiles": "compartment profiles",
    "threshold_profiles": "threshold profiles",
    "synapse_formats": "synapse formats",
}


@dataclass(frozen=True)
class Bill:
    """How much of each of a core's resources is used.

    `memory_words` counts synapses, and neurons too where a chip keeps both in one memory.
    """

    compartments: int = 0
    memory_words: int = 0
    input_axons: int = 0
    output_axon_slots: int = 0
    profiles: int = 0
    threshold_profiles: int = 0
    synapse_formats: int = 0

    def compared(self, hardware: HardwareModel) -> Iterator[tuple[str, int, int]]:
        """(resource, used, limit) for each resource."""
        for field in fields(self):
            yield field.name, getattr(self, field.name), getattr(hardware.core, field.name).value

    def excess(self, hardware: HardwareModel) -> tuple[str, int, int] | None:
        """The resource that is over its limit by the largest factor, or None."""
        over = [row for row in self.compared(hardware) if row[1] > row[2]]
        return max(over, key=lambda row: row[1] / row[2]) if over else None

    def fullness(self, hardware: HardwareModel) -> float:
        """Use of the fullest resource, 1.0 being the limit."""
        return max(used / limit for _, used, limit in self.compared(hardware))


def index_bits(largest: int, hardware: HardwareModel) -> int:
    """Bits per synapse for target indices up to `largest`; a width that the chip has."""
    needed = int(largest).bit_length()
    return min(bits for bits in hardware.synapse.index_bits.values if bits >= needed)


def block_words(synapses: int, bits_per_synapse: int, hardware: HardwareModel) -> int:
    """64-bit words for the synapses of one block (all atoms).

    They are stored in groups, each with a header and rounded up to whole words
    (nengo-loihi block.py, `bits_per_axon`).
    """
    model = hardware.synapse
    group, header, word = (
        model.group_size.value,
        model.group_header_bits.value,
        model.word_bits.value,
    )
    full, rest = divmod(synapses, group)
    words = full * ceil((group * bits_per_synapse + header) / word)
    if rest:
        words += ceil((rest * bits_per_synapse + header) / word)
    return words


def bits_per_synapse(formats: Formats, k: int) -> int:
    """Bits that one synapse takes in format `k`."""
    bits = int(formats.weight_bits[k]) + int(formats.delay_bits[k])
    return bits if formats.dense[k] else bits + int(formats.index_bits[k])


def neuron_words(compartments: int, hardware: HardwareModel) -> int:
    """Words that compartments take from the memory that they share with synapses."""
    return compartments * hardware.core.words_per_compartment.value


def axon_slots(kind: int, hardware: HardwareModel) -> int:
    """Slots that one output axon takes."""
    return hardware.axon.pop32_slots.value if kind == POP32 else 1


def core_bill(core: Core, hardware: HardwareModel) -> Bill:
    """The bill of a core as its tables stand."""
    blocks = core.blocks
    words = sum(
        block_words(
            int(blocks.atoms[k]) * int(blocks.length[k]),
            bits_per_synapse(core.formats, int(blocks.format[k])),
            hardware,
        )
        for k in range(len(blocks))
    )
    wide = int(np.count_nonzero(core.output_axons.kind == POP32))
    return Bill(
        compartments=len(core.compartments),
        memory_words=words + neuron_words(len(core.compartments), hardware),
        input_axons=len(core.input_axons)
        + len(core.learning) * (hardware.axon.learning_slots.value - 1),
        output_axon_slots=wide * axon_slots(POP32, hardware)
        + (len(core.output_axons) - wide) * axon_slots(DISCRETE, hardware),
        profiles=len(core.profiles),
        threshold_profiles=len(core.thresholds),
        synapse_formats=len(core.formats),
    )
