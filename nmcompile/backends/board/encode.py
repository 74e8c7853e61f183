"""A Program's core tables as register fields; nothing of a core is left behind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.backends.board.image import RegisterImage, RegisterTable
from nmcompile.backends.board.registers import (
    AXON_CALLS,
    DELAY_BITS_MAX,
    DENSE,
    INDEX_BITS,
    PACKED_BY_SDK,
    PHASE_IDLE,
    SPARSE,
    UNUSED_FORMAT_FIELDS,
    WEIGHT_BITS,
    delay_bits,
    reachable,
)
from nmcompile.chip.core import DISCRETE, POP16, POP32, Core
from nmcompile.chip.program import Program
from nmcompile.errors import BoardError

#: Below this, nengo-loihi's hardware/builder.py writes noise exponents less one.
NOISE_EXPONENT_TURN = 7
Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Places:
    """Where the cores of a Program are in its image.

    Attributes
    ----------
    chip, core : (cores,) which chip in use, and which core in use of it
    cores : number of cores in use of each chip
    """

    chip: NDArray[np.int64]
    core: NDArray[np.int64]
    cores: tuple[int, ...]

    @classmethod
    def of(cls, program: Program) -> Places:
        """Cores in the order of their chips and positions."""
        place = np.array([(core.chip, core.position) for core in program.cores], np.int64)
        chips, chip = np.unique(place[:, 0], return_inverse=True)
        within = np.zeros(len(place), np.int64)
        for k in range(len(chips)):
            mine = np.flatnonzero(chip == k)
            within[mine[np.argsort(place[mine, 1], kind="stable")]] = np.arange(len(mine))
        return cls(chip, within, tuple(np.bincount(chip).tolist()))


def encode(program: Program) -> RegisterImage:
    """Every register of every core of a Program.

    Raises
    ------
    BoardError
        A Program for another chip, or one that learns; or a core that its registers cannot hold.
    """
    if program.target.partition(":")[0] != "loihi1":
        raise BoardError(
            f"the Program is built for {program.target}, and the registers of a board are known "
            "for Loihi 1 only; build it with --target loihi1"
        )
    if any(len(core.learning) for core in program.cores):
        raise BoardError(
            "the Program has synapses that learn, whose errors would need SNIPs that do not exist "
            "yet; run it on the emulator"
        )
    places = Places.of(program)
    parts: dict[tuple[str, tuple[str, ...]], list[tuple[int, NDArray[Any], Columns]]]
    parts = defaultdict(list)
    for number, core in enumerate(program.cores):
        for register, index, fields in _core_registers(core, number, places):
            if len(index):
                parts[register, tuple(fields)].append((number, index, fields))
    image = RegisterImage(
        places.cores,
        tuple(_table(register, rows, places) for (register, _), rows in parts.items()),
    )
    image.check()
    return image


def _table(
    register: str, rows: Sequence[tuple[int, NDArray[Any], Columns]], places: Places
) -> RegisterTable:
    """The rows of all cores in one table, in the smallest types that hold them."""
    number = np.repeat([each[0] for each in rows], [len(each[1]) for each in rows])
    columns = {
        name: _small(np.concatenate([each[2][name] for each in rows])) for name in rows[0][2]
    }
    index = np.concatenate([each[1] for each in rows])
    chip, core = _small(places.chip[number]), _small(places.core[number])
    return RegisterTable(register, chip, core, _small(index), columns)


def _small(values: NDArray[Any]) -> NDArray[Any]:
    """The same integers in the smallest type that holds them."""
    wide = values.astype(np.int64)
    low, high = int(wide.min(initial=0)), int(wide.max(initial=0))
    return wide.astype(np.promote_types(np.min_scalar_type(low), np.min_scalar_type(high)))


def _core_registers(
    core: Core, number: int, places: Places
) -> Iterator[tuple[str, NDArray[Any], Columns]]:
    """(register, entries, fields) of one core."""
    size = len(core.compartments)
    longest = int(core.synapses.delay.max(initial=0))
    bits = delay_bits(longest)
    if bits > DELAY_BITS_MAX or size > reachable(bits):
        raise BoardError(
            f"core {number} has {size} compartments and synapses that are {longest} steps late; "
            f"the accumulators of a core reach {reachable(min(bits, DELAY_BITS_MAX))} compartments "
            "then; use shorter delays, or fewer compartments a core"
        )
    yield from _profiles(core)
    yield from _compartments(core)
    yield "dendriteAccumCfg", np.zeros(1, int), {"delayBits": np.array([bits])}
    yield (
        "numUpdates",
        np.zeros(1, int),
        {"numUpdates": np.array([-(-size // 4)]), "numStdp": np.zeros(1, int)},
    )
    yield from _synapses(core)
    yield from _output_axons(core, places)


def _profiles(core: Core) -> Iterator[tuple[str, NDArray[Any], Columns]]:
    profiles = core.profiles
    yield (
        "cxProfileCfg",
        np.arange(len(profiles)),
        {
            "decayV": profiles.decay_v,
            "decayU": profiles.decay_u,
            "refractDelay": profiles.refractory,
            "enableNoise": profiles.noise,
            "bapAction": np.ones(len(profiles), int),
        },
    )
    thresholds = core.thresholds
    yield (
        "vthProfileCfg.staticCfg",
        np.arange(len(thresholds)),
        {"vth": thresholds.mantissa},
    )
    exponent = core.noise_exponent - (core.noise_exponent < NOISE_EXPONENT_TURN)
    if not core.profiles.noise.any():
        exponent = max(exponent, 0)
    yield (
        "dendriteSharedCfg",
        np.zeros(1, int),
        {
            name: np.array([value])
            for name, value in {
                "posVmLimit": core.vmax_exponent,
                "negVmLimit": core.vmin_exponent,
                "noiseExp0": exponent,
                "noiseMantOffset0": core.noise_offset,
                "noiseAtDendOrVm": core.noise_at_voltage,
            }.items()
        },
    )


def _compartments(core: Core) -> Iterator[tuple[str, NDArray[Any], Columns]]:
    comps = core.compartments
    size = len(comps)
    yield (
        "cxCfg",
        np.arange(size),
        {
            "bias": comps.bias_mantissa,
            "biasExp": comps.bias_exponent,
            "vthProfile": comps.threshold,
            "cxProfile": comps.profile,
        },
    )
    full, rest = divmod(size, 4)
    for groups, held in ((np.arange(full), 4), (np.arange(full, full + 1), rest)):
        if held:
            phases = {f"phase{k}": np.full(len(groups), PHASE_IDLE) for k in range(held)}
            yield "cxMetaState", groups, phases
    table = core.initial_voltages
    started = table.voltage != 0
    voltage = table.voltage[started]
    yield (
        "cxState",
        table.compartment[started],
        {"u": np.zeros(len(voltage), int), "v": voltage},
    )


def _synapses(core: Core) -> Iterator[tuple[str, NDArray[Any], Columns]]:
    """Formats from 1 on, synapses, and the input axons that point at them."""
    blocks = core.blocks
    pointer, rows, form = _laid_out(core)
    formats = core.formats
    count = len(formats)
    target = core.synapses.target[rows]
    reach = np.zeros(count, np.int64)
    np.maximum.at(reach, form, target)
    width = np.array([int(each).bit_length() for each in reach], np.int64)
    index_bits = np.maximum(formats.index_bits, np.where(formats.dense == 1, width, 0))
    yield (
        "synapseFmt",
        1 + np.arange(count),
        {
            "wgtExp": formats.exponent,
            "dlyBits": formats.delay_bits,
            "wgtBits": _codes(WEIGHT_BITS, formats.weight_bits),
            "numSynapses": np.full(count, PACKED_BY_SDK),
            "idxBits": _codes(INDEX_BITS, index_bits),
            "fanoutType": formats.sign_mode,
            "compression": np.where(formats.dense == 1, DENSE, SPARSE),
            **{name: np.zeros(count, int) for name in UNUSED_FORMAT_FIELDS},
        },
    )
    used = np.flatnonzero(form >= 0)
    yield (
        "synapses",
        used,
        {
            "CIdx": target[used],
            "Wgt": core.synapses.mantissa[rows][used],
            "Dly": core.synapses.delay[rows][used],
            "synFmtId": 1 + form[used],
            "LrnEn": np.zeros(len(used), int),
        },
    )
    axons = core.input_axons
    for kind, entry in (
        (DISCRETE, "discreteMapEntry"),
        (POP16, "population16MapEntry"),
        (POP32, "population32MapEntry"),
    ):
        which = np.flatnonzero(axons.kind == kind)
        block, base = axons.block[which], axons.base[which]
        fields = {"synapsePtr": pointer[block], "synapseLen": blocks.length[block]}
        if kind == DISCRETE:
            yield "synapseMap", which, fields
            yield f"synapseMap.{entry}", which, {"cxBase": base}
            continue
        yield "synapseMap", which, {**fields, "popSize": blocks.atoms[block]}
        if kind == POP32:
            yield f"synapseMap.{entry}", which, {"cxBase": base}
            continue
        if (base % 4).any():
            raise BoardError(f"a pop16 axon has base {base[base % 4 > 0][0]}, no multiple of 4")
        yield (
            f"synapseMap.{entry}",
            which,
            {"cxBase": base // 4, "atomBits": np.zeros(len(which), int)},
        )


def _laid_out(core: Core) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Where each block begins, which row of the table each synapse is, and its format (-1: none).

    Blocks share synapses as in the table; only where two of different formats do, which registers
    cannot say, the second has a copy.
    """
    blocks = core.blocks
    form = np.full(len(core.synapses), -1, np.int64)
    rows = [np.arange(len(core.synapses))]
    pointer = blocks.start.astype(np.int64).copy()
    forms = [form]
    total = len(form)
    for k in range(len(blocks)):
        start = int(blocks.start[k])
        part = slice(start, start + int(blocks.atoms[k]) * int(blocks.length[k]))
        mine = int(blocks.format[k])
        if ((form[part] == -1) | (form[part] == mine)).all():
            form[part] = mine
            continue
        pointer[k] = total
        rows.append(np.arange(part.start, part.stop))
        forms.append(np.full(len(rows[-1]), mine, np.int64))
        total += len(rows[-1])
    return pointer, np.concatenate(rows), np.concatenate(forms)


