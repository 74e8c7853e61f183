"""The kinds of node in a float network: frozen values that check and describe themselves.

Shapes leave out the sample axis and are channels-last, ``(rows, columns, channels)``
for images. Every node infers its output shape from the shapes of its inputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nmcompile.errors import VerifyError
from nmcompile.ir.registers import Registers

Shape = tuple[int, ...]
Pair = tuple[int, int]
Padding2d = tuple[Pair, Pair]
FloatArray = NDArray[np.float32]

NO_PADDING: Padding2d = ((0, 0), (0, 0))


@dataclass(frozen=True, eq=False, kw_only=True)
class Node:
    """One operation.

    Attributes
    ----------
    name : unique in its network
    inputs : names of the nodes whose outputs it reads, in order
    origin : layers of the source model that it stands for
    """

    name: str
    inputs: tuple[str, ...] = ()
    origin: tuple[str, ...] = ()

    n_inputs: ClassVar[int | None] = 1

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        """Output shape for the given input shapes; raises VerifyError where they do not fit."""
        raise NotImplementedError

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Multiply-accumulates for one sample."""
        return 0

    def verify(self, inputs: Sequence[Shape]) -> None:
        """Check number of inputs, shapes and that every number is finite."""
        if self.n_inputs is not None and len(inputs) != self.n_inputs:
            self.fail(f"takes {self.n_inputs} input(s), but has {len(inputs)}")
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray) and not np.isfinite(value).all():
                bad = int((~np.isfinite(value)).sum())
                self.fail(
                    f"{bad} of its {value.size} {field.name} are NaN or infinite; "
                    "train or export the model again"
                )
        shape = self.shape(inputs)
        if any(n < 1 for n in shape):
            self.fail(f"its output would be empty, shape {shape}; its input is too small")

    def describe(self) -> str:
        """Options in a few words, for the text form."""
        return ""

    def fail(self, text: str) -> None:
        """Raise a VerifyError that names this node."""
        raise VerifyError(f"layer {self.name!r}: {text}")


def broadcasts(shape: Shape, to: Shape) -> bool:
    """Whether an array broadcasts to a shape and leaves it as it is."""
    try:
        return np.broadcast_shapes(shape, to) == tuple(to)
    except ValueError:
        return False


def window_size(length: int, kernel: int, stride: int, dilation: int, padding: Pair) -> int:
    """Number of positions of a window along one axis."""
    return (length + sum(padding) - (kernel - 1) * dilation - 1) // stride + 1


@dataclass(frozen=True, eq=False, kw_only=True)
class Input(Node):
    """The network's input; `size` is the shape of one sample."""

    size: Shape
    n_inputs: ClassVar[int | None] = 0

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        return self.size


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv2d(Node):
    """Cross-correlation over rows and columns.

    Attributes
    ----------
    weights : (kernel rows, kernel columns, channels in / groups, channels out) float32
    bias : (channels out,) float32, or None
    stride, dilation : rows, columns
    padding : ((top, bottom), (left, right)); negative values crop
    """

    weights: FloatArray
    bias: FloatArray | None = None
    stride: Pair = (1, 1)
    padding: Padding2d = NO_PADDING
    dilation: Pair = (1, 1)
    groups: int = 1

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        if len(inputs[0]) != 3:
            self.fail(f"needs an input of (rows, columns, channels), got shape {inputs[0]}")
        if self.weights.ndim != 4:
            self.fail(f"weights must have 4 axes, got shape {self.weights.shape}")
        rows, cols, channels = inputs[0]
        kh, kw, per_group, out = self.weights.shape
        if per_group * self.groups != channels or out % self.groups:
            self.fail(
                f"weights of shape {self.weights.shape} in {self.groups} group(s) "
                f"do not fit an input of {channels} channels"
            )
        if self.bias is not None and self.bias.shape != (out,):
            self.fail(f"bias has shape {self.bias.shape}, expected ({out},)")
        return (
            window_size(rows, kh, self.stride[0], self.dilation[0], self.padding[0]),
            window_size(cols, kw, self.stride[1], self.dilation[1], self.padding[1]),
            out,
        )

    def macs(self, inputs: Sequence[Shape]) -> int:
        rows, cols, _ = self.shape(inputs)
        return rows * cols * self.weights.size

    def describe(self) -> str:
        kh, kw, _, out = self.weights.shape
        words = [f"{kh}x{kw} -> {out}"]
        if self.stride != (1, 1):
            words.append(f"stride {self.stride[0]}x{self.stride[1]}")
        if self.padding != NO_PADDING:
            (top, bottom), (left, right) = self.padding
            words.append(f"pad {top},{bottom},{left},{right}")
        if self.dilation != (1, 1):
            words.append(f"dilation {self.dilation[0]}x{self.dilation[1]}")
        if self.groups != 1:
            words.append(f"groups {self.groups}")
        if self.bias is not None:
            words.append("bias")
        return ", ".join(words)


