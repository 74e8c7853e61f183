"""Check a Program against every limit of a hardware model, and its tables against each other."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from nmcompile.chip import arithmetic
from nmcompile.chip.arithmetic import (
    MIXED,
    learned_limit,
    mantissa_range,
    mantissa_step,
)
from nmcompile.chip.bill import RESOURCES, core_bill
from nmcompile.chip.core import DISCRETE, POP16, POP32, Core, IntArray
from nmcompile.chip.program import Program
from nmcompile.chip.verify_encoder import encoder_faults
from nmcompile.errors import VerifyError
from nmcompile.hardware import HardwareModel

#: Faults listed in one error; the rest is counted.
LISTED = 5


def verify_program(program: Program, hardware: HardwareModel) -> None:
    """Raise VerifyError with the faults of a Program, or return.

    Raises
    ------
    VerifyError
        Names core, table, number and limit of the first faults and counts the rest.
    """
    found = list(faults(program, hardware))
    if found:
        more = f"; and {len(found) - LISTED} more" if len(found) > LISTED else ""
        raise VerifyError("; ".join(found[:LISTED]) + more)


def faults(program: Program, hardware: HardwareModel) -> Iterator[str]:
    """Every fault as a sentence without its end."""
    yield from _arithmetic_faults(hardware)
    sound = any(len(core.compartments) for core in program.cores)
    if not sound:
        yield "it has no cores with compartments"
    for number, core in enumerate(program.cores):
        for text in _core_faults(core, hardware):
            sound = False
            yield f"core {number}: {text}"
    if not sound:
        # What follows looks up indices that are not to be trusted.
        return
    yield from _place_faults(program, hardware)
    yield from _axon_faults(program)
    yield from _host_faults(program)


def _arithmetic_faults(hardware: HardwareModel) -> Iterator[str]:
    """Widths of the hardware model against those that `chip.arithmetic` computes with."""
    registers = hardware.compartment
    for what, stated, computed in (
        ("decay_max", registers.decay_max, (1 << arithmetic.DECAY_BITS) - 1),
        ("threshold_exponent", registers.threshold_exponent, arithmetic.THRESHOLD_SHIFT),
        ("accumulator_bits", registers.accumulator_bits, arithmetic.ACCUMULATOR_BITS),
        ("current_bits", registers.current_bits, arithmetic.CURRENT_BITS),
        ("weight_shift", hardware.synapse.weight_shift, arithmetic.WEIGHT_SHIFT),
    ):
        if stated.value != computed:
            yield (
                f"{hardware.name} has a {what} of {stated.value}, the chip's arithmetic is "
                f"written for {computed}"
            )


def _core_faults(core: Core, hardware: HardwareModel) -> Iterator[str]:
    limits, model = hardware.compartment, hardware.synapse
    profiles, formats, comps = core.profiles, core.formats, core.compartments
    blocks, synapses, axons = core.blocks, core.synapses, core.input_axons
    ranges: list[tuple[str, IntArray, int, int]] = [
        ("decay_u", profiles.decay_u, 0, limits.decay_max.value),
        ("decay_v", profiles.decay_v, 0, limits.decay_max.value),
        (
            "refractory delay",
            profiles.refractory,
            limits.refractory_min.value,
            limits.refractory_max.value,
        ),
        ("noise switch", profiles.noise, 0, 1),
        ("threshold mantissa", core.thresholds.mantissa, 1, limits.threshold_mantissa_max.value),
        (
            "bias mantissa",
            comps.bias_mantissa,
            -limits.bias_mantissa_max.value,
            limits.bias_mantissa_max.value,
        ),
        ("bias exponent", comps.bias_exponent, 0, limits.bias_exponent_max.value),
        ("compartment profile", comps.profile, 0, len(profiles) - 1),
        ("threshold profile", comps.threshold, 0, len(core.thresholds) - 1),
        ("population", comps.population, -1, len(comps) - 1),
        (
            "weight exponent",
            formats.exponent,
            model.weight_exponent_min.value,
            model.weight_exponent_max.value,
        ),
        ("sign mode", formats.sign_mode, 1, 3),
        ("dense switch", formats.dense, 0, 1),
        ("delay bits", formats.delay_bits, 0, model.delay_max.value.bit_length()),
        ("block format", blocks.format, 0, len(formats) - 1),
        ("block start", blocks.start, 0, len(synapses)),
        ("synaptic delay", synapses.delay, 0, model.delay_max.value),
        ("axon block", axons.block, 0, len(blocks) - 1),
        ("axon base", axons.base, 0, hardware.axon.base_max.value),
        ("vmin exponent", np.array([core.vmin_exponent]), 0, limits.vmin_exponent_max.value),
        ("vmax exponent", np.array([core.vmax_exponent]), 0, limits.vmax_exponent_max.value),
        ("noise exponent", np.array([core.noise_exponent]), 0, limits.noise_exponent_max.value),
        (
            "noise offset",
            np.array([core.noise_offset]),
            -limits.noise_offset_max.value,
            limits.noise_offset_max.value,
        ),
        (
            "compartment of an initial voltage",
            core.initial_voltages.compartment,
            0,
            len(comps) - 1,
        ),
        (
            "initial voltage",
            core.initial_voltages.voltage,
            1 - (1 << arithmetic.CURRENT_BITS),
            (1 << arithmetic.CURRENT_BITS) - 1,
        ),
        ("noise target", np.array([core.noise_at_voltage]), 0, 1),
    ]
    sound = True
    for what, values, low, high in ranges:
        bad = np.flatnonzero((values < low) | (values > high))
        if len(bad):
            sound = False
            yield f"{what} {values[bad[0]]} (row {bad[0]}) is outside {low}..{high}"
    for what, values, allowed in (
        ("weight bits", formats.weight_bits, model.weight_bits.values),
        ("index bits", formats.index_bits, model.index_bits.values),
        ("axon kind", axons.kind, (DISCRETE, POP16, POP32)),
        ("axon kind", core.output_axons.kind, (DISCRETE, POP16, POP32)),
    ):
        odd = sorted({int(v) for v in values} - set(allowed))
        if odd:
            sound = False
            yield f"{what} {odd[0]} is none of {', '.join(map(str, allowed))}"
    ends = blocks.start.astype(np.int64) + blocks.atoms.astype(np.int64) * blocks.length
    if len(ends) and ends.max() > len(synapses):
        sound = False
        yield f"a block ends at synapse {ends.max()} of {len(synapses)}"
    if not sound:
        return
    for resource, used, limit in core_bill(core, hardware).compared(hardware):
        if used > limit:
            yield f"{used} {RESOURCES[resource]}, the limit is {limit}"
    yield from _block_faults(core)
    yield from _input_faults(core, hardware)
    yield from _learning_faults(core, hardware)


def _block_faults(core: Core) -> Iterator[str]:
    """Weights and targets against the format that they are stored in."""
    formats, blocks, synapses = core.formats, core.blocks, core.synapses
    for k in range(len(blocks)):
        start, length, f = int(blocks.start[k]), int(blocks.length[k]), int(blocks.format[k])
        part = synapses.rows(start, start + int(blocks.atoms[k]) * length)
        if not len(part):
            yield f"block {k} holds no synapses"
            continue
        mode, bits = int(formats.sign_mode[f]), int(formats.weight_bits[f])
        low, high = mantissa_range(mode)
        step = mantissa_step(bits, mode)
        if part.mantissa.min() < low or part.mantissa.max() > high or (part.mantissa % step).any():
            yield (
                f"block {k}: weight mantissas {part.mantissa.min()}..{part.mantissa.max()} are not "
                f"all multiples of {step} in {low}..{high}"
            )
        if int(part.delay.max()).bit_length() > formats.delay_bits[f]:
            yield f"block {k}: a delay of {part.delay.max()} is too long for its bits"
        if formats.dense[f]:
            if (part.target.reshape(-1, length) != np.arange(length)).any():
                yield f"block {k}: targets in a dense format are not consecutive"
        elif int(part.target.max()).bit_length() > formats.index_bits[f]:
            yield f"block {k}: target {part.target.max()} is too large for its index bits"


def _input_faults(core: Core, hardware: HardwareModel) -> Iterator[str]:
    """Input axons against what their kind can carry, and against the core's compartments."""
    axons, blocks, limits = core.input_axons, core.blocks, hardware.axon
    if not len(axons):
        return
    reach = np.array(
        [
            int(core.synapses.target[start : start + atoms * length].max(initial=0))
            for start, atoms, length in zip(
                blocks.start.tolist(), blocks.atoms.tolist(), blocks.length.tolist(), strict=True
            )
        ]
    )
    last = axons.base.astype(np.int64) + reach[axons.block]
    if last.max() >= len(core.compartments):
        k = int(last.argmax())
        yield f"axon {k} reaches compartment {last[k]} of {len(core.compartments)}"
    atoms = blocks.atoms[axons.block]
    for kind, most in (
        (DISCRETE, 1),
        (POP16, limits.pop16_atoms.value),
        (POP32, limits.pop32_atoms.value),
    ):
        bad = np.flatnonzero((axons.kind == kind) & (atoms > most))
        if len(bad):
            yield f"axon {bad[0]} of kind {kind} carries {atoms[bad[0]]} atoms, the limit is {most}"
    narrow = axons.kind == POP16
    multiple = limits.pop16_base_multiple.value
    crooked = np.flatnonzero(narrow & (axons.base % multiple != 0))
    if len(crooked):
        base = axons.base[crooked[0]]
        yield f"pop16 axon {crooked[0]} has base {base}, no multiple of {multiple}"
    for mask, bits in (
        (narrow, limits.pop16_target_bits.value),
        (~narrow, limits.target_bits.value),
    ):
        numbers = np.flatnonzero(mask)
        if len(numbers) and numbers[-1] >= 1 << bits:
            yield f"axon {numbers[-1]} cannot be named with {bits} bits"


