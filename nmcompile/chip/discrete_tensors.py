"""Discretised layers as plain JSON and arrays, so that a Program can carry them along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip.discrete import DiscreteConnection, DiscreteGraph, DiscreteLayer
from nmcompile.chip.program import Program
from nmcompile.errors import DataError, NmcompileError
from nmcompile.ir.layers import Connection, Window
from nmcompile.ir.serialise import tuples

#: Key in a Program's manifest, and prefix of its attachments.
KEY = "discrete"


def discrete_tensors(graph: DiscreteGraph) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Structure as JSON values, and the arrays by name; encoder and read-out stay out."""
    tensors: dict[str, NDArray[Any]] = {}

    def described(value: Any, prefix: str) -> dict[str, Any]:
        options: dict[str, Any] = {}
        for field in fields(value):
            part = getattr(value, field.name)
            key = f"{prefix}/{field.name}"
            if isinstance(part, (Connection, Window)):
                options[field.name] = described(part, key)
            elif isinstance(part, np.ndarray) and _is_plain(field.name, part):
                options[field.name] = {"plain": part.shape}
            elif isinstance(part, np.ndarray):
                tensors[key] = np.ascontiguousarray(part)
                options[field.name] = {"array": key}
            else:
                options[field.name] = part
        return options

    correction = None
    if graph.read_correction is not None:
        correction = {"array": f"{KEY}/read_correction"}
        tensors[correction["array"]] = np.ascontiguousarray(graph.read_correction)
    structure = {
        "name": graph.name,
        "read_correction": correction,
        "layers": [described(x, f"{KEY}/layer/{k}") for k, x in enumerate(graph.layers)],
        "connections": [described(x, f"{KEY}/link/{k}") for k, x in enumerate(graph.connections)],
    }
    return structure, tensors


def discrete_graph(program: Program) -> DiscreteGraph:
    """The discretised layers that a Program was made of.

    Raises
    ------
    DataError
        The Program holds none, or not whole ones.
    """
    structure = program.manifest.get(KEY)
    if structure is None:
        raise DataError("the Program holds no discretised layers; build it again")
    try:
        read = program.read_out
        return DiscreteGraph(
            name=structure["name"],
            dt_s=program.dt_s,
            encoder=program.encoder,
            layers=tuple(
                DiscreteLayer(**_options(x, program.attachments)) for x in structure["layers"]
            ),
            connections=tuple(
                _connection(x, program.attachments) for x in structure["connections"]
            ),
            read_kind=read.kind,
            read_layers=read.layers,
            read_weights=read.weights,
            read_bias=read.bias,
            read_correction=_value(structure["read_correction"], program.attachments),
        )
    except (KeyError, TypeError, ValueError, AttributeError, NmcompileError) as error:
        raise DataError(f"the Program's discretised layers are not whole: {error}") from None


def _is_plain(name: str, array: NDArray[Any]) -> bool:
    """Whether a view shows its source as it is."""
    return name == "view" and np.array_equal(array.reshape(-1), np.arange(array.size))


def _connection(
    entry: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]
) -> DiscreteConnection:
    # Older files name a delay here, which was always 0.
    options = _options({k: v for k, v in entry.items() if k not in ("link", "delay")}, tensors)
    link = _options({k: v for k, v in entry["link"].items() if k != "window"}, tensors)
    window = Window(**_options(entry["link"]["window"], tensors))
    return DiscreteConnection(link=Connection(**link, window=window), **options)


def _options(entry: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    return {name: _value(value, tensors) for name, value in entry.items()}


def _value(value: Any, tensors: Mapping[str, NDArray[Any]]) -> Any:
    if isinstance(value, Mapping):
        if "plain" in value:
            shape = tuple(value["plain"])
            return np.arange(int(np.prod(shape)), dtype=np.int32).reshape(shape)
        return tensors[value["array"]]
    return tuples(value)
