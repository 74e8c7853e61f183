"""Read-out on the host: scores from spikes, weighted by when they came, or from final voltages."""

from __future__ import annotations

from math import ceil, log2

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip.arithmetic import CURRENT_BITS
from nmcompile.chip.program import Program
from nmcompile.ir.nodes import left_at_end

#: Whole numbers of so many bits are exact in float64.
EXACT_BITS = 53
LARGEST_VOLTAGE = 1 << CURRENT_BITS
#: What the last step's spikes count where a filter lets earlier ones count less.
FILTER_ONE = 1 << 12


def step_weights(program: Program, steps: int) -> NDArray[np.int64]:
    """(steps,) what a spike of a read layer counts in each step, in whole numbers.

    With a window only the last steps count, and none in which the layers that are read cannot
    have seen their input yet. With a synapse a spike counts by how much of it is left at the end.
    """
    read = program.read_out
    weights = np.ones(steps, np.int64)
    if read.synapse_s:
        left = left_at_end(steps, program.dt_s, read.synapse_s, read.rise_s)
        weights = np.rint(FILTER_ONE * left).astype(np.int64)
    if read.window < 1:
        weights[: first_counted(program, steps)] = 0
    return weights


def first_counted(program: Program, steps: int) -> int:
    """Number of the first step whose spikes are counted."""
    read = program.read_out
    if read.window >= 1:
        return 0
    deepest = max(program.layer(name).depth for name in read.layers)
    return min(max(deepest, steps - max(1, round(read.window * steps))), steps - 1)


def decode(program: Program, values: NDArray[np.int64], steps: int) -> NDArray[np.float64]:
    """Scores of each sample.

    A layer `depth` steps behind the input can fire in the steps from `depth` on, so counts are
    divided by what `step_weights` says of these to give activations.

    The products are summed in whole numbers of a unit so fine that float64 still holds any sum
    exactly: so scores do not depend on the order in which a machine adds, nor on how many
    samples it takes at a time.

    Parameters
    ----------
    program : gives layers, amplitudes and read-out weights
    values : (samples, read neurons) spikes weighted by `step_weights`, or final voltages, of the
        read layers
    steps : time steps that each sample ran for

    Returns
    -------
    (samples, outputs) float64, the network's outputs before a softmax
    """
    matrix, unit = read_matrix(program, steps)
    return (values.astype(np.float64) @ matrix) * unit + program.read_out.bias


def read_matrix(program: Program, steps: int) -> tuple[NDArray[np.float64], float]:
    """(read neurons, outputs) whole numbers that `decode` multiplies with, and their unit."""
    read = program.read_out
    counted = step_weights(program, steps)
    scale = np.concatenate([_scale(program, name, counted) for name in read.layers])
    weights = scale[:, None] * read.weights.astype(np.float64)
    largest = int(counted.sum()) if read.kind == "counts" else LARGEST_VOLTAGE
    bits = EXACT_BITS - ceil(log2(largest * max(len(scale), 1)))
    unit = 2.0 ** (ceil(log2(np.abs(weights).max(initial=0) or 1.0)) - bits)
    return np.rint(weights / unit), unit


def _scale(program: Program, name: str, counted: NDArray[np.int64]) -> NDArray[np.float64]:
    """Activation per count, or per unit of final voltage, for each neuron of a layer."""
    layer = program.layer(name)
    if program.read_out.kind == "counts":
        return np.full(layer.neurons, layer.amplitude / max(int(counted[layer.depth :].sum()), 1))
    return np.full(layer.neurons, 1 / (layer.voltage_scale * max(len(counted) - layer.depth, 1)))
