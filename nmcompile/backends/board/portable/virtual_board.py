"""A board that is not there: takes NxSDK's calls, keeps register fields, runs them by nmcompile.

Plain Python from 3.6 on with NumPy. Names, widths and signs of registers are in registers.json
beside this file; an unknown name or a value that its field cannot hold is refused. The board
keeps nothing else: to run, it hands the fields and the spikes that were sent to the emulator of
nmcompile, in this Python or in another (NMCOMPILE_PYTHON).

Faults for rehearsals: NMCOMPILE_VIRTUAL_FAULT=KIND:RUN lets the run of that number, counted from
1 over all processes that share the folder NMCOMPILE_VIRTUAL_STATE, go wrong; KIND is one of
hang, lost, taken, exception, short, fewer, kill, corrupt.
"""

import os
import signal
import sys
import time

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
if HERE not in sys.path:
    # The files beside this one, not those of an installed nmcompile, which may be newer.
    sys.path.insert(0, HERE)

from virtual_engine import make_engine  # noqa: E402
from virtual_registers import Core, VirtualBoardError, load_registers  # noqa: E402
from virtual_snip import Snip, SnipError  # noqa: E402

__all__ = ["BasicSpikeGenerator", "N2Board", "Phase", "SnipError", "VirtualBoardError"]

FAULTS = ("hang", "lost", "taken", "exception", "short", "fewer", "kill", "corrupt")
#: Ids of chips are not their places, so that the two show if mixed up.
CHIP_ID_STEP = 2
#: What probes call a quantity, and what the emulator does.
QUANTITIES = {"spike": "spikes", "u": "u", "v": "v"}


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
                place = (chip.position, core.position)
                for register, entries in core.written.items():
                    for names, index, values in entries.tables():
                        table = placed(place, index, values)
                        rows.setdefault((register, names), []).append(table)
                for call, made in core.calls.items():
                    if made:
                        names = tuple(sorted(self.registers[call]["fields"]))
                        table = placed(place, np.arange(len(made)), np.array(made, np.int64))
                        rows.setdefault((call, names), []).append(table)
        found = {"cores": np.array([chip.numCores for chip in self.n2Chips], np.int64)}
        for number, ((register, names), held) in enumerate(sorted(rows.items())):
            table = np.concatenate(held)
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


def placed(place, index, values):
    """(rows, columns): chip, core, index, then the values."""
    columns = [np.full((len(index), 1), each) for each in place]
    return np.concatenate([*columns, index[:, None], values], axis=1)


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