def _learning_faults(core: Core, hardware: HardwareModel) -> Iterator[str]:
    """Blocks that learn against what their traces and rates allow."""
    table, blocks, axons = core.learning, core.blocks, core.input_axons
    limits = hardware.learning
    if not len(table):
        return
    for what, values, low, high in (
        ("learning block", table.block, 0, len(blocks) - 1),
        ("trace impulse", table.trace_impulse, 0, limits.trace_impulse_max.value),
        ("trace time constant", table.trace_tau, 1, limits.trace_tau_max.value),
        ("trace epoch", table.trace_epoch, 1, limits.epoch_max.value),
        ("learning epoch", table.learn_epoch, 1, limits.epoch_max.value),
        (
            "learning rate mantissa",
            table.rate_mantissa,
            limits.rate_mantissa_min.value,
            limits.rate_mantissa_max.value,
        ),
        (
            "learning rate exponent",
            table.rate_exponent,
            limits.rate_exponent_min.value,
            limits.rate_exponent_max.value,
        ),
    ):
        bad = np.flatnonzero((values < low) | (values > high))
        if len(bad):
            yield f"{what} {values[bad[0]]} (row {bad[0]}) is outside {low}..{high}"
            return
    if len(np.unique(table.block)) < len(table):
        yield "a block learns by two rules"
    if len(table) != len(blocks):
        yield f"{len(table)} of {len(blocks)} blocks learn; on a core all do or none"
    uses = np.bincount(axons.block, minlength=len(blocks))
    ends = blocks.start.astype(np.int64) + blocks.length
    order = np.argsort(blocks.start)
    shared = np.zeros(len(blocks), bool)
    shared[order[1:]] = blocks.start[order[1:]] < ends[order[:-1]]
    kind = np.full(len(blocks), DISCRETE, np.int64)
    kind[axons.block] = axons.kind
    for k in table.block.tolist():
        if uses[k] != 1 or blocks.atoms[k] != 1 or kind[k] != DISCRETE or shared[k]:
            yield (
                f"learning block {k} has {uses[k]} axons of kind {kind[k]} and {blocks.atoms[k]} "
                "atoms; one discrete axon, one atom and synapses of its own are needed"
            )
        part = core.synapses.rows(int(blocks.start[k]), int(ends[k]))
        if len(np.unique(part.target)) < len(part):
            yield f"learning block {k} has two synapses onto one compartment"
        mode, bits = (
            int(column[blocks.format[k]])
            for column in (core.formats.sign_mode, core.formats.weight_bits)
        )
        limit = learned_limit(mantissa_step(bits, mode)) * mantissa_step(bits, mode)
        if mode != MIXED or limit < 1:
            yield (
                f"learning block {k} has sign mode {mode} and {bits} weight bits; what learns "
                f"needs mode {MIXED} and 2 bits or more"
            )
        elif np.abs(part.mantissa).max(initial=0) > limit:
            yield f"learning block {k} has mantissas beyond ±{limit}, where learning ends"


