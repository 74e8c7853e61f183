"""One core from its register fields.

Fields that our own images never use must say so, since the emulator has no equal for what else
they could mean: a core is refused rather than half understood.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.backends.board.encode import NOISE_EXPONENT_TURN
from nmcompile.backends.board.image import RegisterTable
from nmcompile.backends.board.registers import (
    AXON_CALLS,
    DENSE,
    INDEX_BITS,
    PACKED_BY_SDK,
    PHASE_IDLE,
    SPARSE,
    UNUSED_FORMAT_FIELDS,
    WEIGHT_BITS,
    longest_delay,
    reachable,
)
from nmcompile.chip.arithmetic import mantissa_range, mantissa_step
from nmcompile.chip.core import (
    DISCRETE,
    POP16,
    POP32,
    Blocks,
    Compartments,
    Core,
    Formats,
    InitialVoltages,
    InputAxons,
    OutputAxons,
    Profiles,
    Synapses,
    Thresholds,
)
from nmcompile.errors import BoardError

#: Fields of a core's register by entry: the entries, sorted, and each field's values.
Entries = tuple[NDArray[np.int64], dict[str, NDArray[np.int64]]]


class CoreReader:
    """The registers of one core, by name."""

    def __init__(self, tables: list[RegisterTable], starts: NDArray[Any]) -> None:
        self.tables = tables
        self.starts = starts

    def core(self, chip: int, position: int) -> Core:
        """All tables of the core."""
        shared, accumulators = self._one("dendriteSharedCfg"), self._one("dendriteAccumCfg")
        updates = self._one("numUpdates")
        compartments = self._compartments()
        size = len(compartments["bias"])
        bits = accumulators["delayBits"]
        blocks, synapses, axons = self._synapses(longest_delay(bits))
        if size > reachable(bits):
            raise BoardError(
                f"{bits} delay bits reach {reachable(bits)} of its {size} compartments"
            )
        if updates != {"numUpdates": -(-size // 4), "numStdp": 0}:
            raise BoardError(f"numUpdates is {updates}, with {size} compartments and no learning")
        if axons["base"].size:
            last = axons["base"] + _reach(blocks, synapses)[axons["block"]]
            if last.max() >= size:
                raise BoardError(f"an input axon reaches compartment {last.max()} of {size}")
        population, atom, out = self._output_axons(size)
        exponent = shared["noiseExp0"]
        if exponent == NOISE_EXPONENT_TURN - 1:
            raise BoardError(f"noiseExp0 is {exponent}, which no noise exponent is written as")
        return Core(
            profiles=self._profiles(),
            thresholds=Thresholds.of(
                mantissa=self._all("vthProfileCfg.staticCfg")["vth"],
            ),
            formats=self._formats(),
            compartments=Compartments.of(
                profile=compartments["cxProfile"],
                threshold=compartments["vthProfile"],
                bias_mantissa=compartments["bias"],
                bias_exponent=compartments["biasExp"],
                population=population,
                atom=atom,
                neuron=np.arange(size),
            ),
            blocks=blocks,
            synapses=synapses,
            input_axons=InputAxons.of(**axons),
            output_axons=out,
            initial_voltages=self._initial_voltages(size),
            chip=chip,
            position=position,
            vmin_exponent=shared["negVmLimit"],
            vmax_exponent=shared["posVmLimit"],
            noise_exponent=exponent + (exponent < NOISE_EXPONENT_TURN),
            noise_offset=shared["noiseMantOffset0"],
            noise_at_voltage=shared["noiseAtDendOrVm"],
        )

    def _entries(self, register: str) -> Entries:
        """Sorted entries of a register; fields that a table does not set are -1 in its rows."""
        tables = [table for table in self.tables if table.register == register]
        names = sorted({name for table in tables for name in table.fields})
        index = np.concatenate([np.zeros(0, np.int64), *(table.index for table in tables)])
        order = np.argsort(index, kind="stable")
        if (np.diff(index[order]) == 0).any():
            raise BoardError(f"{register} is written twice at an entry")
        fields = {
            name: np.concatenate(
                [
                    table.fields[name].astype(np.int64)
                    if name in table.fields
                    else np.full(len(table), -1, np.int64)
                    for table in tables
                ]
            )[order]
            for name in names
        }
        return index[order].astype(np.int64), fields

    def _all(self, register: str, first: int = 0) -> dict[str, NDArray[np.int64]]:
        """Fields of a register whose entries must follow each other."""
        index, fields = self._entries(register)
        if not np.array_equal(index, first + np.arange(len(index))):
            raise BoardError(f"entries of {register} are missing")
        return fields

    def _one(self, register: str) -> dict[str, int]:
        """Fields of a register of one entry, which must be there."""
        fields = self._all(register)
        if {len(values) for values in fields.values()} != {1}:
            raise BoardError(f"{register} is not written")
        return {name: int(values[0]) for name, values in fields.items()}

    def _profiles(self) -> Profiles:
        fields = self._all("cxProfileCfg")
        _must(fields, "cxProfileCfg", {"bapAction": 1})
        if (fields["refractDelay"] < 1).any():
            raise BoardError("a refractory delay of 0, which is not known to work")
        return Profiles.of(
            decay_u=fields["decayU"],
            decay_v=fields["decayV"],
            refractory=fields["refractDelay"],
            noise=fields["enableNoise"],
        )

    def _compartments(self) -> dict[str, NDArray[np.int64]]:
        fields = self._all("cxCfg")
        size = len(fields["bias"])
        phases = self._all("cxMetaState")
        flat = np.full(-(-size // 4) * 4, -1, np.int64)
        for k in range(4):
            mine = phases.get(f"phase{k}", np.full(0, -1, np.int64))
            flat[k::4][: len(mine)] = mine[: len(flat[k::4])]
            if len(mine) > len(flat[k::4]):
                raise BoardError("there are phases of compartments that are not configured")
        if (flat[:size] != PHASE_IDLE).any() or (flat[size:] != -1).any():
            raise BoardError(f"a compartment is in another phase than {PHASE_IDLE}")
        for name, register in (("cxProfile", "cxProfileCfg"), ("vthProfile", "vthProfileCfg")):
            held = len(
                self._entries(register if name == "cxProfile" else f"{register}.staticCfg")[0]
            )
            if size and fields[name].max() >= held:
                raise BoardError(f"{name} {fields[name].max()} of {held} profiles")
        return fields

    def _initial_voltages(self, size: int) -> InitialVoltages:
        index, fields = self._entries("cxState")
        if not len(index):
            return InitialVoltages.empty()
        if fields["u"].any() or index.max() >= size:
            raise BoardError("cxState starts with a current, or is of no compartment")
        return InitialVoltages.of(compartment=index, voltage=fields["v"])

    def _formats(self) -> Formats:
        fields = self._all("synapseFmt", first=1)
        if not fields:
            return Formats.empty()
        _must(
            fields,
            "synapseFmt",
            {"numSynapses": PACKED_BY_SDK, **dict.fromkeys(UNUSED_FORMAT_FIELDS, 0)},
        )
        for name, good in (
            ("compression", (SPARSE, DENSE)),
            ("fanoutType", (1, 2, 3)),
            ("wgtBits", range(1, len(WEIGHT_BITS))),
            ("dlyBits", range(7)),
        ):
            if not np.isin(fields[name], list(good)).all():
                raise BoardError(f"a synapse format has a {name} that is not known")
        return Formats.of(
            exponent=fields["wgtExp"],
            weight_bits=np.array(WEIGHT_BITS)[fields["wgtBits"]],
            sign_mode=fields["fanoutType"],
            index_bits=np.array(INDEX_BITS)[fields["idxBits"]],
            delay_bits=fields["dlyBits"],
            dense=(fields["compression"] == DENSE).astype(int),
        )

    def _synapses(self, longest: int) -> tuple[Blocks, Synapses, dict[str, NDArray[np.int64]]]:
        """Blocks as input axons point at them, all synapses, and the columns of input axons."""
        index, fields = self._entries("synapses")
        size = int(index.max(initial=-1)) + 1
        spread = {name: np.zeros(size, np.int64) for name in ("CIdx", "Wgt", "Dly", "synFmtId")}
        for name, values in spread.items():
            values[index] = fields.get(name, np.zeros(0, np.int64))
        if len(index):
            _must(fields, "synapses", {"LrnEn": 0})
            if fields["Dly"].max() > longest:
                raise BoardError(f"a delay of {fields['Dly'].max()}, the longest is {longest}")
        axons, kinds = self._all("synapseMap"), self._kinds()
        if not axons:
            return Blocks.empty(), Synapses.empty(), kinds
        kind = kinds["kind"]
        atoms = np.where(kind == DISCRETE, 1, axons.get("popSize", np.ones(len(kind), int)))
        if len(kind) != len(atoms) or (atoms < 1).any() or (axons["synapseLen"] < 1).any():
            raise BoardError("an input axon has no synapses, or no entry of its kind")
        ends = axons["synapsePtr"] + axons["synapseLen"] * atoms
        if ends.max() > size:
            raise BoardError(f"an input axon ends at synapse {ends.max()} of {size}")
        shape = np.stack([axons["synapsePtr"], atoms, axons["synapseLen"]], axis=1)
        rows, block = np.unique(shape, axis=0, return_inverse=True)
        synapses = Synapses.of(target=spread["CIdx"], mantissa=spread["Wgt"], delay=spread["Dly"])
        self._check_blocks(rows, spread)
        blocks = Blocks.of(
            start=rows[:, 0],
            atoms=rows[:, 1],
            length=rows[:, 2],
            format=spread["synFmtId"][rows[:, 0]] - 1,
        )
        return blocks, synapses, {**kinds, "block": block.reshape(-1)}

    def _check_blocks(
        self, rows: NDArray[np.int64], spread: Mapping[str, NDArray[np.int64]]
    ) -> None:
        """Synapses against their format, as `chip.verify` does."""
        formats = self._formats()
        for start, atoms, length in rows.tolist():
            part = slice(start, start + atoms * length)
            form = spread["synFmtId"][part]
            if form[0] < 1 or form[0] > len(formats) or (form != form[0]).any():
                raise BoardError(f"synapses from {start} on are in no single format that is there")
            f = int(form[0]) - 1
            mode, bits = int(formats.sign_mode[f]), int(formats.weight_bits[f])
            low, high = mantissa_range(mode)
            weight = spread["Wgt"][part]
            if (
                weight.min() < low
                or weight.max() > high
                or (weight % mantissa_step(bits, mode)).any()
            ):
                raise BoardError(
                    f"synapses from {start} on have weights that {bits} bits do not hold"
                )
            if int(spread["Dly"][part].max()).bit_length() > formats.delay_bits[f]:
                raise BoardError(f"synapses from {start} on have delays beyond their bits")
            target = spread["CIdx"][part]
            if int(target.max()).bit_length() > formats.index_bits[f]:
                raise BoardError(f"synapses from {start} on have targets beyond their bits")
            if formats.dense[f] and (target.reshape(atoms, length) != np.arange(length)).any():
                raise BoardError(f"synapses from {start} on are dense but not consecutive")

    def _kinds(self) -> dict[str, NDArray[np.int64]]:
        """Kind and base of each input axon, by which map entry is written."""
        parts = []
        for kind, name, unit in (
            (DISCRETE, "discreteMapEntry", 1),
            (POP16, "population16MapEntry", 4),
            (POP32, "population32MapEntry", 1),
        ):
            index, fields = self._entries(f"synapseMap.{name}")
            if kind == POP16 and len(index):
                _must(fields, "population16MapEntry", {"atomBits": 0})
            base = unit * fields.get("cxBase", np.zeros(0, np.int64))
            parts.append(np.stack([index, np.full(len(index), kind), base], axis=1))
        rows = np.concatenate(parts)
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        if not np.array_equal(rows[:, 0], np.arange(len(rows))):
            raise BoardError("input axons are missing, or have entries of two kinds")
        return {"kind": rows[:, 1], "block": np.zeros(len(rows), np.int64), "base": rows[:, 2]}

    def _output_axons(self, size: int) -> tuple[NDArray[Any], NDArray[Any], OutputAxons]:
        """(size,) population, (size,) atom, and the axons of compartments and populations."""
        population = np.full(size, -1, np.int64)
        atom = np.zeros(size, np.int64)
        rows: list[NDArray[np.int64]] = []
        for kind, call in AXON_CALLS.items():
            fields = self._all(call)
            if not fields:
                continue
            compartment = source = fields["srcCxId"]
            if compartment.max() >= size:
                raise BoardError(f"{call} of compartment {compartment.max()} of {size}")
            if kind != DISCRETE:
                fresh = population[compartment] == -1
                population[compartment[fresh]] = fields["popId"][fresh]
                atom[compartment[fresh]] = fields["srcRelCxId"][fresh]
                if (population[compartment] != fields["popId"]).any() or (
                    atom[compartment] != fields["srcRelCxId"]
                ).any():
                    raise BoardError("a compartment is in two populations, or has two atoms")
                source = fields["popId"]
            target = self._number(fields["dstChipId"], fields["dstCoreId"])
            columns = [np.full(len(source), kind), source, target, fields["dstSynMapId"]]
            rows.append(np.stack([*columns, compartment], axis=1))
        found = np.concatenate(rows) if rows else np.zeros((0, 5), np.int64)
        wide = found[:, 0] != DISCRETE
        joined = np.concatenate([found[~wide, :4], _shared(found[wide], population)])
        names = ("kind", "source", "core", "axon")
        return population, atom, OutputAxons.of(**dict(zip(names, joined.T, strict=True)))

    def _number(self, chip: NDArray[Any], core: NDArray[Any]) -> NDArray[np.int64]:
        """Numbers of cores, counted through all chips."""
        if chip.max() >= len(self.starts) - 1:
            raise BoardError(f"an output axon goes to chip {chip.max()}")
        if (core >= np.diff(self.starts)[chip]).any():
            raise BoardError(f"an output axon goes to core {core.max()} of a chip")
        return np.asarray(self.starts[chip] + core, np.int64)


def _must(fields: Mapping[str, NDArray[Any]], register: str, values: Mapping[str, int]) -> None:
    """Refuse fields with another value than that which the emulator means."""
    for name, value in values.items():
        if name not in fields or (fields[name] != value).any():
            raise BoardError(f"{register} has a {name} other than {value}, which is not known")


def _shared(rows: NDArray[np.int64], population: NDArray[np.int64]) -> NDArray[np.int64]:
    """Axons of whole populations from those of their compartments.

    Parameters
    ----------
    rows : (calls, 5) kind, population, core, axon and compartment
    population : (compartments,) number, or -1
    """
    each, times = np.unique(rows, axis=0, return_counts=True)
    axons, first, members = np.unique(each[:, :4], axis=0, return_index=True, return_counts=True)
    held = np.bincount(population + 1, minlength=int(population.max(initial=-1)) + 2)[1:]
    if (members != held[axons[:, 1]]).any() or (times != np.repeat(times[first], members)).any():
        raise BoardError("compartments of one population do not share all of its axons")
    return np.repeat(axons, times[first], axis=0)


def _reach(blocks: Blocks, synapses: Synapses) -> NDArray[np.int64]:
    """(blocks,) the largest target of each block."""
    ends = blocks.start.astype(np.int64) + blocks.atoms.astype(np.int64) * blocks.length
    return np.array(
        [int(synapses.target[a:b].max()) for a, b in zip(blocks.start, ends, strict=True)], int
    )