@dataclass(frozen=True, eq=False, kw_only=True)
class Dense(Node):
    """Matrix product with a flat input.

    Attributes
    ----------
    weights : (inputs, outputs) float32
    bias : (outputs,) float32, or None
    """

    weights: FloatArray
    bias: FloatArray | None = None

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        if len(inputs[0]) != 1 or self.weights.ndim != 2 or inputs[0][0] != self.weights.shape[0]:
            self.fail(f"weights of shape {self.weights.shape} do not fit an input of {inputs[0]}")
        if self.bias is not None and self.bias.shape != (self.weights.shape[1],):
            self.fail(f"bias has shape {self.bias.shape}, expected ({self.weights.shape[1]},)")
        return (int(self.weights.shape[1]),)

    def macs(self, inputs: Sequence[Shape]) -> int:
        return self.weights.size

    def describe(self) -> str:
        n_in, n_out = self.weights.shape
        return f"{n_in} -> {n_out}" + (", bias" if self.bias is not None else "")


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool2d(Node):
    """Base of sum and average pooling: a window over rows and columns, channel by channel."""

    size: Pair
    stride: Pair
    padding: Padding2d = NO_PADDING

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        if len(inputs[0]) != 3:
            self.fail(f"needs an input of (rows, columns, channels), got shape {inputs[0]}")
        rows, cols, channels = inputs[0]
        return (
            window_size(rows, self.size[0], self.stride[0], 1, self.padding[0]),
            window_size(cols, self.size[1], self.stride[1], 1, self.padding[1]),
            channels,
        )

    def macs(self, inputs: Sequence[Shape]) -> int:
        return math.prod(self.shape(inputs)) * self.size[0] * self.size[1]

    def describe(self) -> str:
        words = [f"{self.size[0]}x{self.size[1]}", f"stride {self.stride[0]}x{self.stride[1]}"]
        if self.padding != NO_PADDING:
            (top, bottom), (left, right) = self.padding
            words.append(f"pad {top},{bottom},{left},{right}")
        return ", ".join(words)


@dataclass(frozen=True, eq=False, kw_only=True)
class AvgPool2d(Pool2d):
    """Mean over each window; padding does not count, neither as value nor as element."""

    def verify(self, inputs: Sequence[Shape]) -> None:
        super().verify(inputs)
        for axis, name in ((0, "rows"), (1, "columns")):
            before, after = self.padding[axis]
            last = (self.shape(inputs)[axis] - 1) * self.stride[axis] - before
            if before >= self.size[axis] or last >= inputs[0][axis]:
                self.fail(
                    f"a window of {self.size[axis]} {name} lies wholly in the padding of "
                    f"{before} and {after}, so it has no mean; use less padding"
                )


@dataclass(frozen=True, eq=False, kw_only=True)
class SumPool2d(Pool2d):
    """Sum over each window."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Affine(Node):
    """``x * scale + shift``, broadcast against the input from the last axis on.

    Batch norm, rescaling and normalisation end here.

    Attributes
    ----------
    scale, shift : float32 arrays that broadcast to the input's shape, usually (channels,)
    """

    scale: FloatArray
    shift: FloatArray

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        for value in (self.scale, self.shift):
            if not broadcasts(value.shape, inputs[0]):
                self.fail(f"scale or shift of shape {value.shape} does not fit {inputs[0]}")
        return inputs[0]

    def macs(self, inputs: Sequence[Shape]) -> int:
        return math.prod(inputs[0])


@dataclass(frozen=True, eq=False, kw_only=True)
class Elementwise(Node):
    """Base of nodes that keep their input's shape."""

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        return inputs[0]


