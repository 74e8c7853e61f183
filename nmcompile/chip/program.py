"""The Program: all that a chip and its host need to run a network, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip.core import Core, IntArray, Table, column

#: The encoder clips scaled inputs to 16 bits with sign, symmetrically.
INPUT_LIMIT = 32767


@dataclass(frozen=True, eq=False)
class HostConv:
    """An integer layer on the host: a convolution over gathered inputs.

    Attributes
    ----------
    view : (rows, columns, channels) int32; which input feeds each place, -1 for zero
    weights : (kernel rows, kernel columns, channels / groups, channels out) int32
    bias : (outputs,) int64, in the row-major order of the result
    stride, padding, dilation, groups : as in `ir.nodes.Conv2d`
    ceiling : results are clipped to 0..ceiling
    shift : and then shifted right by so many bits
    """

    view: NDArray[np.int32]
    weights: NDArray[np.int32]
    bias: NDArray[np.int64]
    stride: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]
    dilation: tuple[int, int]
    groups: int
    ceiling: int
    shift: int = 0


@dataclass(frozen=True, eq=False)
class Encoder:
    """How the host turns a sample into spikes, in integers.

    The input is multiplied by `input_scale`, rounded half to even and clipped to 16 bits;
    the layers give each neuron a current; a neuron adds its current to its voltage in every
    step and fires, once at most, when the voltage reaches `threshold`, which is then taken
    away. The voltage starts at half the threshold; currents are 0..threshold.

    Attributes
    ----------
    name : of the layer that the neurons belong to
    input_shape : shape of one sample
    shape : shape of the neurons
    mode : "conv", "on" or "on-off"
    """

    name: str
    input_shape: tuple[int, ...]
    shape: tuple[int, ...]
    input_scale: float
    layers: tuple[HostConv, ...]
    threshold: int
    mode: str

    @classmethod
    def passing(cls, name: str, neurons: int, *, input_scale: float, threshold: int) -> Encoder:
        """Encoder of (neurons,) inputs whose currents are the scaled inputs themselves."""
        return cls(
            name=name,
            input_shape=(neurons,),
            shape=(neurons,),
            input_scale=input_scale,
            layers=(
                HostConv(
                    view=np.arange(neurons, dtype=np.int32).reshape(neurons, 1, 1),
                    weights=np.ones((1, 1, 1, 1), np.int32),
                    bias=np.zeros(neurons, np.int64),
                    stride=(1, 1),
                    padding=((0, 0), (0, 0)),
                    dilation=(1, 1),
                    groups=1,
                    ceiling=threshold,
                ),
            ),
            threshold=threshold,
            mode="on",
        )


@dataclass(frozen=True, eq=False)
class Injection(Table):
    """Which input axon each encoder neuron's spike goes to; a neuron may have many rows."""

    neuron: IntArray = column("int32")
    core: IntArray = column("int32")
    axon: IntArray = column("uint16")
    atom: IntArray = column("uint16")


@dataclass(frozen=True, eq=False)
class Layer:
    """Where the neurons of a layer are.

    Attributes
    ----------
    name, shape : of the layer in the model
    core, compartment : (neurons,) int32, in row-major order of the shape
    amplitude : activation that one spike per step stands for
    voltage_scale : integer voltage units per unit of activation
    depth : steps until the first input arrives, 1 for a layer behind the encoder
    origin : layers of the source model
    """

    name: str
    shape: tuple[int, ...]
    core: NDArray[np.int32]
    compartment: NDArray[np.int32]
    amplitude: float
    voltage_scale: float
    depth: int
    origin: tuple[str, ...] = ()

    @property
    def neurons(self) -> int:
        """Number of neurons."""
        return len(self.core)


@dataclass(frozen=True, eq=False)
class ReadOut:
    """How the host turns what the chip did into scores.

    Kind "counts" multiplies spike counts, kind "voltage" the final voltage, by `weights`.

    Attributes
    ----------
    layers : names of the layers that are read, joined in this order
    weights : (read neurons, outputs) float32, scores per activation
    bias : (outputs,) float32
    window : share of the steps, the last ones, in which spikes are counted, above 0 to 1
    synapse_s : time constant in seconds of a filter that late spikes pass with more weight than
        early ones; 0 for none
    rise_s : time constant in seconds of a second filter before it; 0 for none
    margin : lead of the best score over the second, times the steps that were counted, at which
        an answer is safe before the last step; 0 where answers are given at the end
    """

    kind: str
    layers: tuple[str, ...]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    window: float = 1.0
    synapse_s: float = 0.0
    rise_s: float = 0.0
    margin: float = 0.0

    def describe(self) -> str:
        """What is read, and how, in a line."""
        words = [f"{self.kind} of {', '.join(self.layers)}"]
        if self.window < 1:
            words.append(f"in the last {self.window:.3g} of the steps")
        if self.synapse_s:
            times = [f"{each * 1e3:g} ms" for each in (self.rise_s, self.synapse_s) if each]
            words.append(f"filtered with {' and '.join(times)}")
        if self.margin:
            words.append(f"answers early at a lead of {self.margin:.3g}")
        return "; ".join(words)


@dataclass(frozen=True, eq=False)
class Program:
    """What every backend runs.

    Attributes
    ----------
    target : ``family:board`` that it was built for
    cores : all cores in use; their order is their number in output axons and injections
    encoder, injection : how inputs become spikes, and which axons those enter by
    layers : where neurons are, for read-out, probes and reports
    read_out : how spikes become scores
    steps : time steps per sample that the rates were chosen for
    dt_s : length of a step in seconds
    manifest : what is known of the source: names, hashes, options, pass log (plain JSON)
    attachments : arrays that travel along and no backend reads, such as the float network
    """

    target: str
    cores: tuple[Core, ...]
    encoder: Encoder
    injection: Injection
    layers: tuple[Layer, ...]
    read_out: ReadOut
    steps: int
    dt_s: float
    manifest: Mapping[str, Any] = field(default_factory=dict)
    attachments: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def chips(self) -> int:
        """Number of chips in use."""
        return len({core.chip for core in self.cores})

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the network's inputs where it has several, joined into one."""
        return {name: tuple(shape) for name, shape in self.manifest.get("inputs", {}).items()}

    @property
    def outputs(self) -> dict[str, slice]:
        """Names of the network's outputs where it has several, and where their scores are."""
        found, start = {}, 0
        for name, size in self.manifest.get("outputs", {}).items():
            found[name] = slice(start, start + size)
            start += size
        return found

    def layer(self, name: str) -> Layer:
        """A layer by its name; KeyError where there is none."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)

    def save(self, path: str | Path) -> None:
        """Write a `.nmc` file, atomically; see `chip.file`."""
        from nmcompile.chip.file import save_program

        save_program(self, path)

    @staticmethod
    def load(path: str | Path) -> Program:
        """Read a `.nmc` file; see `chip.file`."""
        from nmcompile.chip.file import load_program

        return load_program(path)