def _place_faults(program: Program, hardware: HardwareModel) -> Iterator[str]:
    family, _, board_name = program.target.partition(":")
    boards = {board.name: board for board in hardware.boards}
    if family != hardware.name or board_name not in boards:
        yield f"target {program.target!r} is no board of {hardware.name}"
        return
    places = [(core.chip, core.position) for core in program.cores]
    if len(set(places)) < len(places):
        yield "two cores share a place on a chip"
    for number, (chip, position) in enumerate(places):
        if not 0 <= chip < boards[board_name].chips:
            yield f"core {number} is on chip {chip}, {board_name} has {boards[board_name].chips}"
        usable = boards[board_name].usable_cores(hardware)
        if not 0 <= position < usable:
            yield f"core {number} is at {position}, a chip has {usable} cores"


def _axon_faults(program: Program) -> Iterator[str]:
    """Output axons against the input axons that they name."""
    for number, core in enumerate(program.cores):
        out, comps = core.output_axons, core.compartments
        for k in range(len(out)):
            kind, target, axon = int(out.kind[k]), int(out.core[k]), int(out.axon[k])
            where = f"core {number}: output axon {k}"
            if not 0 <= target < len(program.cores):
                yield f"{where} goes to core {target} of {len(program.cores)}"
                continue
            into = program.cores[target]
            if axon >= len(into.input_axons):
                yield f"{where} goes to axon {axon} of {len(into.input_axons)} of core {target}"
                continue
            if into.input_axons.kind[axon] != kind:
                yield f"{where} is of kind {kind}, its target {into.input_axons.kind[axon]}"
            source = int(out.source[k])
            if kind == DISCRETE:
                if source >= len(comps):
                    yield f"{where} belongs to compartment {source} of {len(comps)}"
                continue
            atoms = comps.atom[comps.population == source]
            held = int(into.blocks.atoms[into.input_axons.block[axon]])
            if not len(atoms) or atoms.max() >= held:
                yield f"{where}: population {source} has atoms that block of {held} atoms has not"