@dataclass(frozen=True, eq=False, kw_only=True)
class ReLU(Elementwise):
    """``max(x, 0)``, clipped above at `max_value` where given."""

    max_value: float | None = None

    def describe(self) -> str:
        return "" if self.max_value is None else f"at most {self.max_value:g}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Spiking(Elementwise):
    """Spiking neurons: the model's own, or ones that take the place of a ReLU.

    Attributes
    ----------
    own : whether threshold and amplitude are the model's, trained for time steps of `dt_s`; the
        compiler then leaves them as they are, and the float value is the rate of such a neuron
    dt_s : time step of the model's own neurons in seconds
    tau_rc_s : membrane time constant in seconds, None for no leak (integrate and fire)
    refractory_s : absolute refractory period in seconds
    synapse_s : time constant of the synaptic current in seconds, 0 for none
    amplitude : activation that one spike per time step stands for
    threshold : firing threshold in units of the activation
    max_value : activation at which the replaced ReLU was clipped, or None
    registers : of neurons that are quantised already, in place of the time constants; None for
        others
    bias : float32 array that broadcasts to the shape, added to the voltage in every step past the
        synaptic current; only with `registers`
    """

    tau_rc_s: float | None = None
    refractory_s: float = 0.0
    synapse_s: float = 0.0
    amplitude: float = 1.0
    threshold: float = 1.0
    max_value: float | None = None
    own: bool = False
    dt_s: float = 1e-3
    registers: Registers | None = None
    bias: FloatArray | None = None

    def verify(self, inputs: Sequence[Shape]) -> None:
        super().verify(inputs)
        if self.bias is not None and not broadcasts(self.bias.shape, inputs[0]):
            self.fail(f"bias of shape {self.bias.shape} does not fit {inputs[0]}")

    @property
    def leak(self) -> float:
        """Share of the voltage that is lost in a step of `dt_s`."""
        if self.registers is not None:
            return self.registers.lost_v
        return 0.0 if self.tau_rc_s is None else -math.expm1(-self.dt_s / self.tau_rc_s)

    @property
    def pause(self) -> int:
        """Steps of `dt_s` after a spike in which the voltage is held at zero."""
        if self.registers is not None:
            return self.registers.refractory - 1
        return round(self.refractory_s / self.dt_s)

    def describe(self) -> str:
        if self.registers is not None:
            return f"{self.registers.describe()}, threshold {self.threshold:.8g}"
        kind = "IF" if self.tau_rc_s is None else f"LIF tau_rc {self.tau_rc_s * 1e3:g} ms"
        words = [kind]
        if self.refractory_s:
            words.append(f"refractory {self.refractory_s * 1e3:g} ms")
        if self.synapse_s:
            words.append(f"synapse {self.synapse_s * 1e3:g} ms")
        words.append(f"amplitude {self.amplitude:.4g}")
        words.append(f"threshold {self.threshold:.4g}")
        return ", ".join(words)


@dataclass(frozen=True, eq=False, kw_only=True)
class Integrator(Elementwise):
    """A neuron that sums its input and never fires; its voltage is read at the end.

    Attributes
    ----------
    largest : largest absolute value that its input is expected to take
    """

    largest: float = 1.0

    def describe(self) -> str:
        return f"up to {self.largest:.4g}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Delay(Elementwise):
    """Its input some steps later.

    Attributes
    ----------
    steps : whole numbers, 0 or more, that broadcast to the input's shape, such as (1,) for one
        delay or (channels,) for one a channel
    """

    steps: FloatArray

    def verify(self, inputs: Sequence[Shape]) -> None:
        super().verify(inputs)
        if not broadcasts(self.steps.shape, inputs[0]):
            self.fail(f"delays of shape {self.steps.shape} do not fit {inputs[0]}")
        if (self.steps < 0).any() or (self.steps != np.rint(self.steps)).any():
            self.fail("delays are whole numbers of steps, 0 or more")

    def describe(self) -> str:
        low, high = int(self.steps.min()), int(self.steps.max())
        return f"{low} steps" if low == high else f"{low} to {high} steps"


