"""Run a register image on a board of Loihi 1 by NxSDK; one file, for Python from 3.6 on with NumPy.

    python runner.py --board N2 -o result.npz            on the board that NxSDK finds
    python runner.py --board virtual -o result.npz       a rehearsal, by nmcompile's emulator

It lies in the folder of an image (see image.json), checks every file of it, and runs each batch of
samples in a process of its own, which opens the board, writes the registers, runs, and gives the
board back. A process that says nothing for too long is ended; a batch that failed is tried again.
Each finished sample is a file of its own in the folder PARTS, so that a second start goes on where
the first one ended. The result goes back to nmcompile: `run`, `eval` and `compare` read it.

The calls, and their order, are those of nengo-loihi's hardware/builder.py and interface.py. A
spike that is given to a generator for step t, counted from 1, acts in step t + 1, as there.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np

FORMAT = 1
#: Registers in the order in which nengo-loihi's builder writes them; then output axons.
ORDER = (
    "cxProfileCfg",
    "vthProfileCfg.staticCfg",
    "synapseFmt",
    "dendriteSharedCfg",
    "dendriteAccumCfg",
    "cxCfg",
    "cxMetaState",
    "cxState",
    "synapses",
    "synapseMap",
    "synapseMap.discreteMapEntry",
    "synapseMap.population16MapEntry",
    "synapseMap.population32MapEntry",
    "numUpdates",
    "createDiscreteAxon",
    "createPop16Axon",
    "createPop32Axon",
)
#: Registers whose fields are set one by one; the others have `configure`.
SET_SINGLY = ("synapseFmt", "synapseMap")
#: Quantity -> the name by which NxSDK probes it.
PROBED = {"spikes": "spike", "u": "u", "v": "v"}
#: Largest size of a current or voltage: 23 bits and sign.
LARGEST = 1 << 23
STOPPED = 3
#: Steps between samples of one run, in all of which the chips are reset.
PAUSE = 2
#: What the SNIP that resets a chip must know.
HEADER = """#include "nxsdk.h"
#define N_CORES %(cores)d
#define CORE_IDS {%(ids)s}
#define STEPS %(steps)d
#define PERIOD %(period)d
#define N_VOLTAGES %(voltages)d
#define FIRST_VOLTAGES {%(rows)s}
int nmcompile_due(runState *state);
void nmcompile_reset(runState *state);
"""
POLL_S = 0.02
#: The process that started this one.
PARENT = os.getppid()
ROWS_AT_ONCE = 1 << 16


class RunError(Exception):
    """What went wrong, in one sentence."""


class Image:
    """The folder of an image, its files checked.

    Attributes: `about` is image.json; `registers`, `host` and `spikes` are the arrays of these
    files.
    """

    def __init__(self, folder, spikes=None):
        self.folder = folder
        self.about = read_json(os.path.join(folder, "image.json"))
        if not isinstance(self.about, dict) or "sha256" not in self.about:
            raise RunError("%s holds no image.json of an image; copy the image anew" % folder)
        if self.about.get("checksum") != checksum(self.about):
            raise RunError(
                "%s is not as it was written: its checksum differs; copy the image anew"
                % os.path.join(folder, "image.json")
            )
        if self.about.get("format") != FORMAT:
            raise RunError(
                "%s is of format %s, this runner reads %d; make the image and the runner with one "
                "version of nmcompile" % (folder, self.about.get("format"), FORMAT)
            )
        for name, digest in sorted(self.about["sha256"].items()):
            if sha256(os.path.join(folder, name)) != digest:
                raise RunError(
                    "%s is not as it was written: its checksum differs; copy the image anew"
                    % os.path.join(folder, name)
                )
        self.registers = arrays(os.path.join(folder, "registers.npz"))
        self.host = arrays(os.path.join(folder, "host.npz"))
        self.spikes_path = spikes or os.path.join(folder, "spikes.npz")
        if not os.path.exists(self.spikes_path):
            raise RunError(
                "%s: no such file; make it with nmcompile board-image --input" % self.spikes_path
            )
        self.spikes = arrays(self.spikes_path)
        self.samples = int(self.spikes["samples"])
        self.steps = int(self.spikes["steps"])

    def tables(self):
        """(register, columns) in the order of writing."""
        found = {}
        for key, values in self.registers.items():
            if key != "cores":
                name, column = key.rsplit("/", 1)
                found.setdefault(name, {})[column] = values
        unknown = sorted(name for name in found if name.rsplit(".", 1)[0] not in ORDER)
        if unknown:
            raise RunError("the image has registers that this runner cannot write: %s" % unknown)
        rank = {name: k for k, name in enumerate(ORDER)}
        for name in sorted(found, key=lambda each: (rank[each.rsplit(".", 1)[0]], each)):
            yield name.rsplit(".", 1)[0], found[name]

    def identity(self):
        """What a part must be of, to be used again."""
        whole = json.dumps(self.about["sha256"], sort_keys=True) + sha256(self.spikes_path)
        return hashlib.sha256(whole.encode()).hexdigest()


def checksum(about):
    """Of all that image.json says, but for itself."""
    rest = {key: value for key, value in about.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def read_json(path):
    """A JSON file, or one sentence."""
    try:
        with open(path) as file:
            return json.load(file)
    except (OSError, ValueError) as error:
        raise RunError("%s cannot be read: %s" % (path, error)) from None


def arrays(path):
    """Name -> array of an .npz file; nothing in it is ever executed."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:
        raise RunError("%s cannot be read: %s" % (path, error)) from None


