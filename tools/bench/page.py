"""Write `docs/benchmarks.md` from what the benchmarks left in `build/bench`."""

from __future__ import annotations

import json
import os
import platform
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "benchmarks.md"
MET = {True: "yes", False: "no", None: "-"}
LIBRARIES = ("numpy", "numba")


def main() -> None:
    results = sorted((ROOT / "build" / "bench").glob("*.json"))
    parts = [HEAD.format(machine=machine(), date=datetime.now(timezone.utc).date())]
    parts += [table(path.stem, json.loads(path.read_text("utf-8"))) for path in results]
    PAGE.write_text("\n".join(parts), "utf-8")


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


def table(subject: str, figures: list[dict[str, Any]]) -> str:
    rows = [
        f"| {f['name']} | {f['value']:.4g} | {f['unit']} | {f['goal']} | {MET[f['met']]} |"
        for f in figures
    ]
    header = "| what | figure | unit | goal | met |\n| --- | ---: | --- | --- | --- |"
    return f"## {subject}\n\n{header}\n" + "\n".join(rows) + "\n"


HEAD = """# Benchmarks

Written by `make bench DOCS=1` from what the benchmarks measured; nothing here is typed by hand.
The whole test sets need their files: `make bench DOCS=1 MNIST=mnist.npz FASHION=fashion_mnist.npz`.

Measured on {date}: {machine}. Times vary with what else the machine does.
"""


if __name__ == "__main__":
    main()