def _codes(meaning: tuple[int, ...], values: NDArray[Any]) -> NDArray[np.int64]:
    """Code of the smallest width that holds each value; the hardware model knows no others."""
    return np.array([next(k for k, bits in enumerate(meaning) if bits >= v) for v in values], int)


def _output_axons(core: Core, places: Places) -> Iterator[tuple[str, NDArray[Any], Columns]]:
    """One call for each compartment and axon that it uses."""
    out, comps = core.output_axons, core.compartments
    members = [np.flatnonzero(comps.population == k) for k in range(comps.population.max() + 1)]
    for kind, call in AXON_CALLS.items():
        which = np.flatnonzero(out.kind == kind)
        source, target = out.source[which], out.core[which]
        ends = {
            "dstChipId": places.chip[target],
            "dstCoreId": places.core[target],
            "dstSynMapId": out.axon[which].astype(np.int64),
        }
        if kind == DISCRETE:
            yield call, np.arange(len(which)), {"srcCxId": source, **ends}
            continue
        held = [members[k] for k in source]
        sizes = [len(each) for each in held]
        compartment = np.concatenate([np.zeros(0, np.int64), *held])
        yield (
            call,
            np.arange(len(compartment)),
            {
                "popId": np.repeat(source, sizes),
                "srcCxId": compartment,
                "srcRelCxId": comps.atom[compartment],
                **{name: np.repeat(values, sizes) for name, values in ends.items()},
            },
        )
