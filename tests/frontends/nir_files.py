"""NIR files written for the tests, node by node."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nmcompile.frontends import load
from nmcompile.ir import Network
from nmcompile.ir.nodes import FloatArray
from nmcompile.ir.over_time import values_over_time

MODELS = Path(__file__).parent / "nir_models"


def node(kind: str, **fields: Any) -> dict[str, Any]:
    """A node with its fields."""
    return {"type": kind, **fields}


def chain(*nodes: Mapping[str, Any], shape: Iterable[int] = (4,)) -> dict[str, Any]:
    """A graph of nodes called a, b, ... in a row, between an Input and an Output."""
    names = ["input", *(chr(97 + k) for k in range(len(nodes))), "output"]
    size = np.array(list(shape))
    ends = (node("Input", shape=size), node("Output", shape=size))
    return {
        "type": "NIRGraph",
        "nodes": dict(zip(names, (ends[0], *nodes, ends[1]), strict=True)),
        "edges": list(pairwise(names)),
    }


def affine(rng: np.random.Generator, inputs: int, outputs: int) -> dict[str, Any]:
    weight = rng.normal(0.3, 0.8, (outputs, inputs)).astype(np.float32)
    return node("Affine", weight=weight, bias=rng.normal(0, 0.1, outputs).astype(np.float32))


def lif(shape: int | tuple[int, ...], **changed: Any) -> dict[str, Any]:
    fields = {"tau": 0.01, "r": 1.0, "v_leak": 0.0, "v_threshold": 0.3, "v_reset": 0.0, **changed}
    return node("LIF", **{key: np.broadcast_to(value, shape) for key, value in fields.items()})


def write(path: Path, graph: Mapping[str, Any]) -> Path:
    """Write a graph as `nir.write` does."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["version"] = "1.0.8"
        fill(file.create_group("node"), graph)
    path.write_bytes(buffer.getvalue())
    return path


def fill(group: h5py.Group, fields: Mapping[str, Any]) -> None:
    for key, value in fields.items():
        if isinstance(value, Mapping):
            fill(group.create_group(key), value)
        elif key == "edges":
            group.create_dataset(key, data=value or np.zeros(0), dtype=h5py.string_dtype())
        else:
            group.create_dataset(key, data=value)


def edited(path: Path, source: Path, change: Callable[[h5py.File], None]) -> Path:
    """A copy of a file after a change."""
    path.write_bytes(source.read_bytes())
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def network(path: Path, **options: Any) -> Network:
    """The network of a file, whatever it assumes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load(path, **options).network


def spikes(found: Network, x: FloatArray) -> FloatArray:
    """(samples, steps, *shape) of the only output."""
    name = found.outputs[0].name
    return np.stack([values[name] for values in values_over_time(found, x)], axis=1)
