"""SNIPs of the virtual board: C for a chip's management core, compiled and called here.

The virtual board has no state that a SNIP could write to, but it can start anew. So a SNIP is run
on memory full of rubbish, and only one that leaves all of it as after power-on is taken over.
Plain Python from 3.6 on; needs a C compiler, cc or what CC names.
"""

import ctypes
import os
import shutil
import subprocess
import tempfile

COMPARTMENTS, ACCUMULATORS = 1024, 8192
RUBBISH = 0x5A
PHASE_IDLE = 2


class SnipError(Exception):
    """A SNIP that cannot be compiled, or that does what the virtual board cannot."""


class RunState(ctypes.Structure):
    """As in stub/nxsdk.h."""

    _fields_ = [("time_step", ctypes.c_int32)]


class CxState(ctypes.Structure):
    """As in stub/nxsdk.h."""

    _fields_ = [("U", ctypes.c_int32), ("V", ctypes.c_int32)]


class NeuronCore(ctypes.Structure):
    """As in stub/nxsdk.h."""

    _fields_ = [
        ("cx_state", CxState * COMPARTMENTS),
        ("dendrite_accum", ctypes.c_uint16 * ACCUMULATORS),
        ("cx_meta_state", ctypes.c_uint32 * (COMPARTMENTS // 4)),
    ]


def compiled(source, include, library):
    """The C file as a loaded library."""
    here = os.path.dirname(os.path.abspath(__file__))
    command = [os.environ.get("CC", "cc"), "-std=c99", "-Wall", "-Wextra", "-Werror"]
    command += ["-shared", "-fPIC", "-I", os.path.join(here, "stub"), "-I", include]
    command += [source, "-o", library]
    try:
        subprocess.check_output(command, stderr=subprocess.STDOUT, universal_newlines=True)
    except OSError:
        raise SnipError("the virtual board compiles SNIPs with cc, which is not here") from None
    except subprocess.CalledProcessError as error:
        raise SnipError("%s does not compile: %s" % (source, error.output)) from None
    return ctypes.CDLL(library)


class Snip:
    """A compiled SNIP of one chip."""

    def __init__(self, chip, source, include, function, guard):
        self.chip = chip
        folder = tempfile.mkdtemp(prefix="nmcompile-snip-")
        try:
            loaded = compiled(source, include, os.path.join(folder, "snip.so"))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._guard, self._function = getattr(loaded, guard), getattr(loaded, function)
        self._cores = {}
        pointers = (ctypes.POINTER(NeuronCore) * 256).in_dll(loaded, "virtual_cores")
        for core in chip.n2CoresAsList:
            self._cores[core.id] = (core, NeuronCore())
            pointers[core.id] = ctypes.pointer(self._cores[core.id][1])

    def due(self, step):
        """Whether it wants to run at the end of a step, counted from 1."""
        return bool(self._guard(ctypes.byref(RunState(step))))

    def run(self, step):
        """Run it, and check that it leaves every core as after power-on."""
        for _, memory in self._cores.values():
            ctypes.memset(ctypes.byref(memory), RUBBISH, ctypes.sizeof(memory))
        self._function(ctypes.byref(RunState(step)))
        for core, memory in self._cores.values():
            first = [0] * COMPARTMENTS
            tables = core.written["cxState"].tables() if "cxState" in core.written else ()
            for names, entries, values in tables:
                for index, row in zip(entries.tolist(), values.tolist()):
                    first[index] = row[names.index("v")]
            phases = [(word >> (5 * k)) & 7 for word in memory.cx_meta_state for k in range(4)]
            if (
                any(state.U for state in memory.cx_state)
                or [state.V for state in memory.cx_state] != first
                or any(memory.dendrite_accum)
                or set(phases) != {PHASE_IDLE}
            ):
                raise SnipError(
                    "a SNIP left core %d of chip %d in a state that is not that of power-on"
                    % (core.id, self.chip.id)
                )
