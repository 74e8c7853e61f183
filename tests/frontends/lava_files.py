"""lava-dl's `.net` files written for the tests, and what Lava computes for them in plain NumPy.

The simulation is written from Lava's rules alone: layer by layer, with matrices made by loops over
outputs, kernels and inputs, and a buffer of what arrives in each later step.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

MODELS = Path(__file__).parent / "lava_models"
Layer = dict[str, Any]


def neuron(i_decay: int = 4096, v_decay: int = 128, threshold: int = 80, **more: Any) -> Layer:
    """Fields of a layer's neurons."""
    fields = {"type": "CUBA", "iDecay": i_decay, "vDecay": v_decay, "vThMant": threshold}
    fields |= {"refDelay": 1, "gradedSpike": False, **more}
    return {f"neuron/{key}": value for key, value in fields.items() if value is not None}


def source(*shape: int) -> Layer:
    """An input layer."""
    return {"type": "input", "shape": np.array(shape)}


def dense(weight: Any, **fields: Any) -> Layer:
    """A dense layer."""
    weight = np.asarray(weight, np.float32)
    return {
        "type": "dense", "shape": np.array([len(weight)]), "weight": weight, **neuron(), **fields
    }  # fmt: skip


def conv(weight: Any, shape: Sequence[int], **fields: Any) -> Layer:
    """A convolution with a result of a shape."""
    usual = {"stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": 1}
    weight = np.asarray(weight, np.float32)
    return {"type": "conv", "shape": shape, "weight": weight, **usual, **neuron(), **fields}


