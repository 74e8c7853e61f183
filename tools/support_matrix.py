"""Writes docs/reference/support.md: which kinds of layer each format has, and what becomes of them.

    python -m tools.support_matrix

Every cell comes from the program: a tiny network is loaded and built, or, where that cannot tell
more, the front end's registry is asked. Columns whose packages are missing stay as the page has
them, so that it can be made in several environments, one after the other.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tools.support.probe import Cell, judge

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "support.md"
#: Key of the probes -> what users call it.
ROWS = {
    "dense": "dense (fully connected)",
    "conv2d": "2-D convolution",
    "conv1d": "1-D convolution",
    "conv3d": "3-D convolution",
    "depthwise": "depthwise and grouped convolution",
    "dilated": "dilated convolution",
    "transposed": "transposed convolution",
    "average": "average pooling",
    "sum": "sum pooling",
    "global": "global average pooling",
    "max": "max pooling",
    "batch norm": "batch norm",
    "layer norm": "layer norm",
    "rescaling": "scaling and shifting",
    "relu": "ReLU",
    "relu6": "clipped ReLU",
    "tanh": "tanh, sigmoid and others",
    "softmax": "softmax at the end",
    "dropout": "dropout",
    "reshape": "flatten, reshape, permute",
    "padding": "zeros around an image",
    "add": "skip connection, sum",
    "concat": "concatenation",
    "multiply": "product of layers",
    "lif": "LIF neurons",
    "if": "integrate-and-fire neurons",
    "current": "neurons with synaptic current",
    "leaky read-out": "leaky read-out",
    "recurrent": "recurrent connections",
    "gated": "LSTM, GRU",
    "attention": "attention",
    "delay": "delays",
    "over time": "input over time",
    "two inputs": "several inputs",
    "two outputs": "several outputs",
    "quantised": "quantised activations",
    "learning": "learning on the chip",
}
NONE = Cell("–")


@dataclass(frozen=True)
class Format:
    """A column.

    Attributes
    ----------
    title : of it
    needs : packages
    cells : makes key -> verdict
    """

    title: str
    needs: tuple[str, ...]
    cells: Callable[[], dict[str, Cell]]

    @property
    def possible(self) -> bool:
        """Whether its packages are there."""
        return all(find_spec(name) is not None for name in self.needs)


def probed(name: str, converts: Iterable[str], refusal: Callable[[str], Any]) -> dict[str, Cell]:
    """Verdicts on the probes of a format; a text asks its registry."""
    found = {}
    for key, probe in import_module(f"tools.support.{name}").PROBES.items():
        found[key] = (
            registered(probe, converts, refusal) if isinstance(probe, str) else judge(probe)
        )
    return found


def registered(kind: str, converts: Iterable[str], refusal: Callable[[str], Any]) -> Cell:
    """What a registry says of a kind of layer."""
    if kind in converts:
        return Cell("exact")
    why, remedy = refusal(kind)
    return Cell("refused", f"{why}; {remedy}")


def keras() -> dict[str, Cell]:
    from nmcompile.frontends.keras.refusals import refusal
    from nmcompile.frontends.keras.registry import LAYERS

    return probed("keras", LAYERS, lambda kind: refusal(kind, ""))


def onnx() -> dict[str, Cell]:
    from nmcompile.frontends.onnx.refusals import refusal
    from nmcompile.frontends.onnx.registry import OPERATORS

    return probed("onnx", OPERATORS, refusal)


def nir() -> dict[str, Cell]:
    from nmcompile.frontends.nir.registry import CONVERTERS, UNKNOWN

    return probed("nir", CONVERTERS, lambda kind: UNKNOWN)


def nengo() -> dict[str, Cell]:
    return probed("nengo", (), lambda kind: ("", ""))


def lava() -> dict[str, Cell]:
    from nmcompile.frontends.lava.registry import CONVERTERS, REFUSED, UNKNOWN

    return probed("lava", CONVERTERS, lambda kind: REFUSED.get(kind, UNKNOWN))


FORMATS = {
    "keras": Format("Keras", (), keras),
    "onnx": Format("PyTorch, ONNX", ("onnx",), onnx),
    "nir": Format("NIR", (), nir),
    "lava": Format("lava-dl", ("nmcompile.frontends.lava",), lava),
    "nengo": Format("Nengo", ("nengo_loihi",), nengo),
}
INTRODUCTION = """\
# What is supported

This page is made by `make support`, which builds a tiny network for each cell or asks the front
end's registry.

- **exact**: it becomes weights, wiring or neurons that compute just what the model does; weights
  then have 8 bits, as on the chip. Neurons of spiking networks keep their threshold, decays and
  time step. Networks of lava-dl keep every number, and Nengo networks are quantised as nengo-loihi
  does, bit for bit.
- **approximated**: spikes stand in for it. The number is the mean difference of the chip's scores
  from the float network's, relative to the largest score, in a tiny network of random weights at
  64 steps; what trained networks lose is in [Accuracy](../explanation/accuracy.md).
- **refused**: `check` names it with what to do instead, as below.
- **–**: the format has no such thing, or nothing was tried.
"""


def page(columns: Mapping[str, Mapping[str, Cell]]) -> str:
    """The page for format -> key -> verdict."""
    shown = [name for name in FORMATS if name in columns]
    lines = [INTRODUCTION]
    titles = ["layer", *(FORMATS[name].title for name in shown)]
    lines += [_line(titles), _line(["---"] * len(titles))]
    for key, title in ROWS.items():
        cells = [columns[name].get(key, NONE) for name in shown]
        lines.append(_line([title, *(cell.text for cell in cells)]))
    lines += ["", "## What to do instead", "", _line(["layer", "format", "why, and what to do"]),
              _line(["---"] * 3)]  # fmt: skip
    for key, title in ROWS.items():
        for name in shown:
            why = columns[name].get(key, NONE).why
            if why:
                lines.append(_line([title, FORMATS[name].title, why]))
    return "\n".join(lines) + "\n"


def kept(text: str) -> dict[str, dict[str, Cell]]:
    """The columns of a page that was written before."""
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in text.splitlines() if line.startswith("|")
    ]  # fmt: skip
    if not rows:
        return {}
    keys = {title: key for key, title in ROWS.items()}
    names = {form.title: name for name, form in FORMATS.items()}
    header = [names[title] for title in rows[0][1:] if title in names]
    found: dict[str, dict[str, Cell]] = {name: {} for name in header}
    whys = {(row[0], row[1]): _plain(row[2]) for row in rows if len(row) == 3}
    for title, *cells in rows[2:]:
        if title in keys and len(cells) == len(header):
            for name, cell in zip(header, cells, strict=True):
                why = whys.get((title, FORMATS[name].title), "")
                found[name][keys[title]] = Cell(cell, why)
    return found


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _plain(text: str) -> str:
    return text.replace("\\|", "|").replace("&lt;", "<")


def main() -> None:
    columns = kept(PAGE.read_text("utf-8")) if PAGE.exists() else {}
    for name, form in FORMATS.items():
        if form.possible:
            columns[name] = form.cells()
        else:
            print(f"{form.title}: a package is missing, so the column stays", file=sys.stderr)
    PAGE.write_text(page(columns), "utf-8")


if __name__ == "__main__":
    main()
