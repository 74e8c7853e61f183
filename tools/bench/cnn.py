"""The keras-to-loihi network: compiled, with its images, and as files for the other sides."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import nmcompile
from nmcompile.chip.program import Program
from nmcompile.host.encoder import encoder_currents, encoder_spikes
from tools.bench.record import ROOT
from tools.bench.tables import convolution, weights

MODEL = ROOT / "examples" / "keras_to_loihi" / "keras_to_loihi.keras"
IMAGES = ROOT / "examples" / "mnist" / "test_1000.npz"
CALIBRATION = ROOT / "examples" / "mnist" / "calibrate_500.npz"
#: How the example's README builds it.
STEPS = 30
NEURON = {"synapse": 0.005, "max_rate": 200.0}
#: Names of the layers on the chip, which the sides use.
LAYERS = ("conv1", "conv2", "dense")
#: Images and steps of which Lava gets the spikes.
LAVA_IMAGES, LAVA_STEPS = 3, 120
#: Images that PyTorch gets.
TORCH_IMAGES = 64


@dataclass(frozen=True)
class Cnn:
    """The compiled network and images to run it on."""

    program: Program
    x: NDArray[np.float32]
    y: NDArray[np.int64]

    @property
    def neurons(self) -> int:
        """Neurons on the chip."""
        return sum(layer.neurons for layer in self.program.layers)


def build() -> Cnn:
    """Compile the shipped network."""
    program = nmcompile.build(MODEL, calibrate=CALIBRATION, steps=STEPS, neuron=NEURON)
    with np.load(IMAGES) as file:
        return Cnn(program, file["x"], file["y"])


def for_nengo_loihi(cnn: Cnn, folder: Path) -> tuple[Path, Path]:
    """The Program, and images."""
    program, images = folder / "cnn.nmc", folder / "images.npz"
    cnn.program.save(program)
    np.savez(images, x=cnn.x)
    return program, images


def for_torch(cnn: Cnn, folder: Path) -> tuple[Path]:
    """The float weights by layer, and images."""
    path = folder / "float.npz"
    found = {}
    for node in nmcompile.load(MODEL).network:
        if hasattr(node, "weights"):
            name = node.name.partition("/")[0]
            found[f"{name}.weights"], found[f"{name}.bias"] = node.weights, node.bias
    np.savez(path, x=cnn.x[:TORCH_IMAGES], **found)
    return (path,)


def for_lava(cnn: Cnn, folder: Path) -> tuple[Path]:
    """Integers of each layer as Lava takes them, and the encoder's spikes."""
    path, program = folder / "lava.npz", cnn.program
    found: dict[str, NDArray[np.generic] | int] = {}
    shapes = [program.encoder.shape, *(program.layer(name).shape for name in LAYERS)]
    sources = [program.encoder.name, *LAYERS[:-1]]
    for k, name in enumerate(LAYERS[:2]):
        found[f"{name}.kernel"] = convolution(program, sources[k], name, (3, 3), shapes[k])
    matrix = weights(program, sources[2], LAYERS[2]).T
    # Lava's dense layer takes 8-bit mantissas that are even, and one exponent.
    common = int(np.gcd.reduce(matrix, axis=None))
    exponent = (common & -common).bit_length() - 2
    found["dense.kernel"] = matrix >> exponent if exponent >= 0 else matrix << -exponent
    found["dense.exponent"] = exponent
    for name in LAYERS:
        found.update({f"{name}.{key}": value for key, value in registers(program, name).items()})
    currents = encoder_currents(program.encoder, cnn.x[:LAVA_IMAGES])
    spikes = encoder_spikes(program.encoder, currents, LAVA_STEPS)
    found["spikes"] = spikes.reshape(*spikes.shape[:2], *program.encoder.shape)
    np.savez_compressed(path, **found)
    return (path,)


def registers(program: Program, name: str) -> dict[str, NDArray[np.generic] | int]:
    """Biases, decay and threshold of a layer whose neurons share the last two."""
    layer = program.layer(name)
    core = program.cores[int(layer.core[0])]
    first = int(layer.compartment[0])
    found: dict[str, NDArray[np.generic] | int] = {
        "decay_u": int(core.profiles.decay_u[core.compartments.profile[first]]),
        "threshold": int(core.thresholds.mantissa[core.compartments.threshold[first]]),
    }
    for column in ("bias_mantissa", "bias_exponent"):
        found[column] = np.array(
            [
                getattr(program.cores[core].compartments, column)[compartment]
                for core, compartment in zip(layer.core, layer.compartment, strict=True)
            ]
        )
    return found