def write(path: Path, *layers: Mapping[str, Any]) -> Path:
    """Write layers as lava-dl's blocks do."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for number, fields in enumerate(layers):
            group = file.create_group(f"layer/{number}")
            for key, value in fields.items():
                if key == "type" and isinstance(value, str):
                    group.create_dataset(key, (1,), "S10", [value.encode()])
                else:
                    group[key] = value
    path.write_bytes(buffer.getvalue())
    return path


def simulate(layers: Sequence[Layer], x: NDArray[Any]) -> dict[str, tuple[Any, Any]]:
    """Spikes and voltages of all layers with neurons, as Lava computes them.

    Parameters
    ----------
    x : (steps, *input shape) of 0 and 1

    Returns
    -------
    name -> (spikes, voltages), each (steps, neurons), image neurons in the file's order

    Raises
    ------
    OverflowError
        A register of the chip would wrap around, which Lava's are too wide to do alike.
    """
    found = {}
    shape, spikes = x.shape[1:], x.reshape(len(x), -1).astype(np.int64)
    for number, layer in enumerate(layers):
        if layer["type"] in ("input", "flatten"):
            continue
        if layer["type"] == "conv":
            matrix, shape = conv_matrix(layer, shape)
            bias = np.repeat(_bias(layer, shape[0]), prod(shape[1:]))
        else:
            matrix = np.asarray(layer["weight"], np.int64)
            shape = (len(matrix),)
            bias = _bias(layer, shape[0])
        found[f"{layer['type']}_{number}"] = _neurons(layer, matrix, bias, spikes)
        spikes = found[f"{layer['type']}_{number}"][0]
    return found


def _bias(layer: Layer, size: int) -> NDArray[np.int64]:
    return np.asarray(layer.get("bias", np.zeros(size)), np.int64) * 64


def _neurons(layer: Layer, matrix: Any, bias: Any, sent: Any) -> tuple[Any, Any]:
    """(steps, neurons) spikes and voltages for (steps, inputs) spikes."""
    outputs = len(matrix)
    delay = np.asarray(layer.get("delay", 0), np.int64)
    if delay.shape == (outputs,):
        delay = delay[:, None]
    delay = np.broadcast_to(delay, matrix.shape)
    u, v = np.zeros(outputs, np.int64), np.zeros(outputs, np.int64)
    arriving = np.zeros((len(sent) + 64, outputs), np.int64)
    spikes, voltages = [], []
    for step, active in enumerate(sent):
        u = _trunc(u * (4096 - layer["neuron/iDecay"])) + 64 * arriving[step]
        if max(abs(64 * arriving[step]).max() >> 21, abs(u).max() >> 23, abs(u + bias).max() >> 23):
            raise OverflowError("the chip's accumulator or current would wrap around")
        v = _trunc(v * (4096 - layer["neuron/vDecay"])) + u + bias
        v = np.clip(v, -(2**23) + 1, 2**23 - 1)
        fired = v > 64 * layer["neuron/vThMant"]
        v[fired] = 0
        for target in range(outputs):
            for synapse in np.flatnonzero(active):
                late = step + 1 + delay[target, synapse]
                arriving[late, target] += matrix[target, synapse]
        if "weight_rec" in layer:
            arriving[step + 1] += np.asarray(layer["weight_rec"], np.int64) @ fired
        spikes.append(fired)
        voltages.append(v.copy())
    return np.array(spikes).astype(np.int64), np.array(voltages)


def _trunc(x: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.sign(x) * (np.abs(x) >> 12)


def conv_matrix(layer: Layer, shape: Sequence[int]) -> tuple[Any, tuple[int, ...]]:
    """A convolution as a matrix, and the shape of its result; both images channels first."""
    weight = np.asarray(layer["weight"], np.int64)
    weight = weight.reshape(weight.shape[:4])
    channels, rows, cols = shape
    out, depth, high, wide = weight.shape
    stride, pad, gap = layer["stride"], layer["padding"], layer["dilation"]
    tall = (rows + 2 * pad[0] - gap[0] * (high - 1) - 1) // stride[0] + 1
    broad = (cols + 2 * pad[1] - gap[1] * (wide - 1) - 1) // stride[1] + 1
    matrix = np.zeros((out, tall, broad, channels, rows, cols), np.int64)
    for o, i, r, c, y, x in np.ndindex(out, depth, high, wide, tall, broad):
        row, col = y * stride[0] - pad[0] + r * gap[0], x * stride[1] - pad[1] + c * gap[1]
        group = o // (out // layer["groups"])
        if 0 <= row < rows and 0 <= col < cols:
            matrix[o, y, x, group * depth + i, row, col] += weight[o, i, r, c]
    return matrix.reshape(out * tall * broad, -1), (out, tall, broad)


def random_layers(rng: np.random.Generator) -> list[Layer]:
    """A small network of any layers, with odd and even, signed and unsigned weights."""
    layers: list[Layer] = []
    if rng.random() < 0.5:
        shape: tuple[int, ...] = (int(rng.integers(1, 4)), *map(int, rng.integers(4, 9, 2)))
        layers.append(source(*shape))
        for _ in range(int(rng.integers(1, 3))):
            layers.append(_random_conv(rng, shape))
            shape = tuple(layers[-1]["shape"])
        layers.append({"type": "flatten", "shape": np.array([prod(shape), 1, 1])})
        size = prod(shape)
    else:
        size = int(rng.integers(2, 13))
        layers.append(source(size))
    for _ in range(int(rng.integers(1, 4))):
        layers.append(_random_dense(rng, size))
        size = len(layers[-1]["weight"])
    return layers


def _random_conv(rng: np.random.Generator, shape: Sequence[int]) -> Layer:
    groups = shape[0] if rng.random() < 0.3 else 1
    out = groups * int(rng.integers(1, 4))
    kernel = np.minimum(rng.integers(1, 4, 2), shape[1:])
    layer = conv(
        _random_weights(rng, out, shape[0] // groups, *kernel), (), groups=groups,
        stride=rng.integers(1, 3, 2), padding=rng.integers(0, 2, 2), **_random_neuron(rng),
    )  # fmt: skip
    if rng.random() < 0.5:
        layer["weight"] = layer["weight"][..., None]
    if min(shape[1:]) > 2 * max(kernel):
        layer["dilation"] = rng.integers(1, 3, 2)
    layer["shape"] = conv_matrix(layer, shape)[1]
    return layer | _random_bias(rng, out)


def _random_dense(rng: np.random.Generator, size: int) -> Layer:
    out = int(rng.integers(1, 13))
    layer = dense(_random_weights(rng, out, size), **_random_neuron(rng), **_random_bias(rng, out))
    kind = rng.random()
    if kind < 0.25:
        layer["type"], layer["weight_rec"] = "dense_rec", _random_weights(rng, out, out)
    elif kind < 0.6:
        shapes = [(out,), (size,), (out, size), ()]
        shape = shapes[int(rng.integers(4))]
        layer["delay"] = rng.integers(0, int(rng.choice([2, 6, 40])), shape).astype(np.float32)
    return layer


def _random_weights(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    low, high = [(-127, 127), (0, 255), (-255, 0), (-3, 9), (-128, 127)][int(rng.integers(5))]
    factor = 2 if (low, high) == (-128, 127) else 1
    weights = rng.integers(low, high + 1, shape) * factor
    return np.where(rng.random(shape) < rng.choice([0.0, 0.5]), 0, weights).astype(np.float32)


def _random_neuron(rng: np.random.Generator) -> Layer:
    return neuron(
        int(rng.choice([1, 40, 1024, 3000, 4095, 4096])),
        int(rng.choice([0, 1, 128, 2048, 4095])),
        int(rng.integers(1, int(rng.choice([20, 300, 3000])))),
    )


def _random_bias(rng: np.random.Generator, size: int) -> Layer:
    most = int(rng.choice([10, 300, 4095]))
    if rng.random() < 0.5:
        return {}
    return {"bias": rng.integers(-most, most + 1, size).astype(np.float32)}