def _layer_faults(program: Program) -> Iterator[str]:
    """Names and scales of layers, and that no compartment is two neurons."""
    names = [program.encoder.name, *(layer.name for layer in program.layers)]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"two layers are called {name!r}"
    for name in names:
        if not name or not name.isprintable():
            yield f"a layer is called {name!r}, which cannot be printed"
    for layer in program.layers:
        if not (0 < layer.amplitude < float("inf") and 0 < layer.voltage_scale < float("inf")):
            yield (
                f"layer {layer.name!r} has amplitude {layer.amplitude} and voltage scale "
                f"{layer.voltage_scale}, which must be above 0 and finite"
            )
    if program.layers:
        places = np.stack(
            [
                np.concatenate([layer.core for layer in program.layers]),
                np.concatenate([layer.compartment for layer in program.layers]),
            ],
            axis=1,
        )
        if len(np.unique(places, axis=0)) < len(places):
            yield "a compartment stands for two neurons"
    if not (
        np.isfinite(program.read_out.weights).all() and np.isfinite(program.read_out.bias).all()
    ):
        yield "the read-out has weights that are NaN or infinite"


def _host_faults(program: Program) -> Iterator[str]:
    injection, encoder = program.injection, program.encoder
    neurons = prod(encoder.shape)
    if len(injection) and (injection.neuron.min() < 0 or injection.neuron.max() >= neurons):
        yield f"injection names encoder neuron {injection.neuron.max()} of {neurons}"
    if np.any(np.diff(injection.neuron) < 0):
        yield "injections are not in the order of encoder neurons"
    for target in np.unique(injection.core):
        rows = injection.core == target
        if not 0 <= target < len(program.cores):
            yield f"injection into core {target} of {len(program.cores)}"
            continue
        core = program.cores[target]
        axon, atom = injection.axon[rows], injection.atom[rows]
        if axon.max() >= len(core.input_axons):
            yield f"injection into axon {axon.max()} of core {target}"
        elif (atom >= core.blocks.atoms[core.input_axons.block[axon]]).any():
            yield f"injection into core {target} with an atom that its block has not"
    yield from encoder_faults(encoder)
    if program.steps < 1 or not 0 < program.dt_s < float("inf"):
        yield f"{program.steps} steps of {program.dt_s} s cannot be run"
    sizes: dict[str, int] = {}
    yield from _layer_faults(program)
    for layer in program.layers:
        sizes[layer.name] = layer.neurons
        if layer.neurons != prod(layer.shape) or len(layer.compartment) != layer.neurons:
            yield f"layer {layer.name!r} has {layer.neurons} neurons, its shape {layer.shape}"
        for target in np.unique(layer.core):
            if not 0 <= target < len(program.cores):
                yield f"layer {layer.name!r} is on core {target} of {len(program.cores)}"
                continue
            compartment = layer.compartment[layer.core == target]
            size = len(program.cores[target].compartments)
            if compartment.min() < 0 or compartment.max() >= size:
                yield f"layer {layer.name!r} uses compartment {compartment.max()} of {size}"
    read = program.read_out
    unknown = [name for name in read.layers if name not in sizes]
    if encoder.name in read.layers:
        yield (
            f"the read-out reads layer {encoder.name!r}, which runs on the host before the chip; "
            "use fewer --host-layers"
        )
    elif read.kind not in ("counts", "voltage") or unknown or not read.layers:
        yield f"the read-out of kind {read.kind!r} names unknown layers {unknown}"
    elif read.weights.shape[0] != sum(sizes[name] for name in read.layers) or (
        read.bias.shape != read.weights.shape[1:]
    ):
        yield f"the read-out's weights of shape {read.weights.shape} do not fit its layers"
    for what, number, sound in (
        ("window", read.window, 0 < read.window <= 1),
        ("synapse", read.synapse_s, 0 <= read.synapse_s < float("inf")),
        (
            "rise",
            read.rise_s,
            read.rise_s == 0 or (read.synapse_s > 0 < read.rise_s < float("inf")),
        ),
        ("margin", read.margin, 0 <= read.margin < float("inf")),
    ):
        if not sound:
            yield f"the read-out has a {what} of {number}"
