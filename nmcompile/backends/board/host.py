"""What of a run stays on the host: spikes to send, and which compartments a layer has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nmcompile.backends.board.encode import Places
from nmcompile.chip.program import Program
from nmcompile.host.encoder import encoder_spikes, frame_currents
from nmcompile.ir.nodes import FloatArray


@dataclass(frozen=True, eq=False)
class HostSpikes:
    """Spikes that the host sends, in order of samples and steps.

    Attributes
    ----------
    sample : (spikes,) int32
    step : (spikes,) int32, from 1 on; the chip gets the spike at the end of this step, so that it
        acts in the next
    chip, core, axon, atom : (spikes,) int32; the input axon that it enters by
    counts : (samples,) spikes of encoder neurons, each of which may enter by several axons
    """

    sample: NDArray[np.int32]
    step: NDArray[np.int32]
    chip: NDArray[np.int32]
    core: NDArray[np.int32]
    axon: NDArray[np.int32]
    atom: NDArray[np.int32]
    counts: NDArray[np.int64]


def host_spikes(program: Program, inputs: FloatArray, steps: int) -> HostSpikes:
    """What the encoder makes of samples.

    Parameters
    ----------
    inputs : (samples, *input shape), or (samples, frames, *input shape)
    """
    fired = encoder_spikes(program.encoder, frame_currents(program.encoder, inputs), steps)
    sample, step, neuron = np.nonzero(fired)
    table, places = program.injection, Places.of(program)
    first = np.searchsorted(table.neuron, neuron, "left")
    uses = np.searchsorted(table.neuron, neuron, "right") - first
    row = np.repeat(first - np.cumsum(uses) + uses, uses) + np.arange(int(uses.sum()))

    def column(values: NDArray[np.int64]) -> NDArray[np.int32]:
        return values.astype(np.int32)

    return HostSpikes(
        sample=column(np.repeat(sample, uses)),
        step=column(np.repeat(step + 1, uses)),
        chip=column(places.chip[table.core[row]]),
        core=column(places.core[table.core[row]]),
        axon=column(table.axon[row]),
        atom=column(table.atom[row]),
        counts=fired.sum(axis=(1, 2)).astype(np.int64),
    )


def layer_places(program: Program, name: str) -> NDArray[np.int32]:
    """(neurons, 3) chip, core and compartment of each neuron of a layer."""
    layer, places = program.layer(name), Places.of(program)
    columns = (places.chip[layer.core], places.core[layer.core], layer.compartment)
    return np.stack(columns, axis=1).astype(np.int32)
