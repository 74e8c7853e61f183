"""A network as plain JSON and arrays, so that a file can hold it without code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.errors import ModelError, NmcompileError
from nmcompile.ir import nodes
from nmcompile.ir.network import Network
from nmcompile.ir.nodes import Node
from nmcompile.ir.registers import Registers

_KINDS: dict[str, type[Node]] = {
    kind.__name__: kind
    for kind in vars(nodes).values()
    if isinstance(kind, type) and issubclass(kind, Node)
}


def network_tensors(network: Network) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Structure as JSON values, and the arrays by name ``node number/field``."""
    tensors: dict[str, NDArray[Any]] = {}
    described = []
    for number, node in enumerate(network):
        options: dict[str, Any] = {}
        for field in fields(node):
            value = getattr(node, field.name)
            if isinstance(value, np.ndarray):
                key = f"{number}/{field.name}"
                tensors[key] = np.ascontiguousarray(value, np.float32)
                options[field.name] = {"array": key}
            elif isinstance(value, Registers):
                options[field.name] = {"registers": asdict(value)}
            else:
                options[field.name] = value
        described.append({"kind": type(node).__name__, "options": options})
    structure = {"name": network.name, "dt_s": network.dt_s, "nodes": described}
    return structure, tensors


def network_from_tensors(
    structure: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]
) -> Network:
    """The network that `network_tensors` took apart.

    Raises
    ------
    ModelError
        Anything that is not a network.
    """
    try:
        made = [
            _KINDS[entry["kind"]](
                **{name: _value(value, tensors) for name, value in entry["options"].items()}
            )
            for entry in structure["nodes"]
        ]
        return Network.build(made, name=structure["name"], dt_s=float(structure["dt_s"]))
    except (KeyError, TypeError, ValueError, AttributeError, NmcompileError) as error:
        raise ModelError(f"the stored float network is not whole: {error}") from None


def _value(value: Any, tensors: Mapping[str, NDArray[Any]]) -> Any:
    if isinstance(value, Mapping) and "registers" in value:
        return Registers(**{name: int(number) for name, number in value["registers"].items()})
    if isinstance(value, Mapping):
        return tensors[value["array"]]
    return tuples(value)


def tuples(value: Any) -> Any:
    """Lists within lists, as JSON has them, as tuples."""
    return tuple(tuples(each) for each in value) if isinstance(value, (list, tuple)) else value
