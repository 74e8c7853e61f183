"""Random networks with loops, delays and shortcuts, whose weights the chip holds exactly."""

from __future__ import annotations

import numpy as np

from nmcompile.ir import Network, nodes
from nmcompile.ir.nodes import FloatArray, Node, Shape

DT = 0.001
LARGEST = 127


def random_network(rng: np.random.Generator, *, images: bool = False) -> Network:
    """Neurons without leak, each layer behind the one before and some that are further away.

    Weights are whole numbers up to 127, which is the largest of each connection, so that their
    mantissas are exact, and so is every voltage.
    """
    made: list[Node] = [nodes.Input(name="input", size=(5, 4, 2) if images else (12,))]
    shapes: dict[str, Shape] = {"input": made[0].shape([])}
    layers = [f"layer{k}" for k in range(int(rng.integers(1, 4)))]
    for k, name in enumerate(layers):
        before = ["input", *layers[:k]]
        sources = [before[-1], *(each for each in before[:-1] if rng.random() < 0.4)]
        shapes[name] = (5, 4, int(rng.integers(1, 4))) if images else (int(rng.integers(3, 9)),)
        parts = []
        for source in sources:
            last = source
            if rng.random() < 0.5:
                last = f"{source}>{name}/delay"
                made.append(delay(rng, last, source, shapes[source]))
            parts.append(weights(rng, made, f"{source}>{name}", last, shapes[source], shapes[name]))
        if rng.random() < 0.7:
            made.append(nodes.Back(name=f"{name}/back", source=name, size=shapes[name]))
            last = made[-1].name
            if rng.random() < 0.5:
                made.append(delay(rng, f"{name}/late", last, shapes[name]))
                last = made[-1].name
            parts.append(weights(rng, made, f"{name}>{name}", last, shapes[name], shapes[name]))
        total = parts[0]
        if len(parts) > 1:
            made.append(nodes.Add(name=f"{name}/sum", inputs=tuple(parts)))
            total = made[-1].name
        made.append(
            nodes.Spiking(name=name, inputs=(total,), own=True, dt_s=DT, threshold=2.0 * LARGEST)
        )
    made.append(nodes.Output(name="output", inputs=(layers[-1],)))
    return Network.build(made, dt_s=DT)


def delay(rng: np.random.Generator, name: str, source: str, shape: Shape) -> nodes.Delay:
    size = [(1,), shape[-1:], shape][int(rng.integers(3))]
    steps = rng.integers(0, 4, size).astype(np.float32)
    return nodes.Delay(name=name, inputs=(source,), steps=steps)


def weights(
    rng: np.random.Generator, made: list[Node], name: str, source: str, start: Shape, stop: Shape
) -> str:
    shape = (3, 3, start[-1], stop[-1]) if len(start) == 3 else (start[0], stop[0])
    values = rng.integers(-LARGEST, LARGEST + 1, shape).astype(np.float32)
    values.reshape(-1)[0] = LARGEST
    if len(start) == 3:
        around = ((1, 1), (1, 1))
        made.append(nodes.Conv2d(name=name, inputs=(source,), weights=values, padding=around))
    else:
        made.append(nodes.Dense(name=name, inputs=(source,), weights=values))
    return name


def random_spikes(rng: np.random.Generator, network: Network, steps: int) -> FloatArray:
    """(4, steps, *input shape) of zeros and ones."""
    return (rng.random((4, steps, *network.inputs[0].size)) < 0.3).astype(np.float32)
