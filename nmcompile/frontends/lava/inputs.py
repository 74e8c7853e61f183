"""What the input neurons of a `.net` file send, which Lava drives through their bias."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.errors import DataError, ModelError
from nmcompile.frontends.budget import Budget
from nmcompile.frontends.hdf5 import open_hdf5
from nmcompile.frontends.lava.file import HDF5, LavaFile
from nmcompile.frontends.lava.neurons import BIAS_EXPONENT, registers_of
from nmcompile.frontends.layout import Refused
from nmcompile.frontends.reading import model_errors, read_file
from nmcompile.ir.registers import Registers, decayed

#: Largest mantissa of a bias; Lava's has 13 bits with sign.
MAX_BIAS = 4095
MAX_BYTES = 2 * 1024**3


def input_spikes(
    path: str | Path, bias: NDArray[Any], steps: int, max_bytes: int = MAX_BYTES
) -> NDArray[np.float32]:
    """Spikes of a file's input neurons, to be given to the network as frames over time.

    Parameters
    ----------
    bias : (samples, *shape) whole numbers as Lava's users put them into ``bias_mant``, which is
        usually ``weight * x + bias`` with the two numbers of the input layer; the shape is the
        file's, (channels, rows, columns) for images
    steps : of each sample

    Returns
    -------
    (samples, steps, *shape) of 0 and 1

    Raises
    ------
    DataError
        Biases of another shape, or that are no whole numbers of 13 bits with sign.
    ModelError
        The file cannot be read, or its input layer has no neurons that the chip knows.
    """
    path = Path(path)
    data, where = read_file(path, max_bytes), str(path)
    file = LavaFile(where, data, Budget(where, max_bytes))
    with model_errors(where, "export it again"), open_hdf5(data, where, HDF5) as held:
        layers = file.layers(held)
        if not layers or layers[0].kind != "input" or not layers[0].has_neuron():
            raise ModelError(f"{where}: its input has no neurons, so give it spikes as they are")
        shape = layers[0].shape()
        try:
            registers, threshold = registers_of(layers[0])
        except Refused as error:
            raise ModelError(f"{where}: {layers[0].name}: {error.why}; {error.remedy}") from None
    bias = np.asarray(bias)
    if bias.shape[1:] != shape:
        raise DataError(f"biases have shape {bias.shape[1:]}, the input layer of {where} {shape}")
    whole = np.rint(bias.astype(np.float64))
    if not np.array_equal(whole, bias) or np.abs(whole).max(initial=0) > MAX_BIAS:
        raise DataError(f"biases are whole numbers from {-MAX_BIAS} to {MAX_BIAS}; round them")
    return _run(registers, threshold, whole.astype(np.int64) << BIAS_EXPONENT, steps)


def _run(
    registers: Registers, threshold: int, bias: NDArray[np.int64], steps: int
) -> NDArray[np.float32]:
    """(samples, steps, *shape) spikes of neurons with a bias and no input."""
    spikes = np.zeros((len(bias), steps, *bias.shape[1:]), np.float32)
    voltage = np.zeros(bias.shape, np.int64)
    for step in range(steps):
        voltage = decayed(voltage, registers.decay_v) + bias
        fired = voltage > threshold
        spikes[:, step] = fired
        voltage[fired] = 0
    return spikes
