"""Which registers, formats and events of the chip a set of Programs exercised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from dialects import Dialect
from registers import Registers, wrapped
from traces import Trace

from nmcompile.chip.core import DISCRETE, Core
from nmcompile.chip.program import Program

#: Column of a table, or register, -> the ranges that each are to be met.
RANGES = {
    "decay_u": ((0, 0), (1, 60), (61, 3999), (4000, 4094), (4095, 4095)),
    "decay_v": ((0, 0), (1, 60), (61, 4094), (4095, 4095)),
    "refractory": ((1, 1), (2, 5), (6, 63)),
    "threshold mantissa": ((1, 15), (16, 255), (256, 4095), (4096, 131070), (131071, 131071)),
    "bias mantissa": ((-4095, -4095), (-4094, -1), (0, 0), (1, 4094), (4095, 4095)),
    "bias exponent": tuple((k, k) for k in range(8)),
    "vmin exponent": ((0, 8), (9, 15), (16, 22), (23, 23)),
    "vmax exponent": tuple((k, k) for k in range(8)),
    "weight exponent": tuple((k, k) for k in range(-8, 8)),
    "weight bits": tuple((k, k) for k in (1, 2, 3, 4, 5, 6, 8)),
    "sign mode": ((1, 1), (2, 2), (3, 3)),
    "delay": ((0, 0), (1, 5), (6, 35), (36, 61), (62, 62)),
    "dense": ((0, 0), (1, 1)),
    "axon kind": ((0, 0), (16, 16), (32, 32)),
    "axon base": ((0, 0), (1, 255)),
    "atoms": ((1, 1), (2, 4), (5, 512)),
}
EVENTS = (
    "accumulator alone wraps around",
    "current wraps around",
    "current plus bias wraps around",
    "voltage clipped to vmin",
    "voltage clipped to vmax",
    "voltage held at 0 after a spike",
    "several cores",
    "core connected to itself",
    "core connected to another",
    "cores in a loop",
    "convolution from channels last",
    "convolution from channels first",
    "convolution to channels last",
    "convolution to channels first",
    "several blocks in one core",
    "one block behind axons of different bases",
    "one input axon behind several compartments",
    "one compartment with several axons",
    "two synapses of a row on one compartment",
    "mixed and single sign in one core",
)


def _span(name: str, low: int, high: int) -> str:
    return f"{name} {low}" if low == high else f"{name} {low}..{high}"


EVERYTHING = (
    *(_span(name, low, high) for name, ranges in RANGES.items() for low, high in ranges),
    *EVENTS,
)


def wanted(dialect: Dialect) -> list[str]:
    """Everything that a set of Programs in a dialect should cover."""
    return [name for name in EVERYTHING if dialect.meets(name)]


def covered(program: Program, trace: Trace) -> set[str]:
    """What one Program exercised; of formats and axons, only those that its blocks use."""
    values = [_values(core) for core in program.cores]
    found = set()
    for name, ranges in RANGES.items():
        all_of = np.concatenate([one[name] for one in values])
        found |= {
            _span(name, low, high)
            for low, high in ranges
            if ((all_of >= low) & (all_of <= high)).any()
        }
    return found | set(_events(program, trace))


@dataclass
class Coverage:
    """In how many Programs each thing was met, and how many compartments fired."""

    met: Counter[str] = field(default_factory=Counter)
    firing: list[float] = field(default_factory=list)

    def add(self, found: Iterable[str], firing: float) -> None:
        """Count one Program."""
        self.met.update(found)
        self.firing.append(firing)

    def table(self, dialect: Dialect) -> str:
        """What to print."""
        names = wanted(dialect)
        width = max(len(name) for name in names)
        lines = [f"{name:<{width}}  {self.met[name]:>7,}" for name in names]
        lines.append(f"{'programs':<{width}}  {len(self.firing):>7,}")
        if self.firing:
            low, middle, high = np.percentile(self.firing, (0, 50, 100))
            lines.append(
                f"compartments that fired: least {low:.1%}, median {middle:.1%}, most {high:.1%}"
            )
        return "\n".join(lines)


def _values(core: Core) -> dict[str, np.ndarray]:
    comps, blocks, axons = core.compartments, core.blocks, core.input_axons
    formats = blocks.format[axons.block]
    return {
        "decay_u": core.profiles.decay_u[comps.profile],
        "decay_v": core.profiles.decay_v[comps.profile],
        "refractory": core.profiles.refractory[comps.profile],
        "threshold mantissa": core.thresholds.mantissa[comps.threshold],
        "bias mantissa": comps.bias_mantissa,
        "bias exponent": comps.bias_exponent[comps.bias_mantissa != 0],
        "vmin exponent": np.array([core.vmin_exponent]),
        "vmax exponent": np.array([core.vmax_exponent]),
        "weight exponent": core.formats.exponent[formats],
        "weight bits": core.formats.weight_bits[formats],
        "sign mode": core.formats.sign_mode[formats],
        "delay": core.synapses.delay,
        "dense": core.formats.dense[formats],
        "axon kind": axons.kind,
        "axon base": axons.base,
        "atoms": blocks.atoms[axons.block],
    }


def _events(program: Program, trace: Trace) -> Iterator[str]:
    registers = Registers.of(program)
    wraps = wrapped(program, trace.u)
    targets = [set(core.output_axons.core.tolist()) for core in program.cores]
    modes = [set(core.formats.sign_mode[core.blocks.format].tolist()) for core in program.cores]
    orders = program.manifest["channels_last"]
    convolutions = program.manifest["convolutions"]
    sources = {orders[one["source"]] for one in convolutions}
    ends = {orders[one["target"]] for one in convolutions}
    seen = (
        trace.wrapped is True and not wraps,
        "current" in wraps,
        "drive" in wraps,
        ((trace.v == registers.floor) & (registers.floor < 0)).any(),
        (trace.v == registers.ceiling).any(),
        (registers.waiting(trace.spikes) & (registers.refractory > 1)).any(),
        len(program.cores) > 1,
        any(number in found for number, found in enumerate(targets)),
        any(found - {number} for number, found in enumerate(targets)),
        _loop(targets),
        True in sources,
        False in sources,
        True in ends,
        False in ends,
        any(len(core.blocks) > 1 for core in program.cores),
        any(_pairs(c.input_axons.block, c.input_axons.base) for c in program.cores),
        any(
            _pairs(c.output_axons.core * 4096 + c.output_axons.axon, c.output_axons.source)
            for c in program.cores
        ),
        any(
            _repeats(c.output_axons.source[c.output_axons.kind == DISCRETE]) for c in program.cores
        ),
        any(_row_repeats(core) for core in program.cores),
        any(1 in found and len(found) > 1 for found in modes),
    )
    yield from (name for name, yes in zip(EVENTS, seen, strict=True) if yes)


def _loop(targets: list[set[int]]) -> bool:
    """Whether a spike can come back to its core by way of another."""
    reached = [set(found) - {number} for number, found in enumerate(targets)]
    for _ in targets:
        reached = [found.union(*(reached[k] for k in found)) for found in reached]
    return any(number in found for number, found in enumerate(reached))


def _pairs(key: np.ndarray, value: np.ndarray) -> bool:
    """Whether a key comes with several values."""
    pairs = set(zip(key.tolist(), value.tolist(), strict=True))
    return len(pairs) > len({k for k, _ in pairs})


def _repeats(values: np.ndarray) -> bool:
    return len(np.unique(values)) < len(values)


def _row_repeats(core: Core) -> bool:
    """Whether a row of a block has a compartment twice."""
    blocks = core.blocks
    lengths = np.repeat(blocks.length, blocks.atoms)
    row = np.repeat(np.arange(len(lengths)), lengths)
    return _repeats(row * 65536 + core.synapses.target)
