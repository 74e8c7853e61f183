"""Read-out on the host: scores from spike counts or from final voltages."""

from __future__ import annotations

from math import ceil, log2

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip.arithmetic import CURRENT_BITS
from nmcompile.chip.program import Program

#: Whole numbers of so many bits are exact in float64.
EXACT_BITS = 53
LARGEST_VOLTAGE = 1 << CURRENT_BITS


def decode(program: Program, values: NDArray[np.int64], steps: int) -> NDArray[np.float64]:
    """Scores of each sample.

    A layer `depth` steps behind the input can fire in ``steps - depth`` steps, so this is what
    counts are divided by to give activations.

    The products are summed in whole numbers of a unit so fine that float64 still holds any sum
    exactly: so scores do not depend on the order in which a machine adds, nor on how many
    samples it takes at a time.

    Parameters
    ----------
    program : gives layers, amplitudes and read-out weights
    values : (samples, read neurons) spike counts or final voltages of the read layers
    steps : time steps that each sample ran for

    Returns
    -------
    (samples, outputs) float64, the network's outputs before a softmax
    """
    read = program.read_out
    scale = np.concatenate([_scale(program, name, steps) for name in read.layers])
    weights = scale[:, None] * read.weights.astype(np.float64)
    largest = steps if read.kind == "counts" else LARGEST_VOLTAGE
    bits = EXACT_BITS - ceil(log2(largest * max(len(scale), 1)))
    unit = 2.0 ** (ceil(log2(np.abs(weights).max(initial=0) or 1.0)) - bits)
    return (values.astype(np.float64) @ np.rint(weights / unit)) * unit + read.bias


def _scale(program: Program, name: str, steps: int) -> NDArray[np.float64]:
    """Activation per count, or per unit of final voltage, for each neuron of a layer."""
    layer = program.layer(name)
    seen = max(steps - layer.depth, 1)
    if program.read_out.kind == "counts":
        return np.full(layer.neurons, layer.amplitude / seen)
    return np.full(layer.neurons, 1 / (layer.voltage_scale * seen))
