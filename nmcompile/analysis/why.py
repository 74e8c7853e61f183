"""Why a layer takes the cores that it takes: the arithmetic behind it, resource by resource."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nmcompile.analysis.parts import Part, layer_parts
from nmcompile.analysis.resources import (
    DIVISIBLE,
    TITLES,
    LayerUse,
    counted,
    listed,
    network_use,
    percent,
)
from nmcompile.chip.bill import RESOURCES, axon_slots, bits_per_synapse, block_words, neuron_words
from nmcompile.chip.core import DISCRETE, POP16, POP32, Core
from nmcompile.chip.program import Program
from nmcompile.errors import UsageError
from nmcompile.hardware import HardwareModel
from nmcompile.ir.text import shape_text
from nmcompile.mapper.bounds import words_per_synapse

#: Kind of axon -> word.
KINDS = {DISCRETE: "discrete", POP16: "pop16", POP32: "pop32"}
#: Groups of blocks that are listed; the others are summed.
LISTED = 8


@dataclass(frozen=True)
class Reason:
    """One line of the arithmetic.

    Attributes
    ----------
    about : "cut", a resource as in `chip.bill.Bill`, or "bound"
    where : "the layer", or a core such as "core 3"
    text : the arithmetic, in words
    used, limit : units of the resource, and how many a core has; None where neither is meant
    """

    about: str
    where: str
    text: str
    used: float | None = None
    limit: int | None = None

    @property
    def cores(self) -> float | None:
        """Cores' worth."""
        return None if self.used is None or not self.limit else self.used / self.limit

    @property
    def title(self) -> str:
        """What it is about, for people."""
        return TITLES.get(self.about, self.about)


@dataclass(frozen=True)
class Why:
    """The reasons of one layer, and which of its resources asks for most."""

    layer: str
    reasons: tuple[Reason, ...]
    verdict: str


def why(program: Program, hardware: HardwareModel, layer: str) -> Why:
    """The arithmetic behind one layer's cores.

    Raises
    ------
    UsageError
        No layer on the chip has that name.
    """
    network = network_use(program, hardware)
    uses = {use.layer: use for use in network.layers}
    if layer not in uses:
        raise UsageError(
            f"--why {layer}: no layer on the chip is called so; those are {', '.join(uses)}"
        )
    use = uses[layer]
    parts = layer_parts(program)[layer]
    part = next(each for each in parts if each.number == use.core)
    mapping = program.manifest.get("mapping")
    known = mapping["layers"].get(layer) if mapping else None
    reasons = [
        *_cut(use, known),
        *_compartments(use, part, hardware),
        *_memory(use, part, hardware),
        *_input_axons(use, part, hardware),
        *_output_axons(use, part, hardware),
        *_bound(use, parts, hardware),
    ]
    return Why(layer, tuple(reasons), _verdict(use))


def _cut(use: LayerUse, known: Mapping[str, Any] | None) -> Iterator[Reason]:
    if known is None:
        text = f"{shape_text(use.shape)} on {counted(len(use.cores), 'core')}"
    else:
        order = "place by place" if known["channels_last"] else "channel by channel"
        text = (
            f"{shape_text(known['grid'])} in {counted(known['pieces'], 'piece')} of at most "
            f"{shape_text(known['box'])}, numbered {order}, on {counted(len(use.cores), 'core')}"
        )
        if halo := known.get("halo", 0):
            text += f"; {counted(halo, 'column')} without neurons on either side of a piece"
    yield Reason("cut", "the layer", text)
    if known is not None:
        for each in known["inputs"]:
            yield Reason("cut", "the layer", f"from {each['source']}: {_split_text(each['split'])}")
    for other, cores in use.shared.items():
        numbers = listed([str(core) for core in cores[:LISTED]])
        if len(cores) > LISTED:
            numbers = f"{', '.join(map(str, cores[:LISTED]))} …"
        noun = "core" if len(cores) == 1 else "cores"
        yield Reason("cut", "the layer", f"shares {noun} {numbers} with {other}")


def _split_text(split: str) -> str:
    each = {"rows": ", population and row", "taps": ", population and tap"}
    return f"an axon for each piece{each.get(split, ' and population')}" + (
        "" if split == "none" else " of the kernel"
    )


def _compartments(use: LayerUse, part: Part, hardware: HardwareModel) -> Iterator[Reason]:
    limit = hardware.core.compartments.value
    total = round(use.worth["compartments"] * limit)
    idle = total - use.neurons
    sum_text = f"{use.neurons:,} neurons"
    if idle:
        sum_text += f" + {idle:,} compartments without one = {total:,}"
    yield _whole("compartments", sum_text, total, limit)
    yield _on_core(use, "compartments", f"{len(part.compartments):,} compartments", part)


def _memory(use: LayerUse, part: Part, hardware: HardwareModel) -> Iterator[Reason]:
    limit = hardware.core.memory_words.value
    total = use.worth["memory_words"] * limit
    yield _whole("memory_words", f"{round(total):,} words", total, limit)
    where = f"core {part.number}"
    groups = block_groups(part, hardware)
    for text, words in groups[:LISTED]:
        yield Reason("memory_words", where, text, words, limit)
    if rest := groups[LISTED:]:
        words = sum(each for _, each in rest)
        text = f"{counted(len(rest), 'more group')} of equal blocks = {words:,} words"
        yield Reason("memory_words", where, text, words, limit)
    if neurons := neuron_words(len(part.compartments), hardware):
        each = hardware.core.words_per_compartment.value
        text = f"{len(part.compartments):,} compartments of {each} words = {neurons:,} words"
        yield Reason("memory_words", where, text, neurons, limit)
    yield _on_core(use, "memory_words", f"{use.own['memory_words']:,} words", part)


