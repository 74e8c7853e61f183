"""NIR graphs with one node each that is looked at."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tests.frontends.nir_files import affine, chain, lif, node, write
from tools.support.probe import Made, Maker

RNG = np.random.default_rng(0)
CONV = {"stride": np.array([1, 1]), "dilation": np.array([1, 1]), "padding": np.array([0, 0])}
POOL = {"kernel_size": np.array([2, 2]), "stride": np.array([2, 2]), "padding": np.array([0, 0])}


def net(*middle: Any, shape: tuple[int, ...] = (2, 8, 8), flat: int) -> Maker:
    """A graph of neurons, the nodes, neurons behind them, and a last layer."""

    def make(folder: Path) -> Made:
        flatten = [node("Flatten", start_dim=0, end_dim=-1)] if len(shape) > 1 else []
        graph = chain(lif(shape), *middle, *flatten, lif(flat), affine(RNG, flat, 3), shape=shape)
        return _made(folder, graph)

    return make


def _made(folder: Path, graph: Any) -> Made:
    options = {"dialect": "nir", "dt": 1e-3}
    return Made(write(folder / "net.nir", graph), "neurons", options)


def kernel(*size: int) -> Any:
    return RNG.normal(0.1, 0.3, size).astype(np.float32)


def conv(weight: Any, **changed: Any) -> Any:
    fields = {**CONV, "groups": 1, "bias": np.zeros(len(weight), np.float32), **changed}
    return node("Conv2d", weight=weight, **fields)


def wired(members: dict[str, Any], edges: list[tuple[str, str]]) -> Maker:
    """A graph with connections as given."""

    def make(folder: Path) -> Made:
        return _made(folder, {"type": "NIRGraph", "nodes": members, "edges": edges})

    return make


def ends(size: int, last: int) -> dict[str, Any]:
    return {
        "input": node("Input", shape=np.array([size])),
        "output": node("Output", shape=np.array([last])),
    }


BASE = {**ends(4, 3), "n1": lif(4), "w1": affine(RNG, 4, 4), "n2": lif(4), "w2": affine(RNG, 4, 3)}
CHAIN = list(pairwise(("input", "n1", "w1", "n2", "w2", "output")))
CURRENT = node(
    "CubaLIF", tau_syn=np.full(4, 0.005), tau_mem=np.full(4, 0.01), r=np.ones(4),
    v_leak=np.zeros(4), v_threshold=np.full(4, 0.1), w_in=np.ones(4),
)  # fmt: skip
FIRES = node("IF", r=np.full(4, 1e3), v_threshold=np.ones(4))

PROBES: dict[str, Maker | str] = {
    "dense": net(affine(RNG, 4, 5), shape=(4,), flat=5),
    "conv2d": net(conv(kernel(4, 2, 3, 3)), flat=144),
    "conv1d": net(
        node(
            "Conv1d",
            weight=kernel(3, 2, 3),
            bias=np.zeros(3, np.float32),
            stride=np.array([1]),
            padding=np.array([0]),
            dilation=np.array([1]),
            groups=1,
            input_shape=np.array([8]),
        ),
        shape=(2, 8),
        flat=18,
    ),
    "depthwise": net(conv(kernel(2, 1, 3, 3), groups=2), flat=72),
    "dilated": net(conv(kernel(4, 2, 3, 3), dilation=np.array([2, 2])), flat=64),
    "average": net(node("AvgPool2d", **POOL), flat=32),
    "sum": net(node("SumPool2d", **POOL), flat=32),
    "rescaling": net(node("Scale", scale=np.full((2, 8, 8), 0.5)), flat=128),
    "reshape": net(node("Flatten", start_dim=1, end_dim=-1), flat=128),
    "padding": net(conv(kernel(2, 2, 3, 3), padding=np.array([1, 1])), flat=128),
    "add": wired({**BASE}, [*CHAIN, ("n1", "n2")]),
    "lif": net(affine(RNG, 4, 4), lif(4), affine(RNG, 4, 5), shape=(4,), flat=5),
    "if": net(affine(RNG, 4, 4), FIRES, affine(RNG, 4, 5), shape=(4,), flat=5),
    "current": net(affine(RNG, 4, 4), CURRENT, affine(RNG, 4, 5), shape=(4,), flat=5),
    "leaky read-out": "LI",
    "recurrent": wired(
        {**BASE, "back": affine(RNG, 4, 4)}, [*CHAIN, ("n2", "back"), ("back", "n2")]
    ),
    "delay": wired(
        {**BASE, "late": node("Delay", delay=np.full(4, 0.003))},
        [*(each for each in CHAIN if each != ("n1", "w1")), ("n1", "late"), ("late", "w1")],
    ),
    "over time": net(affine(RNG, 4, 4), lif(4), affine(RNG, 4, 5), shape=(4,), flat=5),
    "two inputs": wired(
        {**BASE, "input2": node("Input", shape=np.array([4])), "w3": affine(RNG, 4, 4)},
        [*CHAIN, ("input2", "w3"), ("w3", "n2")],
    ),
    "two outputs": wired(
        {**BASE, "output2": node("Output", shape=np.array([3])), "w3": affine(RNG, 4, 3)},
        [*CHAIN, ("n2", "w3"), ("w3", "output2")],
    ),
}