def sha256(path):
    """Checksum of a file."""
    state = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                state.update(block)
    except OSError as error:
        raise RunError("%s cannot be read: %s" % (path, error)) from None
    return state.hexdigest()


class Software:
    """What a board is run by: NxSDK, or the virtual board.

    Attributes: `board`, `generator` and `phase` are the classes of boards and of spike generators,
    and when SNIPs run; `version` says which software it is.
    """

    def __init__(self, name):
        if name == "virtual":
            here = os.path.dirname(os.path.abspath(__file__))
            if here not in sys.path:
                sys.path.insert(0, here)
            import virtual_board

            self.board = virtual_board.N2Board
            self.generator = virtual_board.BasicSpikeGenerator
            self.phase = virtual_board.Phase
            self.version = "virtual"
            return
        try:
            import nxsdk
        except ImportError:
            raise RunError(
                "this Python has no nxsdk; members of Intel's Neuromorphic Research Community "
                "(INRC) get it from Intel: install it here (%s), and check with: "
                "python -c 'import nxsdk'" % sys.executable
            ) from None
        from nxsdk.graph.nxinputgen.nxinputgen import BasicSpikeGenerator
        from nxsdk.graph.processes.phase_enums import Phase

        try:
            from nxsdk.arch.n2a.n2board import N2Board
        except ImportError:
            from nxsdk.graph.nxboard import N2Board
        self.board, self.generator, self.phase = N2Board, BasicSpikeGenerator, Phase
        self.version = getattr(nxsdk, "__version__", "unknown")


def open_board(image, kind):
    """A board with as many chips and cores as the image has, not yet started."""
    cores = image.registers["cores"].tolist()
    synapses = [[1] * count for count in cores]
    for register, columns in image.tables():
        if register == "synapses":
            places = np.stack([columns["chip"], columns["core"]], axis=1)
            for (chip, core), count in zip(*np.unique(places, axis=0, return_counts=True)):
                synapses[int(chip)][int(core)] += int(count)
    return kind(int(image.about["board_id"]), len(cores), cores, synapses)


def write_registers(image, board):
    """Every field of the image, by NxSDK's calls."""
    cores = [chip.n2CoresAsList for chip in board.n2Chips]
    for register, columns in image.tables():
        names = [name for name in columns if name not in ("chip", "core", "index")]
        name, _, part = register.partition(".")
        for chip, core, index, *row in rows(columns, ["chip", "core", "index", *names]):
            fields = dict(zip(names, row))
            target = cores[chip][core]
            if register.startswith("create"):
                end = cores[fields["dstChipId"]][fields["dstCoreId"]]
                fields["dstChipId"] = board.n2Chips[fields["dstChipId"]].id
                fields["dstCoreId"] = end.id
                getattr(target, register)(**fields)
                continue
            entry = getattr(target, name)
            if register not in ("dendriteSharedCfg", "dendriteAccumCfg", "numUpdates"):
                entry = entry[index]
            if part:
                entry = getattr(entry, part)
            if register in SET_SINGLY:
                for field, value in fields.items():
                    setattr(entry, field, value)
            else:
                entry.configure(**fields)


