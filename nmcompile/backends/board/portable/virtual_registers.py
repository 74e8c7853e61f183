"""Registers and output axons of the virtual board's cores.

Names, widths and signs are those of registers.json beside this file; an unknown name, or a value
that its field cannot hold, is refused. Plain Python from 3.6 on.
"""

import json
import operator
import os

import numpy as np

#: Ids of cores are not their places, so that the two show if mixed up.
FIRST_CORE_ID = 4
AXON_CALLS = ("createDiscreteAxon", "createPop16Axon", "createPop32Axon")


class VirtualBoardError(Exception):
    """Something that a board would not do."""


def load_registers():
    """Register -> {"entries": number, "fields": {name: {"bits": number, "signed": bool}}}."""
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "registers.json")) as file:
        return json.load(file)


class Entry:
    """An entry of a register; setting an attribute sets a field, `configure` several."""

    __slots__ = ("_core", "_index", "_register")

    def __init__(self, core, register, index):
        object.__setattr__(self, "_core", core)
        object.__setattr__(self, "_register", register)
        object.__setattr__(self, "_index", index)

    def configure(self, **fields):
        """Set fields."""
        self._core.touch(self._register, self._index)
        for name, value in fields.items():
            self._core.write(self._register, self._index, name, value)

    def __setattr__(self, name, value):
        self._core.write(self._register, self._index, name, value)

    def __getattr__(self, name):
        part = "%s.%s" % (self._register, name)
        if part in self._core.registers:
            return Entry(self._core, part, self._index)
        return self._core.read(self._register, self._index, name)


class RegisterFile:
    """All entries of a register of a core."""

    __slots__ = ("_core", "_register")

    def __init__(self, core, register):
        object.__setattr__(self, "_core", core)
        object.__setattr__(self, "_register", register)

    def __getitem__(self, index):
        return Entry(self._core, self._register, operator.index(index))

    def __setattr__(self, name, value):
        setattr(self._single(), name, value)

    def __getattr__(self, name):
        return getattr(self._single(), name)

    def _single(self):
        if self._core.registers[self._register]["entries"] != 1:
            raise VirtualBoardError("%s has several entries; name one" % self._register)
        return self[0]

    def place(self):
        """The core that this belongs to, and the register's name."""
        return self._core, self._register


class Core:
    """A core: registers by their names, and calls that make output axons."""

    def __init__(self, chip, position):
        self.parent = chip
        self.position = position
        self.id = FIRST_CORE_ID + position
        self.registers = chip.parent.registers
        self.written = {}
        self.calls = {name: [] for name in AXON_CALLS}

    def __getattr__(self, name):
        registers = self.__dict__.get("registers", {})
        if name in registers or any(each.startswith(name + ".") for each in registers):
            return RegisterFile(self, name)
        raise VirtualBoardError("a core has no register %s" % name)

    def touch(self, register, index):
        """Note that an entry is used, with a base of 0 where it has one."""
        known = self._known(register, index)
        entry = self.written.setdefault(register, {}).setdefault(index, {})
        if "." in register and "cxBase" in known["fields"]:
            entry.setdefault("cxBase", 0)

    def write(self, register, index, name, value):
        """Set a field."""
        known = self._known(register, index)
        self.parent.parent.check_writable(register)
        if name not in known["fields"]:
            raise VirtualBoardError("register %s has no field %s" % (register, name))
        self.written.setdefault(register, {}).setdefault(index, {})[name] = checked(
            "%s[%d].%s" % (register, index, name), known["fields"][name], value
        )

    def read(self, register, index, name):
        """A field that was set before."""
        try:
            return self.written[register][index][name]
        except KeyError:
            raise AttributeError("%s[%d].%s was never set" % (register, index, name)) from None

    def createDiscreteAxon(self, srcCxId, dstChipId, dstCoreId, dstSynMapId):
        """An output axon of a compartment."""
        self._axon(
            "createDiscreteAxon",
            srcCxId=srcCxId,
            dstChipId=dstChipId,
            dstCoreId=dstCoreId,
            dstSynMapId=dstSynMapId,
        )

    def createPop16Axon(self, **fields):
        """An output axon of a compartment of a population of up to 32."""
        self._axon("createPop16Axon", **fields)

    def createPop32Axon(self, **fields):
        """An output axon of a compartment of a population."""
        self._axon("createPop32Axon", **fields)

    def _axon(self, call, **fields):
        self.parent.parent.check_writable(call)
        known = self.registers[call]["fields"]
        if set(fields) != set(known):
            raise VirtualBoardError("%s takes %s" % (call, ", ".join(sorted(known))))
        chip = self.parent.parent.chip_of(fields["dstChipId"])
        core = chip.core_of(fields["dstCoreId"])
        values = dict(fields, dstChipId=chip.position, dstCoreId=core.position)
        self.calls[call].append(
            tuple(
                checked("%s.%s" % (call, name), known[name], values[name]) for name in sorted(known)
            )
        )

    def _known(self, register, index):
        known = self.registers.get(register)
        if known is None:
            raise VirtualBoardError("there is no register %s" % register)
        if not 0 <= index < known["entries"]:
            raise VirtualBoardError(
                "%s[%d]: entries are 0 to %d" % (register, index, known["entries"] - 1)
            )
        return known


def checked(what, field, value):
    """A whole number that its field can hold; nengo-loihi gives some as floats or truths."""
    try:
        whole = isinstance(value, (float, np.bool_)) and value == int(value)
        value = int(value) if whole else operator.index(value)
    except TypeError:
        raise VirtualBoardError("%s = %r is no whole number" % (what, value)) from None
    low = -(1 << (field["bits"] - 1)) if field["signed"] else 0
    high = (1 << (field["bits"] - field["signed"])) - 1
    if not low <= value <= high:
        raise VirtualBoardError("%s = %d is outside %d..%d" % (what, value, low, high))
    return value
