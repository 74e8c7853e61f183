"""A board that is not there: takes NxSDK's calls, keeps register fields, runs them by nmcompile.

Plain Python from 3.6 on with NumPy. Names, widths and signs of registers are in registers.json
beside this file; an unknown name or a value that its field cannot hold is refused. The board
keeps nothing else: to run, it hands the fields and the spikes that were sent to the emulator of
nmcompile, in this Python or in another (NMCOMPILE_PYTHON).

Faults for rehearsals: NMCOMPILE_VIRTUAL_FAULT=KIND:RUN lets the run of that number, counted from
1 over all processes that share the folder NMCOMPILE_VIRTUAL_STATE, go wrong; KIND is one of
hang, lost, taken, exception, short, fewer, kill, corrupt.
"""

import io
import json
import operator
import os
import signal
import struct
import subprocess
import sys
import time

import numpy as np

try:
    from nmcompile.backends.board.portable.virtual_snip import Snip
except Exception:
    # In the folder of an image, and where nmcompile does not run.
    from virtual_snip import Snip

HERE = os.path.dirname(os.path.abspath(__file__))
FAULTS = ("hang", "lost", "taken", "exception", "short", "fewer", "kill", "corrupt")
#: Numbers by which cores and chips are called; not their places, so that the two show if mixed up.
FIRST_CORE_ID = 4
CHIP_ID_STEP = 2
AXON_CALLS = ("createDiscreteAxon", "createPop16Axon", "createPop32Axon")
#: What probes call a quantity, and what the emulator does.
QUANTITIES = {"spike": "spikes", "u": "u", "v": "v"}


class VirtualBoardError(Exception):
    """Something that a board would not do."""


def load_registers():
    """Register -> {"entries": number, "fields": {name: {"bits": number, "signed": bool}}}."""
    with open(os.path.join(HERE, "registers.json")) as file:
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


class Chip:
    """A chip and its cores."""

    def __init__(self, board, position, cores):
        self.parent = board
        self.position = position
        self.id = 1 + CHIP_ID_STEP * position
        self.n2CoresAsList = [Core(self, k) for k in range(cores)]
        self.n2Cores = self.n2CoresAsList
        self.numCores = cores

    def core_of(self, number):
        """The core of an id."""
        for core in self.n2CoresAsList:
            if core.id == number:
                return core
        raise VirtualBoardError("chip %d has no core of id %s" % (self.id, number))


class TimeSeries:
    """What a probe saw, one value a step."""

    def __init__(self):
        self.data = []


class Probe:
    """A probe of one compartment."""

    def __init__(self, place, quantity):
        self.place = place
        self.quantity = quantity
        self.timeSeries = TimeSeries()


class Monitor:
    """Makes probes."""

    def __init__(self, board):
        self.board = board
        self.probes = []

    def probe(self, state, compartments, quantity):
        """A list of one probe a compartment: of "u", "v" or "spike"."""
        core, register = state.place()
        if register != "cxState" or quantity not in QUANTITIES:
            raise VirtualBoardError("%s cannot be probed for %s" % (register, quantity))
        self.board.check_writable("a probe")
        made = [
            Probe((core.parent.position, core.position, int(each)), quantity)
            for each in compartments
        ]
        self.probes += made
        return made


class Phase:
    """When SNIPs run; as NxSDK's enumeration."""

    EMBEDDED_MGMT = "mgmt"


class Executor:
    """Whether the board runs."""

    def __init__(self):
        self.started = False

    def hasStarted(self):
        """As of NxSDK's executor."""
        return self.started