def rows(columns, names):
    """The rows of some columns, a part at a time, since a board may have millions."""
    for start in range(0, len(columns[names[0]]), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        for row in zip(*(columns[name][part].tolist() for name in names)):
            yield row


def give_spikes(image, board, generator, sample, offset):
    """Hand the spikes of a sample, which begins so many steps late, to the generator."""
    spikes = image.spikes
    mine = slice(*np.searchsorted(spikes["sample"], [sample, sample + 1]).tolist())
    kinds = axon_kinds(image)
    names = ("step", "chip", "core", "axon", "atom")
    for step, chip, core, axon, atom in zip(*(spikes[name][mine].tolist() for name in names)):
        if step >= image.steps:
            continue  # It would act when the sample is over.
        kind = kinds[chip, core, axon]
        place = {
            "time": offset + step,
            "chipId": board.n2Chips[chip].id,
            "coreId": board.n2Chips[chip].n2CoresAsList[core].id,
            "axonId": axon,
        }
        if kind == 0:
            generator.addSpike(**place)
        elif kind == 16:
            generator.addPop16Spike(srcAtom=atom, atomBits=0, **place)
        else:
            generator.addPop32Spike(srcAtom=atom, **place)


def axon_kinds(image):
    """(chip, core, axon) -> 0, 16 or 32, of all input axons."""
    if not hasattr(image, "kinds"):
        image.kinds = {}
        for register, columns in image.tables():
            for kind, name in ((0, "discrete"), (16, "population16"), (32, "population32")):
                if register == "synapseMap.%sMapEntry" % name:
                    places = (columns[each].tolist() for each in ("chip", "core", "index"))
                    image.kinds.update((place, kind) for place in zip(*places))
    return image.kinds


def make_probes(image, board):
    """(layer, quantity) -> one probe of NxSDK for each of its neurons."""
    found = {}
    for layer, quantity in wanted(image):
        places = image.host["layer%d" % layer]
        made = [None] * len(places)
        for chip, core in sorted(set(map(tuple, places[:, :2].tolist()))):
            mine = np.flatnonzero((places[:, 0] == chip) & (places[:, 1] == core))
            state = board.n2Chips[chip].n2CoresAsList[core].cxState
            probes = board.monitor.probe(state, places[mine, 2].tolist(), PROBED[quantity])
            for k, probe in zip(mine.tolist(), probes):
                made[k] = probe
        found[layer, quantity] = made
    return found


def wanted(image):
    """(number of a layer, quantity) that are recorded."""
    record = json.loads(str(image.spikes["record"]))
    return [(int(layer), str(quantity)) for layer, quantity in record]


def collect(image, probes, offset, steps):
    """Arrays of a part: events of spikes, whole series of currents and voltages.

    The sample begins `offset` steps late in a run of `steps`.
    """
    found = {}
    for (layer, quantity), made in probes.items():
        series = [probe.timeSeries.data for probe in made]
        lengths = sorted({len(each) for each in series})
        if lengths not in ([], [steps]):
            raise RunError("a probe of %s gave %d of %d steps" % (quantity, lengths[0], steps))
        part = [each[offset : offset + image.steps] for each in series]
        values = np.array(part, np.int64).reshape(len(made), image.steps).T
        if quantity == "spikes":
            if values.size and (values.min() < 0 or values.max() > 1):
                raise RunError("a spike probe gave %d, no number of spikes" % values.max())
            step, neuron = np.nonzero(values)
            found["layer%d/step" % layer] = step.astype(np.int32)
            found["layer%d/neuron" % layer] = neuron.astype(np.int32)
            continue
        if values.size and np.abs(values).max() > LARGEST:
            raise RunError("a probe of %s gave %d, beyond 24 bits" % (quantity, values.max()))
        found["layer%d/%s" % (layer, quantity)] = values.astype(np.int32)
    return found


def run_samples(image, software, samples, limit=None):
    """Arrays of each sample, on a board that is opened for them and given back in any case.

    Where there are several, they run one after the other, with a pause between them in which a
    SNIP puts the chips back to how a sample begins.
    """
    check_rate(image, samples, limit)
    period = image.steps + (PAUSE if len(samples) > 1 else 0)
    folder = tempfile.mkdtemp(prefix="nmcompile-snips-") if len(samples) > 1 else None
    board = open_board(image, software.board)
    try:
        write_registers(image, board)
        generator = software.generator(board)
        for number, sample in enumerate(samples):
            give_spikes(image, board, generator, sample, number * period)
        probes = make_probes(image, board)
        if folder is not None:
            make_snips(image, board, software.phase, period, folder)
        board.start()
        board.run(period * len(samples))
        return [
            collect(image, probes, number * period, period * len(samples))
            for number in range(len(samples))
        ]
    finally:
        board.disconnect()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def check_rate(image, samples, limit):
    """Refuse samples that send a chip more spikes in a step than its management core takes."""
    if limit is None:
        return
    spikes = image.spikes
    mine = np.isin(spikes["sample"], samples)
    rows = np.stack([spikes[name][mine] for name in ("sample", "step", "chip")], axis=1)
    if not len(rows):
        return
    places, counts = np.unique(rows, axis=0, return_counts=True)
    if counts.max() > limit:
        sample, step, chip = places[counts.argmax()].tolist()
        raise RunError(
            "sample %d sends chip %d %d spikes in step %d, and --spikes-per-step is %d; build the "
            "network with lower input rates, or allow more"
            % (sample, chip, counts.max(), step, limit)
        )


def make_snips(image, board, phase, period, folder):
    """A SNIP for each chip that resets it behind every sample."""
    first = {}
    for register, columns in image.tables():
        if register == "cxState":
            names = ("chip", "core", "index", "v")
            for chip, core, index, voltage in zip(*(columns[name].tolist() for name in names)):
                place = board.n2Chips[chip].n2CoresAsList[core].id
                first.setdefault(chip, []).append((place, index, voltage))
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "reset_snip.c")
    for number, chip in enumerate(board.n2Chips):
        mine = os.path.join(folder, "chip%d" % number)
        os.makedirs(mine)
        copied = os.path.join(mine, "nmcompile_reset.c")
        shutil.copyfile(source, copied)
        voltages = first.get(number, [])
        with open(os.path.join(mine, "nmcompile_reset.h"), "w") as file:
            file.write(
                HEADER
                % {
                    "cores": len(chip.n2CoresAsList),
                    "ids": ", ".join(str(core.id) for core in chip.n2CoresAsList),
                    "steps": image.steps,
                    "period": period,
                    "voltages": len(voltages),
                    "rows": ", ".join("{%d, %d, %d}" % row for row in [*voltages, (0, 0, 0)]),
                }
            )
        board.createSnip(
            name="nmcompile_reset_%d" % number,
            cFilePath=copied,
            includeDir=mine,
            funcName="nmcompile_reset",
            guardName="nmcompile_due",
            phase=phase.EMBEDDED_MGMT,
            chipId=chip.id,
        )


