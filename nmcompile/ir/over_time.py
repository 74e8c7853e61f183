"""Float evaluation of samples whose input changes over time, frame by frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from nmcompile.ir import nodes
from nmcompile.ir.network import Network
from nmcompile.ir.nodes import FloatArray, Spiking
from nmcompile.ir.reference import compute, evaluate, input_values

#: Samples computed at a time.
BATCH = 256
#: Steps over which the value of a recurrent network is a mean.
SETTLING = 64


def evaluate_frames(network: Network, x: FloatArray, steps: int) -> FloatArray:
    """Outputs for samples that may be frames over time, in the mean over these.

    A ReLU remembers nothing, so its network sees each frame alone. Spiking neurons of the model's
    own remember: they run for as many steps as a frame is shown, as in training.

    Parameters
    ----------
    x : (samples, *sample shape), or (samples, frames, *sample shape)
    steps : of a sample; each frame is shown for an equal share

    Returns
    -------
    (samples, *output shape) of the first output
    """
    shape, output = network.sample_shape, network.outputs[0].name
    if x.ndim <= 1 + len(shape):
        return evaluate(network, x)[output]
    samples, frames = x.shape[:2]
    if not any(isinstance(node, (Spiking, nodes.Leaky)) for node in network):
        flat = evaluate(network, x.reshape(-1, *shape))[output]
        return flat.reshape(samples, frames, *flat.shape[1:]).mean(axis=1)
    hold = max(1, steps // frames)
    parts = [_run(network, x[k : k + BATCH], hold) for k in range(0, samples, BATCH)]
    return np.concatenate(parts)


def settled(
    network: Network, x: FloatArray, keep: Iterable[str], batch: int = BATCH
) -> dict[str, FloatArray]:
    """Mean values of some nodes while the input stays as it is; see `reference.evaluate`.

    Parameters
    ----------
    x : (samples, *sample shape)
    keep : names of the nodes
    """
    names = list(dict.fromkeys(keep))
    found: dict[str, list[FloatArray]] = {name: [] for name in names}
    for start in range(0, max(len(x), 1), batch):
        part = np.asarray(x[start : start + batch], np.float32)[:, None]
        total = {name: np.zeros((len(part), *network.shapes[name]), np.float32) for name in names}
        for values in values_over_time(network, part, SETTLING):
            for name in names:
                total[name] += values[name]
        for name in names:
            found[name].append(total[name] / np.float32(SETTLING))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _run(network: Network, x: FloatArray, hold: int) -> FloatArray:
    """(samples, *output shape) mean output of a network with spiking neurons."""
    counts = np.ones(x.shape[1] * hold)
    for node in network:
        if isinstance(node, nodes.Leaky):
            counts = nodes.left_at_end(len(counts), network.dt_s, node.tau_s, node.synapse_s)
    total: FloatArray | None = None
    for values, count in zip(values_over_time(network, x, hold), counts, strict=True):
        output = values[network.outputs[0].name] * np.float32(count / counts.sum())
        total = output if total is None else total + output
    assert total is not None
    return total.astype(np.float32)


def values_over_time(
    network: Network, x: FloatArray, hold: int = 1
) -> Iterator[dict[str, FloatArray]]:
    """Values of all nodes in every step.

    Parameters
    ----------
    x : (samples, frames, *sample shape)
    hold : steps for which each frame is shown

    Yields
    ------
    node name -> (samples, *shape); of spiking neurons, what their spikes stand for
    """
    neurons: dict[str, _Neurons | _IntegerNeurons] = {}
    delays = {node.name: _Line(node) for node in network if isinstance(node, nodes.Delay)}
    before: dict[str, FloatArray] = {}
    for step in range(x.shape[1] * hold):
        given = input_values(network, x[:, step // hold])
        values: dict[str, FloatArray] = {}
        for node in network:
            sources = [values[name] for name in node.inputs]
            if isinstance(node, nodes.Input):
                values[node.name] = given[node.name]
            elif isinstance(node, nodes.Back):
                nothing = np.zeros((len(x), *node.size), np.float32)
                values[node.name] = before.get(node.source, nothing)
            elif isinstance(node, nodes.Delay):
                values[node.name] = delays[node.name].step(sources[0])
            elif isinstance(node, Spiking) and node.own:
                kind = _Neurons if node.registers is None else _IntegerNeurons
                state = neurons.setdefault(node.name, kind(node, sources[0]))
                values[node.name] = state.step(sources[0])
            else:
                values[node.name] = compute(node, sources)
        before = values
        yield values


class _Line:
    """A line of delays: what went in some steps ago comes out."""

    def __init__(self, node: nodes.Delay) -> None:
        self._steps = node.steps
        self._past: deque[FloatArray] = deque(maxlen=int(node.steps.max()) + 1)

    def step(self, value: FloatArray) -> FloatArray:
        """What comes out in the step in which `value` goes in."""
        self._past.appendleft(value)
        out = np.zeros_like(value)
        for late in np.unique(self._steps):
            if late < len(self._past):
                out = np.where(self._steps == late, self._past[int(late)], out)
        return out


class _Neurons:
    """Currents and voltages of spiking neurons with a hard reset.

    A current follows its input, so that a constant one is reached: as on the chip, a synapse
    spreads what arrives over time and leaves its sum as it is.
    """

    def __init__(self, node: Spiking, like: FloatArray) -> None:
        self._node = node
        self._current = np.zeros(like.shape, np.float32)
        self._voltage = np.zeros(like.shape, np.float32)
        self._resting: NDArray[np.int32] = np.zeros(like.shape, np.int32)

    def step(self, drive: FloatArray) -> FloatArray:
        """What the spikes of one step stand for."""
        node = self._node
        if node.synapse_s:
            forgotten = np.float32(-np.expm1(-node.dt_s / node.synapse_s))
            drive = self._current * (1 - forgotten) + drive * forgotten
            self._current = drive
        voltage = self._voltage * np.float32(1 - node.leak) + drive
        voltage[self._resting > 0] = 0
        fired = voltage > node.threshold
        self._voltage = np.where(fired, np.float32(0), voltage)
        self._resting = np.maximum(self._resting + fired * (node.pause + 1) - 1, 0).astype(np.int32)
        return fired.astype(np.float32) * np.float32(node.amplitude)


class _IntegerNeurons:
    """Currents and voltages of neurons that are quantised already."""

    def __init__(self, node: Spiking, like: FloatArray) -> None:
        self._node = node
        self._bias = _whole(np.zeros(1, np.float32) if node.bias is None else node.bias)
        self._current = np.zeros(like.shape, np.int64)
        self._voltage = np.zeros(like.shape, np.int64)
        self._resting = np.zeros(like.shape, np.int64)

    def step(self, drive: FloatArray) -> FloatArray:
        """The spikes of one step, each of which stands for the amplitude."""
        node = self._node
        assert node.registers is not None
        current, voltage = node.registers.step(self._current, self._voltage, _whole(drive))
        voltage = np.where(self._resting > 0, 0, voltage + self._bias)
        fired = voltage > node.threshold
        self._current, self._voltage = current, np.where(fired, 0, voltage)
        self._resting = np.maximum(self._resting + fired * node.registers.refractory - 1, 0)
        return fired.astype(np.float32) * np.float32(node.amplitude)


def _whole(values: FloatArray) -> NDArray[np.int64]:
    return np.rint(values).astype(np.int64)
