"""Read-out on the host: scores from spike counts or from final voltages."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip.program import Program


def decode(program: Program, values: NDArray[np.int64], steps: int) -> NDArray[np.float64]:
    """Scores of each sample.

    A layer `depth` steps behind the input can fire in ``steps - depth`` steps, so this is what
    counts are divided by to give activations.

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
    return (values * scale) @ read.weights.astype(np.float64) + read.bias


def _scale(program: Program, name: str, steps: int) -> NDArray[np.float64]:
    """Activation per count, or per unit of final voltage, for each neuron of a layer."""
    layer = program.layer(name)
    seen = max(steps - layer.depth, 1)
    if program.read_out.kind == "counts":
        return np.full(layer.neurons, layer.amplitude / seen)
    return np.full(layer.neurons, 1 / (layer.voltage_scale * seen))