def part_path(parts, sample):
    """File of a sample."""
    return os.path.join(parts, "sample%07d.npz" % sample)


def read_part(parts, sample, identity):
    """Arrays of a finished sample; None where it is not there, damaged, or of another image."""
    path = part_path(parts, sample)
    try:
        if sha256(path) != read_text(path + ".sha256"):
            return None
        found = arrays(path)
    except RunError:
        return None
    return found if str(found.get("identity")) == identity else None


def read_text(path):
    """A short text file; empty where it is not there."""
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def write_part(parts, sample, found):
    """Keep a finished sample: the file first, then its checksum, which makes it count."""
    path = part_path(parts, sample)
    with open(path + ".new", "wb") as file:
        np.savez_compressed(file, **found)
    digest = sha256(path + ".new")
    os.replace(path + ".new", path)
    with open(path + ".sha256.new", "w") as file:
        file.write(digest)
    os.replace(path + ".sha256.new", path + ".sha256")


def work(image, options, samples):
    """Run samples in this process, each on a fresh board or all in one run."""
    software = Software(options.board)
    identity = image.identity()
    together = [samples] if options.reset == "snip" else [[sample] for sample in samples]
    for group in together:
        begin = time.time()
        parts = run_samples(image, software, group, options.spikes_per_step)
        seconds = (time.time() - begin) / len(group)
        said = [lacking(image, found, sample) for found, sample in zip(parts, group)]
        for found, sample, other in zip(parts, group, said):
            if other and not options.accept:
                continue
            found["identity"] = np.array(identity)
            found["version"] = np.array(software.version)
            found["seconds"] = np.array(seconds)
            found["lacking"] = np.array(other or "")
            write_part(options.parts, sample, found)
        if any(said) and not options.accept:
            raise RunError(next(other for other in said if other))


