"""A discretised nengo-loihi Model as a Program: every block a core, every spike input encoders.

The Program computes what nengo-loihi's emulator computes, bit for bit. It keeps the blocks as
nengo-loihi split them; a core of it may hold more than a chip's, which `verify` tells.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip.program import Encoder, Injection, Layer, Program, ReadOut
from nmcompile.errors import ModelError
from nmcompile.nengo.blocks import Draft, add_output_axons, core, draft, ends

#: Names that encoders have, and no layer.
ENCODERS = ("encoder", "spikes")
#: An encoder of spike inputs fires in every step at this current.
UNIT = 1 << 14


@dataclass(frozen=True, eq=False)
class Translation:
    """A Program, and where the parts of the Model are in it.

    Attributes
    ----------
    first_compartment : block -> number of its first compartment
    first_neuron : input -> number of its first encoder neuron
    """

    program: Program
    first_compartment: dict[Any, int]
    first_neuron: dict[Any, int]


def translate(model: Any, without: Sequence[Any] = ()) -> Translation:
    """Turn a discretised nengo-loihi Model into a Program.

    Parameters
    ----------
    without : blocks to leave out, with all that leads to them

    Raises
    ------
    ModelError
        The Model is not discretised, has no blocks, or holds what a core's tables cannot.
    """
    blocks = [block for block in model.blocks if block not in without]
    if not blocks:
        raise ModelError("the nengo-loihi model has no blocks, so nothing of it is on the chip")
    if any(block.compartment.vth.dtype != np.int32 for block in blocks):
        raise ModelError(
            "the nengo-loihi model is not discretised, and the chip has integers only; call "
            "nengo_loihi.builder.discretize.discretize_model on it, or use target='sim'"
        )
    drafts = [draft(block) for block in blocks]
    core_of = {synapse: k for k, block in enumerate(blocks) for synapse in block.synapses}
    for made in drafts:
        found = [
            ends(axon, made.block.n_neurons) for axon in made.block.axons if axon.target in core_of
        ]
        add_output_axons(made, found, core_of, drafts)
    inputs = list(model.inputs)
    sizes = [block.n_neurons for block in blocks]
    first = np.cumsum([0, *sizes]).tolist()
    encoders = np.cumsum([0, *(each.n_neurons for each in inputs)]).tolist()
    injection = _injection(inputs, encoders, core_of, drafts)
    names = layer_names(blocks)
    program = Program(
        target="loihi1:kapoho-bay",
        cores=tuple(core(made, first[k], k) for k, made in enumerate(drafts)),
        encoder=_encoder(max(encoders[-1], 1)),
        injection=injection,
        layers=tuple(
            Layer(
                name=names[k],
                shape=(size,),
                core=np.full(size, k, np.int32),
                compartment=np.arange(size, dtype=np.int32),
                amplitude=1.0,
                voltage_scale=1.0,
                depth=1,
                origin=(names[k],),
            )
            for k, size in enumerate(sizes)
        ),
        read_out=ReadOut(
            kind="counts",
            layers=(names[-1],),
            weights=np.eye(sizes[-1], dtype=np.float32),
            bias=np.zeros(sizes[-1], np.float32),
        ),
        steps=1,
        dt_s=float(model.dt),
    )
    return Translation(
        program,
        dict(zip(blocks, first, strict=False)),
        dict(zip(inputs, encoders, strict=False)),
    )


def layer_names(blocks: Sequence[Any]) -> list[str]:
    """A short name for each block: its ensemble's, or ``PRE -> POST`` for a connection's."""
    names: list[str] = []
    for block in blocks:
        label = plain_label(str(block.label or "")) or "block"
        name, count = label, 1
        while name in names or name in ENCODERS:
            count += 1
            name = f"{label} {count}"
        names.append(name)
    return names


def plain_label(text: str) -> str:
    """What Nengo calls an object, without the signs around it and its address in memory."""
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    text = re.sub(r"<Neurons of (<[^<>]*>)>", r"\1", text)
    text = re.sub(r"<(\w+) \(unlabeled\) at 0x[0-9a-f]+>", lambda m: m[1].lower(), text)
    text = re.sub(r"<\w+ (['\"])(.*?)\1>", r"\2", text)
    connection = re.match(r"<?Connection from (.*?) to (.*?)(?: computing .*)?>?$", text)
    if connection:
        text = f"{connection[1]} -> {connection[2]}"
    if text.startswith("<") and text.endswith(">"):
        text = text[1:-1]
    return text.replace(":", " ").strip()


def _injection(
    inputs: list[Any], first: list[int], core_of: dict[Any, int], drafts: list[Draft]
) -> Injection:
    rows: list[tuple[int, int, int, int]] = []
    for number, each in zip(first, inputs, strict=False):
        for axon in each.axons:
            found = ends(axon, each.n_neurons)
            target = core_of[found.target]
            for source, k, atom in zip(
                found.source.tolist(), found.axon.tolist(), found.atom.tolist(), strict=True
            ):
                place = drafts[target].places.get((found.target, k))
                if place is not None:
                    rows.append((number + source, target, place, atom))
    rows.sort(key=lambda row: row[0])
    return Injection.from_rows(rows)


def _encoder(neurons: int) -> Encoder:
    """Input 0..1 is the share of steps in which a neuron fires."""
    return Encoder.passing(ENCODERS[1], neurons, input_scale=float(UNIT), threshold=UNIT)


def host_spikes(inputs: dict[Any, int], steps: range) -> list[NDArray[np.int64]]:
    """Encoder neurons whose spikes arrive in nengo-loihi's steps: those sent one step earlier."""
    arriving = []
    for t in steps:
        parts = [np.zeros(0, np.int64)]
        for each, first in inputs.items():
            sent = np.asarray(each.spike_idxs(t - 1) if t >= 2 else [], np.int64)
            if len(sent) and not 0 <= sent.min() <= sent.max() < each.n_neurons:
                raise ModelError(
                    f"an input of {each.n_neurons} neurons sends spikes of neurons {sent.min()} to "
                    f"{sent.max()} in step {t - 1}"
                )
            parts.append(first + sent)
        arriving.append(np.concatenate(parts))
    return arriving
