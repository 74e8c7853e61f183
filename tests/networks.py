"""Small random networks for tests, made from a seed."""

from __future__ import annotations

import numpy as np

from nmcompile.ir import Network, nodes
from nmcompile.ir.nodes import Node


def conv(
    rng: np.random.Generator,
    name: str,
    source: str,
    size: tuple[int, int],
    channels: tuple[int, int],
    **options: object,
) -> nodes.Conv2d:
    """A convolution with random weights, about as large as trained ones."""
    groups = int(options.get("groups", 1))  # type: ignore[call-overload]
    shape = (*size, channels[0] // groups, channels[1])
    scale = np.sqrt(2 / np.prod(shape[:3]))
    return nodes.Conv2d(
        name=name,
        inputs=(source,),
        origin=(name,),
        weights=(rng.normal(size=shape) * scale).astype(np.float32),
        bias=(rng.normal(size=channels[1]) * 0.1).astype(np.float32),
        **options,  # type: ignore[arg-type]
    )


def dense(rng: np.random.Generator, name: str, source: str, size: tuple[int, int]) -> nodes.Dense:
    """A dense layer with random weights."""
    return nodes.Dense(
        name=name,
        inputs=(source,),
        origin=(name,),
        weights=(rng.normal(size=size) * np.sqrt(2 / size[0])).astype(np.float32),
        bias=(rng.normal(size=size[1]) * 0.1).astype(np.float32),
    )


def relu(name: str, source: str, max_value: float | None = None) -> nodes.ReLU:
    """A ReLU."""
    return nodes.ReLU(name=name, inputs=(source,), origin=(name,), max_value=max_value)


def small_cnn(seed: int = 0) -> Network:
    """1x1 encoder, convolution with stride, average pooling, dense, read-out."""
    rng = np.random.default_rng(seed)
    layers: list[Node] = [
        nodes.Input(name="image", size=(10, 10, 1)),
        conv(rng, "enc/linear", "image", (1, 1), (1, 3)),
        relu("enc", "enc/linear"),
        conv(rng, "conv/linear", "enc", (3, 3), (3, 8), stride=(1, 1), padding=((1, 1), (1, 1))),
        relu("conv", "conv/linear"),
        nodes.AvgPool2d(
            name="pool", inputs=("conv",), origin=("pool",), size=(2, 2), stride=(2, 2)
        ),
        nodes.Flatten(name="flat", inputs=("pool",), origin=("flat",)),
        dense(rng, "fc/linear", "flat", (200, 20)),
        relu("fc", "fc/linear"),
        dense(rng, "scores", "fc", (20, 5)),
        nodes.Output(name="output", inputs=("scores",)),
    ]
    return Network.build(layers, name="small")


def random_network(seed: int) -> Network:
    """A random graph: convolutions of many shapes, pooling, sums, concatenation, dense layers."""
    rng = np.random.default_rng(seed)
    channels = int(rng.integers(1, 4))
    size = (int(rng.integers(5, 9)), int(rng.integers(5, 9)), channels)
    layers: list[Node] = [nodes.Input(name="image", size=size)]
    last, shape = "image", size

    def add(node: Node) -> None:
        nonlocal last, shape
        layers.append(node)
        shape = node.shape([dict_shapes[name] for name in node.inputs])  # type: ignore[assignment]
        dict_shapes[node.name] = shape
        last = node.name

    dict_shapes: dict[str, tuple[int, ...]] = {"image": size}
    if rng.random() < 0.5:
        add(conv(rng, "enc/linear", last, (1, 1), (shape[2], 3)))
        add(relu("enc", last))
    for fresh in range(1, 1 + int(rng.integers(1, 4))):
        kind = rng.integers(6)
        pad = int(rng.integers(2))
        padding = ((pad, pad), (pad, 0))
        kernel = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
        stride = (int(rng.integers(1, 3)), int(rng.integers(1, 3)))
        if kind == 0 and min(shape[:2]) >= 2:
            add(
                nodes.AvgPool2d(
                    name=f"pool{fresh}",
                    inputs=(last,),
                    size=(2, 2),
                    stride=(2, 2),
                    padding=((0, pad), (0, pad)),
                )
            )
        elif kind == 1:
            add(
                conv(
                    rng,
                    f"depth{fresh}",
                    last,
                    (2, 2),
                    (shape[2], shape[2]),
                    padding=((1, 0), (1, 0)),
                    groups=shape[2],
                )
            )
        elif kind == 2:
            start = last
            add(
                conv(
                    rng,
                    f"left{fresh}",
                    start,
                    (3, 3),
                    (shape[2], shape[2]),
                    padding=((1, 1), (1, 1)),
                )
            )
            left = last
            last, shape = start, dict_shapes[start]  # type: ignore[assignment]
            if rng.random() < 0.5:
                add(nodes.Add(name=f"sum{fresh}", inputs=(left, start)))
            else:
                add(nodes.Concat(name=f"cat{fresh}", inputs=(left, start), axis=2))
        elif kind == 3:
            add(
                nodes.Affine(
                    name=f"norm{fresh}",
                    inputs=(last,),
                    scale=rng.uniform(0.5, 1.5, shape[2]).astype(np.float32),
                    shift=(rng.normal(size=shape[2]) * 0.1).astype(np.float32),
                )
            )
        if min(shape[:2]) + pad >= 3:
            add(
                conv(
                    rng,
                    f"conv{fresh}/linear",
                    last,
                    kernel,
                    (shape[2], int(rng.integers(2, 9))),
                    stride=stride,
                    padding=padding,
                )
            )
        add(relu(f"conv{fresh}", last))
    if rng.random() < 0.5:
        add(nodes.AvgPool2d(name="global", inputs=(last,), size=shape[:2], stride=shape[:2]))
    add(nodes.Flatten(name="flat", inputs=(last,)))
    add(dense(rng, "hidden/linear", last, (shape[0], 12)))
    add(relu("hidden", last))
    add(dense(rng, "scores", last, (12, 4)))
    layers.append(nodes.Output(name="output", inputs=(last,)))
    return Network.build(layers, name=f"random{seed}")