def lacking(image, found, sample):
    """A sentence where a layer has fewer or more spikes than in the emulator; None otherwise."""
    expected = image.spikes.get("expected")
    if expected is None:
        return None
    for layer, quantity in wanted(image):
        if quantity == "spikes":
            count, wanted_count = len(found["layer%d/step" % layer]), int(expected[sample, layer])
            if count != wanted_count:
                name = image.about["layers"][layer]
                return "sample %d: layer %s has %d spikes, the emulator %d" % (
                    sample,
                    name,
                    count,
                    wanted_count,
                )
    return None


def supervise(image, options):
    """Run all samples that are not finished, batch by batch, each in a process of its own."""
    identity = image.identity()
    samples = list(range(image.samples))[: options.limit]
    missing = [k for k in samples if read_part(options.parts, k, identity) is None]
    said = []
    failures = 0
    while missing:
        batch = missing[: options.batch]
        trouble = one_batch(options, batch, accept=failures >= options.retries)
        left = [k for k in batch if read_part(options.parts, k, identity) is None]
        missing = left + missing[options.batch :]
        if trouble is None and left:
            trouble = "the file of sample %d is damaged" % left[0]
        if trouble is None:
            failures = 0
            continue
        failures = 1 if len(left) < len(batch) else failures + 1
        said.append(trouble)
        if failures <= options.retries:
            time.sleep(options.wait * failures)
        print("runner: %s" % trouble, file=sys.stderr)
        if failures > options.retries:
            raise RunError(
                "%s; tried %d times, %d of %d samples are finished and kept in %s; start again to "
                "go on"
                % (trouble, failures, len(samples) - len(missing), len(samples), options.parts)
            )
    return samples, said


def one_batch(options, batch, accept):
    """Run a batch in another process; None, or a sentence on what went wrong."""
    words = [sys.executable, os.path.abspath(__file__), "--worker"]
    words += ["--samples", ",".join(map(str, batch)), "--image", options.image]
    words += ["--board", options.board, "--parts", options.parts, "--reset", options.reset]
    if options.spikes_per_step is not None:
        words += ["--spikes-per-step", str(options.spikes_per_step)]
    words += ["--spikes", options.spikes] if options.spikes else []
    words += ["--accept"] if accept else []
    log = os.path.join(options.parts, "worker.log")
    with open(log, "w") as errors:
        worker = subprocess.Popen(words, stderr=errors, stdout=errors)
        try:
            late = watch(worker, options, batch)
        finally:
            release(worker)
    if late:
        return "nothing came from the board for %g s" % options.time_limit
    if worker.returncode:
        lines = [line for line in read_text(log).splitlines() if line.strip()]
        last = lines[-1] if lines else "it said nothing"
        return "the run ended with status %d: %s" % (worker.returncode, last)
    return None


def watch(worker, options, batch):
    """Wait for a process; True if it had to be given up, since no sample came in time."""
    limit = options.time_limit * (len(batch) if options.reset == "snip" else 1)
    paths = [part_path(options.parts, sample) + ".sha256" for sample in batch]
    seen = None
    since = time.time()
    while worker.poll() is None:
        stamps = [os.stat(path).st_mtime if os.path.exists(path) else 0 for path in paths]
        if stamps != seen:
            seen, since = stamps, time.time()
        if time.time() - since > limit:
            return True
        if options.with_parent and os.getppid() != PARENT:
            raise RunError("the process that started the runner has ended")
        time.sleep(POLL_S)
    return False


def release(worker):
    """End a process: first so that it can give the board back, then by force."""
    if worker.poll() is None:
        worker.terminate()
        end = time.time() + 5
        while worker.poll() is None and time.time() < end:
            time.sleep(POLL_S)
        if worker.poll() is None:
            worker.kill()
        worker.wait()


