"""Write `docs/benchmarks.md` from what the benchmarks left in `build/bench`."""

from __future__ import annotations

import json
import os
import platform
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tools.bench.record import FOLDER, HEADER, ROOT, Row, row

PAGE = ROOT / "docs" / "benchmarks.md"
LIBRARIES = ("numpy", "numba")
#: Subject -> title, command and what there is to say of its figures.
SUBJECTS = {
    "first-path": (
        "From a trained network to accuracy on the chip",
        "make bench-first-path MNIST=mnist.npz FASHION=fashion_mnist.npz",
        "Without the files, the 1,000 test images are used that the repository ships.",
    ),
    "accuracy": (
        "Accuracy on whole test sets",
        "make bench-accuracy MNIST=mnist.npz FASHION=fashion_mnist.npz CIFAR10=cifar10.npz",
        """\
All layers but the encoder and the last linear one are on the chip, and all steps are counted, those
in which the pipeline fills included. Networks are calibrated on 500 training images. The float
network is the file as our reference evaluates it, which equals Keras to 1e-4; points are lost
against it.""",
    ),
    "ablation": (
        "What each option of a conversion is worth",
        "make bench-accuracy ABLATION=1 MNIST=mnist.npz FASHION=… CIFAR10=…",
        """\
One option is changed at a time. Judged are 1,000 images that training held out, so that test images
take no part in any choice; with so few, differences below about half a point are chance. The error
of scores is the steadier measure: the root of summed squares of the chip's scores less the float
network's, over that of the latter, each less its sample's mean.""",
    ),
    "load": (
        "Large model files",
        "make bench-load",
        """\
Ten dense layers of a million weights each, in a file as its tool writes it. Each is read in a fresh
process; memory is its peak, less what it takes to import the reader.""",
    ),
    "speed": (
        "Speed of the emulator",
        "make bench-speed MNIST=mnist.npz",
        """\
Both sides of a ratio run in turns in the same run, the best of five rounds counts on either side,
and a ratio says how many times less time ours takes. The network is that of
`examples/keras_to_loihi`. nengo-loihi gets the same Program, table by table, and must fire the
same number of spikes. That Program is mapped for few cores, with rows that list their targets one
by one; nengo-loihi adds such rows more slowly than rows of consecutive targets, so tables laid
out for it would narrow the ratio. Lava gets the same integers, and must end with the same
voltages; the time of building, compiling and starting them is left out. PyTorch does one dense
float pass of the same network for each step, on two threads, at whichever batch size and memory
layout is fastest.

The whole chips are made to fill every core: 1,024 compartments that are kept at about 10 Hz by
their biases, and as much synaptic memory as fits, in rows that one neuron each uses ("stored") or
in blocks that 21 populations share per core ("effective"). They pass the same checks as compiled
networks. Memory is the peak of a fresh process that loads the file and runs it.

Some goals stand higher than what is reached. A step of this network updates 7,812 neurons, whose
state and registers are moved through the second cache, and adds some 21,000 weights for 200 spikes;
each of the two takes about as long as the other, and the vector units of the core are busy with
both. An eighth of PyTorch's time, or a 6,000th of Lava's, would be less than the two take even from
the first cache. On ten chips the state of 1.3 million neurons no longer fits a cache at all, so
that each step is bound by memory, which one chip's is not.""",
    ),
    "map": (
        "Cores and chips of well-known networks",
        "make bench-map",
        """\
Shapes are those of the networks, weights are random. The lower bound holds for every mapping in
which a neuron is on one core and a core stores each weight that its neurons need once for every
place of the kernel; no mapping need reach it. Of a sparse matrix little is sure, so the reservoir's
bound is a weak one. Memory is the peak of a process that discretises,
maps, places and checks the network. nengo-loihi's example is cut as its authors cut it. Messages
between chips are those expected from the layers' rates; in layer order, chips fill one after the
other. Each mapped network then runs on the emulator, and every spike of every layer in every step
is compared with the layers as they were before they were mapped.

The small random networks have two or three layers and cores whose limits are drawn at random. The
fewest cores of each are found by looking at all cuts that the search knows, in all combinations
that simple sums leave open, and by an integer program that packs their pieces.""",
    ),
    "map-scale": (
        "From one chip to all of the largest board",
        "make bench-map",
        """\
Six convolutions, 3x3 and 1x1, over images whose sides grow. Up to 64 chips the networks become
Programs that run, and the spikes of the smaller ones are compared as above; beyond, they are mapped
and placed by their shapes. Each is measured in a process of its own. The exponent is the slope of
time or memory over cores on logarithmic axes, from eight chips on.""",
    ),
}


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(FOLDER), "utf-8")


def page(folder: Path) -> str:
    """The page of all records in a folder."""
    parts = [HEAD.format(machine=machine(), date=datetime.now(timezone.utc).date())]
    for subject in SUBJECTS:
        path = folder / f"{subject}.json"
        if path.is_file():
            parts.append(section(subject, json.loads(path.read_text("utf-8"))))
    return "\n".join(parts)


def machine() -> str:
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return (
        f"{os.cpu_count()} cores of {processor()}, {platform.system()}, "
        f"Python {platform.python_version()}, {libraries}"
    )


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def section(subject: str, figures: list[dict[str, Any]]) -> str:
    """A subject's part of the page; columns that hold nothing are left out."""
    title, command, words = SUBJECTS[subject]
    if subject == "ablation":
        header, rows = side_by_side(figures)
        numbers = header[1:]
    else:
        header, rows = HEADER, [row(figure) for figure in figures]
        numbers = NUMBERS
    shown = [k for k in range(len(header)) if any(cells[k] != "-" for cells in rows)]
    lines = ["| " + " | ".join(cells[k] for k in shown) + " |" for cells in (header, *rows)]
    align = "| " + " | ".join("---:" if header[k] in numbers else "---" for k in shown) + " |"
    table = "\n".join([lines[0], align, *lines[1:]])
    return f"## {title}\n\n    {command}\n\n{words}\n\n{table}\n"


def side_by_side(figures: list[dict[str, Any]]) -> tuple[Row, list[Row]]:
    """Figures called "WHAT: QUANTITY", with a row for each WHAT and a column for each QUANTITY."""
    found: dict[str, dict[str, str]] = {}
    for figure in figures:
        what, _, quantity = str(figure["name"]).rpartition(": ")
        unit = f", {figure['unit']}" if figure["unit"] else ""
        found.setdefault(what, {})[quantity + unit] = f"{figure['value']:.4g}"
    columns = list(dict.fromkeys(name for cells in found.values() for name in cells))
    rows = [(what, *(cells.get(name, "-") for name in columns)) for what, cells in found.items()]
    return ("what", *columns), rows


NUMBERS = ("ours", "its figure", "ratio")

HEAD = """# Benchmarks

Written by `make bench DOCS=1` from what the benchmarks measured; nothing here is typed by hand.
Each section names the command that measures it anew.

Measured on {date}: {machine}. Times vary with what else the machine does.
"""


if __name__ == "__main__":
    main()
