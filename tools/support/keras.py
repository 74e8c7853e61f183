"""Keras files with one layer each that is looked at, written without Keras."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nmcompile.frontends.keras.model import snake_case
from tests.frontends.files import MODELS, layer, sequential, weights_file, write_keras
from tools.support.probe import PROBED, SEED, Made, Maker, weights

Layers = list[tuple[dict[str, Any], list[tuple[int, ...]]]]


def put(kind: str, *shapes: tuple[int, ...], name: str = PROBED, **config: Any) -> Any:
    """A layer, and the shapes of its weights."""
    return layer(kind, name, **config), list(shapes)


def net(*middle: Any, shape: tuple[int, ...] = (8, 8, 2), flat: int, ends: bool = True) -> Maker:
    """A network of an encoder, the layers, a ReLU behind them, and a dense layer."""
    spatial = len(shape) - 1
    first = (
        put("Dense", (shape[0], 3), (3,), name="first", units=3)
        if not spatial
        else put(
            f"Conv{spatial}D", (*(1,) * spatial, shape[-1], 3), (3,), name="first", filters=3,
            kernel_size=[1] * spatial,
        )
    )  # fmt: skip
    flatten = [put("Flatten", name="flat")] if spatial else []
    tail = [
        put("ReLU", name="relu2"),
        *flatten,
        put("Dense", (flat, 4), (4,), name="last", units=4),
    ]
    layers = [first, put("ReLU", name="relu1"), *middle, *(tail if ends else [])]
    return lambda folder: Made(_write(folder / "net.keras", layers, shape))


def _write(path: Path, layers: Layers, shape: tuple[int, ...]) -> Path:
    rng = np.random.default_rng(SEED)
    arrays: dict[str, Any] = {}
    counts: dict[str, int] = {}
    for described, shapes in layers:
        snake = snake_case(described["class_name"])
        counts[snake] = count = counts.get(snake, 0) + 1
        group = f"layers/{snake}" + (f"_{count - 1}" if count > 1 else "")
        for k, size in enumerate(shapes):
            arrays[f"{group}/vars/{k}"] = drawn(rng, size, described["class_name"])
    return write_keras(path, sequential(*(each for each, _ in layers), shape=shape),
                       weights_file(arrays))  # fmt: skip


def drawn(rng: np.random.Generator, size: tuple[int, ...], kind: str) -> Any:
    """Weights, biases of zero, or statistics of a batch norm."""
    if kind == "BatchNormalization":
        return rng.uniform(0.5, 1.5, size).astype(np.float32)
    return weights(rng, size) if len(size) > 1 else np.zeros(size, np.float32)


def functional(kind: str, **config: Any) -> Maker:
    """Two branches of an image that a layer brings together."""

    def make(folder: Path) -> Made:
        rng = np.random.default_rng(SEED)
        joined = 6 if kind == "Concatenate" else 3
        conv = {"filters": 3, "kernel_size": [1, 1], "activation": "relu"}
        listed = [
            _call("InputLayer", "input", [], batch_shape=[None, 8, 8, 2]),
            _call("Conv2D", "first", ["input"], **conv),
            _call("Conv2D", "second", ["first"], **conv),
            _call(kind, PROBED, ["first", "second"], many=True, **config),
            _call("ReLU", "relu", [PROBED]),
            _call("Flatten", "flat", ["relu"]),
            _call("Dense", "last", ["flat"], units=4),
        ]
        model = {
            "module": "keras", "class_name": "Functional", "config": {
                "name": "net", "layers": listed, "input_layers": [["input", 0, 0]],
                "output_layers": [["last", 0, 0]],
            },
        }  # fmt: skip
        shapes = {"conv2d": (1, 1, 2, 3), "conv2d_1": (1, 1, 3, 3), "dense": (64 * joined, 4)}
        arrays: dict[str, Any] = {}
        for name, size in shapes.items():
            arrays[f"layers/{name}/vars/0"] = weights(rng, size)
            arrays[f"layers/{name}/vars/1"] = np.zeros(size[-1], np.float32)
        return Made(write_keras(folder / "net.keras", model, weights_file(arrays)))

    return make


def wired(listed: list[Mapping[str, Any]], entries: str, outputs: str) -> Maker:
    """Dense layers of 4 units with connections as given, from and to several layers."""

    def make(folder: Path) -> Made:
        rng = np.random.default_rng(SEED)
        ports = {"input_layers": entries, "output_layers": outputs}
        model = {
            "module": "keras", "class_name": "Functional", "config": {
                "name": "net", "layers": listed,
                **{key: [[name, 0, 0] for name in names.split()] for key, names in ports.items()},
            },
        }  # fmt: skip
        arrays: dict[str, Any] = {}
        for k in range(sum(each["class_name"] == "Dense" for each in listed)):
            group = "layers/dense" + (f"_{k}" if k else "")
            arrays[f"{group}/vars/0"] = weights(rng, (4, 4))
            arrays[f"{group}/vars/1"] = np.zeros(4, np.float32)
        return Made(write_keras(folder / "net.keras", model, weights_file(arrays)), None)

    return make


def _dense(name: str, source: str, activation: str = "relu") -> Mapping[str, Any]:
    return _call("Dense", name, [source], units=4, activation=activation)


def _input(name: str) -> Mapping[str, Any]:
    return _call("InputLayer", name, [], batch_shape=[None, 4])


def _call(
    kind: str, name: str, sources: list[str], *, many: bool = False, **config: Any
) -> Mapping[str, Any]:
    def tensor(source: str) -> Any:
        return {"class_name": "__keras_tensor__", "config": {"keras_history": [source, 0, 0]}}

    given = [tensor(each) for each in sources]
    arguments = [] if not given else [[given] if many else given]
    nodes = [{"args": arguments[0], "kwargs": {}}] if arguments else []
    return {**layer(kind, name, **config), "name": name, "inbound_nodes": nodes}


def relu(**config: Any) -> Maker:
    """A ReLU between two layers, which is what is looked at."""
    conv = put("Conv2D", (1, 1, 3, 3), (3,), name="c", filters=3, kernel_size=[1, 1])
    last = put("Dense", (192, 4), (4,), name="last", units=4)
    return net(conv, put("ReLU", **config), put("Flatten", name="f"), last, flat=0, ends=False)


def recorded(name: str) -> Maker:
    """A file that Keras wrote for the tests."""
    return lambda folder: Made(MODELS / f"{name}.keras", None)


PROBES: dict[str, Maker | str] = {
    "dense": net(put("Dense", (3, 5), (5,), units=5), shape=(6,), flat=5),
    "conv2d": net(put("Conv2D", (3, 3, 3, 4), (4,), filters=4, kernel_size=[3, 3]), flat=144),
    "conv1d": net(
        put("Conv1D", (3, 3, 4), (4,), filters=4, kernel_size=[3]), shape=(9, 2), flat=28
    ),
    "depthwise": net(put("DepthwiseConv2D", (3, 3, 3, 1), (3,), kernel_size=[3, 3]), flat=108),
    "dilated": net(
        put("Conv2D", (3, 3, 3, 4), (4,), filters=4, kernel_size=[3, 3], dilation_rate=[2, 2]),
        flat=64,
    ),
    "transposed": "Conv2DTranspose",
    "conv3d": "Conv3D",
    "average": net(put("AveragePooling2D", pool_size=[2, 2]), flat=48),
    "global": net(put("GlobalAveragePooling2D", keepdims=True), flat=3),
    "max": "MaxPooling2D",
    "batch norm": net(put("BatchNormalization", *[(3,)] * 4), flat=192),
    "layer norm": "LayerNormalization",
    "rescaling": net(put("Rescaling", scale=0.5, offset=0.1), flat=192),
    "relu": relu(),
    "relu6": relu(max_value=1.0),
    "tanh": net(put("Activation", activation="tanh"), flat=192),
    "softmax": net(
        put("Flatten", name="f"),
        put("Dense", (192, 6), (6,), name="c", units=6),
        put("ReLU", name="r"),
        put("Dense", (6, 4), (4,), name="d", units=4),
        put("Activation", activation="softmax"),
        flat=0,
        ends=False,
    ),
    "dropout": net(put("Dropout", rate=0.5), flat=192),
    "reshape": net(put("Permute", dims=[3, 1, 2]), flat=192),
    "padding": net(put("ZeroPadding2D", padding=[[1, 1], [1, 1]]), flat=300),
    "add": functional("Add"),
    "concat": functional("Concatenate", axis=-1),
    "multiply": "Multiply",
    "lif": recorded("chip_neurons"),
    "if": recorded("chip_neurons"),
    "recurrent": "SimpleRNN",
    "gated": "LSTM",
    "attention": "MultiHeadAttention",
    "over time": recorded("over_time"),
    "two inputs": wired(
        [
            _input("a"),
            _input("b"),
            _dense("c", "a"),
            _dense("d", "b"),
            _call("Add", "sum", ["c", "d"], many=True),
            _dense("e", "sum"),
            _dense("last", "e", "linear"),
        ],
        "a b",
        "last",
    ),
    "two outputs": wired(
        [
            _input("a"),
            _dense("c", "a"),
            _dense("d", "c"),
            _dense("e", "d", "linear"),
            _dense("f", "d", "linear"),
        ],
        "a",
        "e f",
    ),
}
