"""Registers and output axons of the virtual board's cores.

Names, widths and signs are those of registers.json beside this file; an unknown name, or a value
that its field cannot hold, is refused. Plain Python from 3.6 on.
"""

import array
import json
import operator
import os

import numpy as np

#: What no field holds.
MISSING = -(1 << 62)
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


class Written:
    """What was written to a register of a core: for each field an array over the entries."""

    def __init__(self):
        self.used = bytearray()
        self.fields = {}

    def touch(self, index):
        """Note that an entry is used."""
        if index >= len(self.used):
            self.used.extend(bytes(index + 1 - len(self.used)))
        self.used[index] = 1

    def set(self, index, name, value):
        """Set a field of an entry."""
        self.touch(index)
        column = self.fields.setdefault(name, array.array("q"))
        if index >= len(column):
            column.extend(array.array("q", [MISSING]) * (index + 1 - len(column)))
        column[index] = value

    def get(self, index, name):
        """A field of an entry; None where it was never set."""
        column = self.fields.get(name, ())
        value = column[index] if index < len(column) else MISSING
        return None if value == MISSING else value

    def tables(self):
        """(names of fields, entries, (entries, fields) values) of entries that set the same."""
        names = sorted(self.fields)
        values = np.full((len(self.used), len(names)), MISSING, np.int64)
        for k, name in enumerate(names):
            column = np.frombuffer(self.fields[name], np.int64)
            values[: len(column), k] = column
        used = np.flatnonzero(np.frombuffer(bytes(self.used), np.uint8))
        there = values[used] != MISSING
        for pattern in np.unique(there, axis=0):
            mine = used[(there == pattern).all(axis=1)]
            held = tuple(name for name, is_set in zip(names, pattern) if is_set)
            yield held, mine, values[mine][:, pattern]


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
        entries = self.written.setdefault(register, Written())
        entries.touch(index)
        if "." in register and "cxBase" in known["fields"] and not entries.get(index, "cxBase"):
            entries.set(index, "cxBase", 0)

    def write(self, register, index, name, value):
        """Set a field."""
        known = self._known(register, index)
        self.parent.parent.check_writable(register)
        if name not in known["fields"]:
            raise VirtualBoardError("register %s has no field %s" % (register, name))
        value = checked((register, index, name), known["fields"][name], value)
        self.written.setdefault(register, Written()).set(index, name, value)

    def read(self, register, index, name):
        """A field that was set before."""
        found = self.written.get(register, Written()).get(index, name)
        if found is None:
            raise AttributeError("%s[%d].%s was never set" % (register, index, name))
        return found

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
            tuple(checked((call, name), known[name], values[name]) for name in sorted(known))
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


def checked(place, field, value):
    """A whole number that its field can hold; nengo-loihi gives some as floats or truths."""
    try:
        whole = isinstance(value, (float, np.bool_)) and value == int(value)
        value = int(value) if whole else operator.index(value)
    except TypeError:
        raise VirtualBoardError("%s = %r is no whole number" % (named(place), value)) from None
    low = -(1 << (field["bits"] - 1)) if field["signed"] else 0
    high = (1 << (field["bits"] - field["signed"])) - 1
    if not low <= value <= high:
        raise VirtualBoardError("%s = %d is outside %d..%d" % (named(place), value, low, high))
    return value


def named(place):
    """A register, an entry and a field, or a call and an argument, in words."""
    return "%s[%d].%s" % place if len(place) == 3 else "%s.%s" % place
