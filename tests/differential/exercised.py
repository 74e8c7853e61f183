"""Which registers, formats and events of the chip a set of Programs exercised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
from traces import Trace

from nmcompile.chip.arithmetic import (
    ACCUMULATOR_BITS,
    CURRENT_BITS,
    DECAY_BITS,
    voltage_ceiling,
    voltage_floor,
)
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
    "rows x columns x channels",
    "core connected to itself",
    "core connected to another",
    "one block behind axons of different bases",
    "one input axon behind several compartments",
    "one compartment with several axons",
    "mixed and single sign in one core",
)


def wanted() -> list[str]:
    """Everything that a set of Programs should cover."""
    spans = [_span(name, low, high) for name, ranges in RANGES.items() for low, high in ranges]
    return [*spans, *EVENTS]


def covered(program: Program, trace: Trace) -> set[str]:
    """What one Program exercised; of formats and axons, only those that its blocks use."""
    found = {
        _span(name, low, high)
        for core in program.cores
        for name, values in _values(core).items()
        for low, high in RANGES[name]
        if ((values >= low) & (values <= high)).any()
    }
    return found | set(_events(program, trace))


def table(programs: Iterable[tuple[Program, Trace]]) -> str:
    """In how many Programs each thing was met."""
    total: Counter[str] = Counter()
    firing = []
    for program, trace in programs:
        total.update(covered(program, trace))
        firing.append(trace.firing)
    width = max(len(name) for name in wanted())
    low, middle, high = np.percentile(firing, (0, 50, 100))
    lines = [f"{name:<{width}}  {total[name]:>5}" for name in wanted()]
    lines.append(f"{'programs':<{width}}  {len(firing):>5}")
    lines.append(f"compartments that fired: least {low:.1%}, median {middle:.1%}, most {high:.1%}")
    return "\n".join(lines)


def _span(name: str, low: int, high: int) -> str:
    return f"{name} {low}" if low == high else f"{name} {low}..{high}"


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
        "dense": core.formats.dense[formats],
        "axon kind": axons.kind,
        "axon base": axons.base,
        "atoms": blocks.atoms[axons.block],
    }


def _events(program: Program, trace: Trace) -> Iterator[str]:
    sizes = [len(core.compartments) for core in program.cores]
    parts = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    states = list(zip(program.cores, parts, strict=True))
    held = [_held(core, trace.spikes[:, part]) for core, part in states]
    targets = [set(core.output_axons.core.tolist()) for core in program.cores]
    modes = [set(core.formats.sign_mode[core.blocks.format].tolist()) for core in program.cores]
    currents = any(_current_wraps(core, trace.u[:, part]) for core, part in states)
    drives = any(_drive_wraps(core, trace.u[:, part]) for core, part in states)
    seen = (
        trace.wrapped and not currents and not drives,
        currents,
        drives,
        any(
            (trace.v[:, p] == voltage_floor(c.vmin_exponent)).any() and c.vmin_exponent
            for c, p in states
        ),
        any((trace.v[:, p] == voltage_ceiling(c.vmax_exponent)).any() for c, p in states),
        any(held),
        len(sizes) > 1,
        any(len(layer.shape) == 3 for layer in program.layers),
        any(number in found for number, found in enumerate(targets)),
        any(found - {number} for number, found in enumerate(targets)),
        any(_pairs(c.input_axons.block, c.input_axons.base) for c in program.cores),
        any(
            _pairs(c.output_axons.core * 4096 + c.output_axons.axon, c.output_axons.source)
            for c in program.cores
        ),
        any(
            _repeats(c.output_axons.source[c.output_axons.kind == DISCRETE]) for c in program.cores
        ),
        any(1 in found and len(found) > 1 for found in modes),
    )
    yield from (name for name, yes in zip(EVENTS, seen, strict=True) if yes)


def _current_wraps(core: Core, u: np.ndarray) -> bool:
    """Whether a current changes by more than an accumulator holds."""
    kept = 4095 - core.profiles.decay_u[core.compartments.profile].astype(np.int64)
    before = u[:-1].astype(np.int64)
    decayed = np.sign(before) * (np.abs(before) * kept >> DECAY_BITS)
    return bool((np.abs(u[1:] - decayed) > 1 << ACCUMULATOR_BITS).any())


def _drive_wraps(core: Core, u: np.ndarray) -> bool:
    comps = core.compartments
    drive = u + (comps.bias_mantissa.astype(np.int64) << comps.bias_exponent)
    return bool(((drive < -(1 << CURRENT_BITS)) | (drive >= 1 << CURRENT_BITS)).any())


def _held(core: Core, spikes: np.ndarray) -> bool:
    """Whether a compartment fired that must then wait, with steps left to wait in."""
    slow = core.profiles.refractory[core.compartments.profile] > 1
    return bool(spikes[:-1, slow].any())


def _pairs(key: np.ndarray, value: np.ndarray) -> bool:
    """Whether a key comes with several values."""
    pairs = {(int(k), int(v)) for k, v in zip(key, value, strict=True)}
    return len(pairs) > len({k for k, _ in pairs})


def _repeats(values: np.ndarray) -> bool:
    return len(np.unique(values)) < len(values)