class N2Board:
    """The board; as NxSDK's class, whose arguments it takes."""

    def __init__(self, id, numChips, numCores, initNumSynapses=None):
        self.id = id
        self.numChips = numChips
        self.registers = load_registers()
        self.n2Chips = [Chip(self, k, numCores[k]) for k in range(numChips)]
        self.monitor = Monitor(self)
        self.executor = Executor()
        self.generators = []
        self.snips = []
        self.time = 0
        self.engine = None
        self.state = os.environ.get("NMCOMPILE_VIRTUAL_STATE")
        self.fault = parsed_fault(os.environ.get("NMCOMPILE_VIRTUAL_FAULT", ""))
        self.locked = False
        self.runs = 0

    def start(self):
        """Take the board."""
        if self.executor.started:
            return
        if self.fault and self.fault == ("taken", self._runs_so_far() + 1):
            self._count_run()
            raise VirtualBoardError("the board is taken by another process")
        self._lock()
        self.executor.started = True

    def run(self, steps, aSync=False):
        """Advance the board."""
        self.start()
        number = self._count_run()
        kind = self.fault[0] if self.fault and self.fault[1] == number else None
        if kind == "hang":
            time.sleep(3600)
        if kind == "lost":
            raise ConnectionError("the connection to the board was lost")
        if kind == "exception":
            raise RuntimeError("NxSDK failed")
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        sent = self._sent(steps)
        if kind == "fewer":
            sent = sent[: len(sent) // 2]
        if self.engine is None:
            self.engine = make_engine()
            places = np.unique(self._sent(None)[:, 1:], axis=0)
            self.engine.call("load", dict(self.arrays(), places=places))
        for start, stop, due in self._parts(steps):
            mine = sent[(sent[:, 0] >= start) & (sent[:, 0] < stop)] - [start, 0, 0, 0, 0]
            self._run_probes(stop - start, mine, kind)
            if due:
                self.engine.call("restart", {})
        self.time += steps

    def createSnip(self, phase, name, cFilePath, includeDir, funcName, guardName, chipId):
        """A SNIP in C that runs at the end of steps."""
        self.check_writable("a SNIP")
        if phase != Phase.EMBEDDED_MGMT:
            raise VirtualBoardError("SNIP %s: its phase %s is not known" % (name, phase))
        snip = Snip(self.chip_of(chipId), cFilePath, includeDir, funcName, guardName)
        self.snips.append(snip)
        return snip

    def _parts(self, steps):
        """(start, stop, whether the chips are reset then), in steps of this run."""
        found = []
        start = 0
        for stop in range(1, steps + 1):
            at = self.time + stop
            due = [snip for snip in self.snips if snip.due(at)]
            if due:
                if {snip.chip for snip in due} != set(self.n2Chips):
                    raise VirtualBoardError("SNIPs reset some chips in step %d, not all" % at)
                for snip in due:
                    snip.run(at)
            if due or stop == steps:
                found.append((start, stop, bool(due)))
                start = stop
        return found

    def finishRun(self):
        """Wait for a run that was started asynchronously; here all are over."""

    def disconnect(self):
        """Give the board back."""
        if self.engine is not None:
            self.engine.close()
            self.engine = None
        self.executor.started = False
        if self.locked:
            os.remove(self._path("board.lock"))
            self.locked = False

    def check_writable(self, what):
        """Registers are written before the first run."""
        if self.engine is not None:
            raise VirtualBoardError("%s is written after the first run" % what)

    def chip_of(self, number):
        """The chip of an id."""
        for chip in self.n2Chips:
            if chip.id == number:
                return chip
        raise VirtualBoardError("there is no chip of id %s" % number)

    def arrays(self):
        """All register fields as named arrays, in the form of a register image."""
        rows = {}
        for chip in self.n2Chips:
            for core in chip.n2CoresAsList:
                for register, entries in core.written.items():
                    for index, fields in sorted(entries.items()):
                        key = (register, tuple(sorted(fields)))
                        place = (chip.position, core.position, index)
                        values = tuple(fields[name] for name in key[1])
                        rows.setdefault(key, []).append(place + values)
                for call, made in core.calls.items():
                    key = (call, tuple(sorted(self.registers[call]["fields"])))
                    for index, values in enumerate(made):
                        place = (chip.position, core.position, index)
                        rows.setdefault(key, []).append(place + values)
        found = {"cores": np.array([chip.numCores for chip in self.n2Chips], np.int64)}
        for number, ((register, names), held) in enumerate(sorted(rows.items())):
            table = np.array(held, np.int64)
            for k, name in enumerate(("chip", "core", "index", *names)):
                found["%s.%d/%s" % (register, number, name)] = table[:, k]
        return found

    def _sent(self, steps):
        """(spikes, 5) step of this run from 0 on, chip, core, axon and atom."""
        rows = [
            (at - self.time - 1, chip, core, axon, atom)
            for generator in self.generators
            for at, chip, core, axon, atom in generator.spikes
            if steps is None or self.time < at <= self.time + steps
        ]
        return np.array(sorted(rows), np.int64).reshape(-1, 5)

    def _run_probes(self, steps, sent, kind):
        """Advance, and give each probe what it saw."""
        probes = self.monitor.probes
        places = np.array([each.place for each in probes], np.int64).reshape(-1, 3)
        places, column = np.unique(places, axis=0, return_inverse=True)
        wanted = sorted({QUANTITIES[each.quantity] for each in probes})
        request = {"steps": np.array(steps), "sent": sent, "probed": places}
        request["quantities"] = np.array(",".join(wanted))
        answer = self.engine.call("run", request)
        series = {}
        for quantity in wanted:
            values = answer[quantity].astype(np.int64)
            if kind == "short":
                values = values[: steps // 2]
            if kind == "corrupt":
                values = values + (1 << 30)
            series[quantity] = values.T.tolist()
        for probe, k in zip(probes, column.reshape(-1).tolist()):
            probe.timeSeries.data.extend(series[QUANTITIES[probe.quantity]][k])

    def _runs_so_far(self):
        if self.state is None:
            return self.runs
        path = self._path("runs")
        return os.path.getsize(path) if os.path.exists(path) else 0

    def _count_run(self):
        """Number of this run among those of all processes with the same folder."""
        if self.state is None:
            self.runs += 1
            return self.runs
        with open(self._path("runs"), "a") as file:
            file.write(".")
        return self._runs_so_far()

    def _lock(self):
        if self.state is None:
            return
        path = self._path("board.lock")
        if os.path.exists(path):
            with open(path) as file:
                owner = int(file.read() or 0)
            if owner != os.getpid() and alive(owner):
                raise VirtualBoardError("the board is taken by process %d" % owner)
        with open(path, "w") as file:
            file.write(str(os.getpid()))
        self.locked = True

    def _path(self, name):
        return os.path.join(self.state, name)


class BasicSpikeGenerator:
    """Spikes of the host: sent at the end of a step, counted from 1; they act in the next."""

    def __init__(self, board):
        self.board = board
        self.spikes = []
        board.generators.append(self)

    def addSpike(self, time, chipId, coreId, axonId):
        """A spike into a discrete axon."""
        self._add(time, chipId, coreId, axonId, 0)

    def addPop16Spike(self, time, chipId, coreId, axonId, srcAtom, atomBits):
        """A spike of an atom into a pop16 axon."""
        if atomBits != 0:
            raise VirtualBoardError("atomBits is %s, 0 is known" % atomBits)
        self._add(time, chipId, coreId, axonId, srcAtom)

    def addPop32Spike(self, time, chipId, coreId, axonId, srcAtom):
        """A spike of an atom into a pop32 axon."""
        self._add(time, chipId, coreId, axonId, srcAtom)

    def _add(self, at, chip_id, core_id, axon, atom):
        if at <= self.board.time:
            raise VirtualBoardError("a spike for step %d, which is over" % at)
        chip = self.board.chip_of(chip_id)
        place = (chip.position, chip.core_of(core_id).position)
        self.spikes.append((int(at), *place, int(axon), int(atom)))


def parsed_fault(text):
    """(kind, run) of ``KIND:RUN``; None without."""
    if not text:
        return None
    kind, _, number = text.partition(":")
    if kind not in FAULTS:
        raise VirtualBoardError("no fault is called %s; there are %s" % (kind, ", ".join(FAULTS)))
    return kind, int(number or 1)


def alive(process):
    """Whether a process of this number runs."""
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True


def make_engine():
    """nmcompile's emulator: in this Python if it has nmcompile, else in NMCOMPILE_PYTHON."""
    python = os.environ.get("NMCOMPILE_PYTHON")
    if python:
        return RemoteEngine(python)
    try:
        from nmcompile.backends.board.engine import Engine
    except Exception:
        raise VirtualBoardError(
            "this Python %d.%d has no nmcompile, whose emulator the virtual board runs on; name "
            "one that has it in NMCOMPILE_PYTHON" % sys.version_info[:2]
        ) from None
    return Engine()


class RemoteEngine:
    """The engine in another Python: messages of 8 bytes of length and an .npz each way."""

    def __init__(self, python):
        self.process = subprocess.Popen(
            [python, "-m", "nmcompile.backends.board.engine"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def call(self, command, arrays):
        """Arrays of the answer."""
        buffer = io.BytesIO()
        np.savez(buffer, command=np.array(command), **arrays)
        data = buffer.getvalue()
        try:
            self.process.stdin.write(struct.pack("<Q", len(data)) + data)
            self.process.stdin.flush()
            size = struct.unpack("<Q", self._read(8))[0]
            with np.load(io.BytesIO(self._read(size)), allow_pickle=False) as file:
                answer = {name: file[name] for name in file.files}
        except (OSError, struct.error):
            raise VirtualBoardError(
                "nmcompile stopped; is it installed in NMCOMPILE_PYTHON?"
            ) from None
        if "error" in answer:
            raise VirtualBoardError(str(answer["error"]))
        return answer

    def close(self):
        """End the other Python."""
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def _read(self, size):
        data = b""
        while len(data) < size:
            part = self.process.stdout.read(size - len(data))
            if not part:
                raise OSError("closed")
            data += part
        return data
