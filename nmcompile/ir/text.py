"""The text form of a network: a table that a person reads and golden tests compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nmcompile.ir.network import Network


def table_text(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Plain columns, left-aligned, two spaces apart, no trailing blanks."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(header))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    return "\n".join(lines)


def shape_text(shape: Sequence[int]) -> str:
    """``28x28x3`` for (28, 28, 3)."""
    return "x".join(map(str, shape))


def network_text(network: Network) -> str:
    """Name and time step, then one row per node: place, name, kind, inputs, shape, options."""
    rows = [
        (
            network.place.get(node.name, "-"),
            node.name,
            type(node).__name__,
            ", ".join(node.inputs) or "-",
            shape_text(network.shapes[node.name]),
            node.describe(),
        )
        for node in network
    ]
    header = ("place", "name", "kind", "inputs", "shape", "options")
    return f"network {network.name}, dt {network.dt_s * 1e3:g} ms\n{table_text(header, rows)}\n"