def merge(image, options, samples, said):
    """One result file of all parts."""
    identity = image.identity()
    parts = [read_part(options.parts, sample, identity) for sample in samples]
    found = {name: image.spikes[name][: len(samples)] for name in ("counts", "digest")}
    for layer, quantity in wanted(image):
        names = ("step", "neuron") if quantity == "spikes" else (quantity,)
        for name in names:
            key = "layer%d/%s" % (layer, name)
            held = [part[key] for part in parts]
            if quantity == "spikes":
                found[key] = np.concatenate([np.zeros(0, np.int32), *held])
                sizes = [len(each) for each in held]
                numbers = np.repeat(np.arange(len(held)), sizes).astype(np.int32)
                found["layer%d/sample" % layer] = numbers
            else:
                found[key] = np.stack(held)
    versions = sorted({str(part["version"]) for part in parts})
    meta = {
        "format": FORMAT,
        "identity": identity,
        "registers": image.about["registers"],
        "board": options.board,
        "sdk": ", ".join(versions),
        "python": "%d.%d.%d" % sys.version_info[:3],
        "numpy": np.__version__,
        "steps": image.steps,
        "record": wanted(image),
        "seconds": float(sum(float(part["seconds"]) for part in parts)),
        "trouble": said,
        "lacking": [str(part["lacking"]) for part in parts if str(part["lacking"])],
    }
    found["meta"] = np.array(json.dumps(meta))
    with open(options.output + ".new", "wb") as file:
        np.savez_compressed(file, **found)
    os.replace(options.output + ".new", options.output)


def ended(number, frame):
    """Turn a request to end into an exception, so that the board is given back."""
    raise RunError(
        "ended from outside (signal %d); finished samples are kept, start again to go on" % number
    )


def at_least(kind, least):
    """A number of the command line that has a smallest value."""

    def read(text):
        value = kind(text)
        if value < least:
            raise argparse.ArgumentTypeError("%s is below %s" % (text, least))
        return value

    return read


def parse(words):
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--image", default=here, help="folder of the image [default: this one]")
    parser.add_argument(
        "--board", default="N2", choices=("N2", "virtual"), help="N2, or virtual for a rehearsal"
    )
    parser.add_argument("--spikes", help="spikes to send [default: spikes.npz of the image]")
    parser.add_argument("--parts", help="folder of finished samples [default: beside the result]")
    parser.add_argument("-o", "--output", default="result.npz", help="result file")
    parser.add_argument(
        "--reset",
        default="board",
        choices=("board", "snip"),
        help="between samples: the board anew, or a SNIP, for a batch in one run [board]",
    )
    parser.add_argument(
        "--spikes-per-step",
        type=at_least(int, 1),
        help="most spikes of the host to a chip in a step",
    )
    parser.add_argument("--limit", type=at_least(int, 1), help="run the first so many samples")
    parser.add_argument(
        "--batch", type=at_least(int, 1), default=16, help="samples of a process [16]"
    )
    parser.add_argument(
        "--retries", type=at_least(int, 0), default=3, help="tries after a failure [3]"
    )
    parser.add_argument(
        "--wait", type=float, default=5, help="seconds before the first try after a failure [5]"
    )
    parser.add_argument(
        "--time-limit",
        type=at_least(float, 0.001),
        default=600,
        help="seconds that a sample may take [600]",
    )
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--samples", help=argparse.SUPPRESS)
    parser.add_argument("--with-parent", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--accept", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    options.parts = options.parts or options.output + ".parts"
    return options


def main(words=None):
    """Exit status: 0, 1 for an image or board that does not do, 3 where samples are missing."""
    options = parse(words)
    try:
        image = Image(options.image, options.spikes)
        if options.worker:
            signal.signal(signal.SIGTERM, ended)
            work(image, options, [int(each) for each in options.samples.split(",")])
            return 0
        Software(options.board)
        check_rate(image, list(range(image.samples))[: options.limit], options.spikes_per_step)
        if not os.path.isdir(options.parts):
            os.makedirs(options.parts)
    except (RunError, OSError) as error:
        print("error: %s" % error, file=sys.stderr)
        return 1
    except Exception as error:
        print("error: %s: %s" % (type(error).__name__, error), file=sys.stderr)
        return 1
    try:
        signal.signal(signal.SIGTERM, ended)
        signal.signal(signal.SIGINT, ended)
        samples, said = supervise(image, options)
        merge(image, options, samples, said)
    except RunError as error:
        print("error: %s" % error, file=sys.stderr)
        return STOPPED
    print("%d sample%s: %s" % (len(samples), "s" * (len(samples) != 1), options.output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
