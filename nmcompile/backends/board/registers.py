"""The chip's registers by NxSDK's public names: widths, signs, numbers of entries, sources.

The table itself is `portable/registers.json`, which images carry along: the virtual board, which
also runs where nmcompile does not, reads the same file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

#: Files that go into every image; plain Python from 3.6 on, and data.
PORTABLE = Path(__file__).parent / "portable"
#: The calls that make output axons; their rows count calls.
AXON_CALLS = {0: "createDiscreteAxon", 16: "createPop16Axon", 32: "createPop32Axon"}
#: Phase of a compartment that takes input (nengo-loihi hardware/builder.py).
PHASE_IDLE = 2
#: Value of `numSynapses` by which NxSDK itself packs synapses (nengo-loihi block.py).
PACKED_BY_SDK = 63
#: Codes of `compression` (nengo-loihi block.py): targets listed one by one, and consecutive.
SPARSE, DENSE = 0, 3
#: What the codes of `wgtBits` and `idxBits` stand for (nengo-loihi block.py).
WEIGHT_BITS = (0, 1, 2, 3, 4, 5, 6, 8)
INDEX_BITS = (0, 6, 7, 8, 9, 10, 11, 12)
#: Dendritic accumulators of a core, 2 to this: slots for compartments times slots for delays.
ACCUMULATORS = 13
#: Bits of a delay that a core always has room for (1,024 compartments).
DELAY_BITS_MIN, DELAY_BITS_MAX = 3, 6
#: Fields of a synapse format that stay 0: learning, tags, and packing by hand.
UNUSED_FORMAT_FIELDS = (
    "wgtLimitMant",
    "wgtLimitExp",
    "discMaxWgt",
    "learningCfg",
    "tagBits",
    "reuseSynData",
    "cIdxOffset",
    "cIdxMult",
    "skipBits",
    "synType",
    "stdpProfile",
    "ignoreDly",
)


@dataclass(frozen=True)
class Field:
    """A field of a register: `bits` in all, a sign among them where `signed`."""

    bits: int
    signed: bool

    @property
    def low(self) -> int:
        """Smallest value."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """Largest value."""
        return (1 << (self.bits - self.signed)) - 1


@dataclass(frozen=True)
class Register:
    """A register of every core.

    Attributes
    ----------
    entries : how many there are, numbered from 0
    fields : name -> field
    source : where names and widths are from
    """

    entries: int
    fields: dict[str, Field]
    source: str


@cache
def registers() -> dict[str, Register]:
    """Name -> register; a part of a register is named with a dot."""
    raw = json.loads((PORTABLE / "registers.json").read_text(encoding="utf-8"))
    return {
        name: Register(
            entries=each["entries"],
            fields={field: Field(**value) for field, value in each["fields"].items()},
            source=each["source"],
        )
        for name, each in raw.items()
    }


def longest_delay(bits: int) -> int:
    """Longest synaptic delay for so many delay bits: one slot is the present, one is being read.

    Six bits give 62 steps, as in NxSDK's public tutorial on delays and in Brian2Loihi.
    """
    return (1 << bits) - 2


def delay_bits(longest: int) -> int:
    """Delay bits that a core needs for delays up to `longest`; more than there are if too long."""
    return max(DELAY_BITS_MIN, (longest + 1).bit_length())


def reachable(bits: int) -> int:
    """Compartments that a core's accumulators reach with so many delay bits."""
    return 1 << (ACCUMULATORS - bits)