def block_groups(part: Part, hardware: HardwareModel) -> list[tuple[str, int]]:
    """(arithmetic, words) of each group of equal blocks of a layer on a core, largest first."""
    core = part.core
    rows = np.stack(
        [core.blocks.atoms, core.blocks.length, core.blocks.format], axis=1, dtype=np.int64
    )
    alike, counts = np.unique(rows[part.blocks], axis=0, return_counts=True)
    found = []
    for (atoms, length, number), count in zip(alike.tolist(), counts.tolist(), strict=True):
        each = block_words(atoms * length, bits_per_synapse(core.formats, number), hardware)
        size = f"{atoms} x {length}" if atoms > 1 else f"{length}"
        text = (
            f"{counted(count, 'block')} of {size} synapses of {_bits_text(core, number)} = "
            f"{count:,} x {each:,} = {count * each:,} words"
        )
        found.append((text, count * each))
    return sorted(found, key=lambda group: -group[1])


def _bits_text(core: Core, number: int) -> str:
    """Bits of weight, delay and index, those that are there."""
    formats = core.formats
    words = [f"{formats.weight_bits[number]}"]
    if formats.delay_bits[number]:
        words.append(f"{formats.delay_bits[number]} (delay)")
    if not formats.dense[number]:
        words.append(f"{formats.index_bits[number]} (index)")
    return f"{' + '.join(words)} bits"


def _input_axons(use: LayerUse, part: Part, hardware: HardwareModel) -> Iterator[Reason]:
    limit = hardware.core.input_axons.value
    total = use.worth["input_axons"] * limit
    yield _whole("input_axons", f"{round(total):,} axons", total, limit)
    kinds = Counter(part.core.input_axons.kind[part.input_axons].tolist())
    words = [f"{count:,} {KINDS[kind]}" for kind, count in sorted(kinds.items())]
    if learning := len(part.own.learning) * (hardware.axon.learning_slots.value - 1):
        words.append(f"{learning:,} for learning")
    text = " + ".join(words) or "no"
    if len(words) > 1:
        text += f" = {use.own['input_axons']:,}"
    yield _on_core(use, "input_axons", f"{text} axons", part)


def _output_axons(use: LayerUse, part: Part, hardware: HardwareModel) -> Iterator[Reason]:
    limit = hardware.core.output_axon_slots.value
    total = use.worth["output_axon_slots"] * limit
    yield _whole("output_axon_slots", f"{round(total):,} slots", total, limit)
    kinds = Counter(part.core.output_axons.kind[part.output_axons].tolist())
    words = []
    for kind, count in sorted(kinds.items()):
        slots = axon_slots(kind, hardware)
        words.append(f"{count:,} {KINDS[kind]} x {counted(slots, 'slot')}")
    text = f"{' + '.join(words)} = {use.own['output_axon_slots']:,} slots" if words else "no slots"
    yield _on_core(use, "output_axon_slots", text, part)


def _whole(resource: str, text: str, used: float, limit: int) -> Reason:
    """What all parts of the layer take of a resource, in cores."""
    return Reason(
        resource, "the layer", f"{text} / {limit:,} = {used / limit:.2f} cores", used, limit
    )


def _on_core(use: LayerUse, resource: str, text: str, part: Part) -> Reason:
    """What the layer takes of its fullest core, and others there."""
    used, limit = use.fullest[resource]
    mine = use.own[resource]
    rest = f" + {used - mine:,} of other layers = {used:,}" if used > mine else ""
    full = f"{text}{rest} of {limit:,}, {percent(used / limit)} full"
    return Reason(resource, f"core {part.number}", full, used, limit)


def _bound(use: LayerUse, parts: Sequence[Part], hardware: HardwareModel) -> Iterator[Reason]:
    """The arithmetic of the lower bound, from the manifest."""
    if use.bound is None:
        return
    for resource in DIVISIBLE:
        least = use.bound.least.get(resource, 0.0)
        limit = getattr(hardware.core, resource).value
        noun = RESOURCES[resource]
        text = f"at least {least:,.0f} {noun}"
        if resource == "memory_words":
            text = _least_memory(use, parts, hardware, least)
        yield Reason(
            "bound", "the layer", f"{text} / {limit:,} = {least / limit:.2f} cores", least, limit
        )
    cores = counted(use.bound.cores, "core")
    yield Reason("bound", "the layer", f"at least {cores}, by {TITLES[use.bound.binding]}")


def _least_memory(
    use: LayerUse, parts: Sequence[Part], hardware: HardwareModel, least: float
) -> str:
    """The least words, from weights where all have one width."""
    text = f"at least {least:,.0f} words"
    widths = {
        int(part.core.formats.weight_bits[k]) + int(part.core.formats.delay_bits[k])
        for part in parts
        for k in np.unique(part.core.blocks.format[part.blocks]).tolist()
    }
    if len(widths) != 1:
        return text
    bits = widths.pop()
    words = least - neuron_words(use.neurons, hardware)
    weights = round(words / words_per_synapse(bits, hardware))
    return f"{weights:,} weights x {bits} bits -> {text}"


def _verdict(use: LayerUse) -> str:
    """Which resource asks for most, and by how much."""
    first, second = sorted(use.worth, key=lambda name: -use.worth[name])[:2]
    return (
        f"{TITLES[first]} ask for most, {use.worth[first]:.2f} cores, before {TITLES[second]}, "
        f"{use.worth[second]:.2f}; {use.layer} {use.sentence()}"
    ).replace("memory ask for", "memory asks for")