@dataclass(frozen=True, eq=False, kw_only=True)
class Back(Node):
    """What the spikes of a neuron layer stood for in the step before: a recurrent connection.

    It has no inputs, so that a network stays without cycles.

    Attributes
    ----------
    source : name of the neuron layer
    size : shape of that layer
    """

    source: str
    size: Shape
    n_inputs: ClassVar[int | None] = 0

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        return self.size

    def describe(self) -> str:
        return f"from {self.source}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Softmax(Elementwise):
    """Softmax over the last axis; only the host computes it."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Leaky(Elementwise):
    """A leaky voltage that never fires and is read at the end; only the host computes it.

    Its value is the mean of its input over time, in which a step counts by what is left of it.

    Attributes
    ----------
    tau_s : time constant of the voltage in seconds
    synapse_s : time constant of a current before it in seconds, 0 for none
    """

    tau_s: float
    synapse_s: float = 0.0

    def describe(self) -> str:
        words = f"tau {self.tau_s * 1e3:g} ms"
        return words + (f", synapse {self.synapse_s * 1e3:g} ms" if self.synapse_s else "")


@dataclass(frozen=True, eq=False, kw_only=True)
class Output(Elementwise):
    """An output of the network."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Flatten(Node):
    """All axes into one, the last axis fastest."""

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        return (math.prod(inputs[0]),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Reshape(Node):
    """The same numbers in the same order, in another shape."""

    size: Shape

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        if math.prod(self.size) != math.prod(inputs[0]):
            self.fail(f"cannot reshape {inputs[0]} into {self.size}")
        return self.size


@dataclass(frozen=True, eq=False, kw_only=True)
class Transpose(Node):
    """Axes in another order; output axis k is input axis ``axes[k]``."""

    axes: tuple[int, ...]

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        if sorted(self.axes) != list(range(len(inputs[0]))):
            self.fail(f"axes {self.axes} do not fit an input of shape {inputs[0]}")
        return tuple(inputs[0][axis] for axis in self.axes)

    def describe(self) -> str:
        return "axes " + ",".join(map(str, self.axes))


@dataclass(frozen=True, eq=False, kw_only=True)
class Pad2d(Node):
    """Zeros around rows and columns; negative values crop.

    Attributes
    ----------
    padding : ((top, bottom), (left, right))
    """

    padding: Padding2d

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        if len(inputs[0]) != 3:
            self.fail(f"needs an input of (rows, columns, channels), got shape {inputs[0]}")
        rows, cols, channels = inputs[0]
        return (rows + sum(self.padding[0]), cols + sum(self.padding[1]), channels)

    def describe(self) -> str:
        (top, bottom), (left, right) = self.padding
        return f"{top},{bottom},{left},{right}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Add(Node):
    """Sum of two or more inputs of one shape."""

    n_inputs: ClassVar[int | None] = None

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        if len(inputs) < 2 or any(shape != inputs[0] for shape in inputs):
            self.fail(f"needs two or more inputs of one shape, got {list(inputs)}")
        return inputs[0]

    def macs(self, inputs: Sequence[Shape]) -> int:
        return math.prod(inputs[0]) * (len(inputs) - 1)


@dataclass(frozen=True, eq=False, kw_only=True)
class Concat(Node):
    """Inputs side by side along `axis` (counted without the sample axis)."""

    axis: int
    n_inputs: ClassVar[int | None] = None

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        first = inputs[0] if inputs else ()
        rest = [shape[: self.axis] + shape[self.axis + 1 :] for shape in inputs]
        if len(inputs) < 2 or not 0 <= self.axis < len(first) or any(r != rest[0] for r in rest):
            self.fail(f"cannot join inputs of shapes {list(inputs)} along axis {self.axis}")
        joined = sum(shape[self.axis] for shape in inputs)
        return (*first[: self.axis], joined, *first[self.axis + 1 :])

    def describe(self) -> str:
        return f"axis {self.axis}"


def left_at_end(
    steps: int, dt_s: float, tau_s: float, synapse_s: float = 0.0
) -> NDArray[np.float64]:
    """(steps,) what is left of each step's input at the end, of the step of which most is left.

    Parameters
    ----------
    steps : of `dt_s` seconds
    tau_s, synapse_s : time constants in seconds of a voltage, and of a current before it
    """
    age = np.arange(steps - 1, -1, -1)
    kept = [np.exp(-dt_s / tau) for tau in (tau_s, synapse_s) if tau]
    left = kept[0] ** age if kept else np.ones(steps)
    for each in kept[1:]:
        left = np.convolve(kept[0] ** np.arange(steps), each ** np.arange(steps))[:steps][::-1]
    return np.asarray(left / left.max(initial=np.finfo(float).tiny))


#: Nodes that only move numbers about; they cost nothing on the chip.
MOVES = (Flatten, Reshape, Transpose, Pad2d, Concat)
#: Nodes that are linear (or affine) maps of their input.
WEIGHTED = (Conv2d, Dense, AvgPool2d, SumPool2d)
