"""Reads files whose bytes a coverage-guided fuzzer makes up, and stops at the first finding.

    python tools/fuzz_bytes.py --format nir --runs 20000

It needs atheris (https://github.com/google/atheris). The fuzzer begins with the files of the tests
and keeps what reaches new lines of the readers. As in `tools/fuzz_files.py`, a file may load or be
refused in one sentence that names it; anything else is a finding, whose bytes are left in a file
``crash-…`` of the current folder.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import warnings
from importlib import import_module
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parent))

from fuzz_files import FILES, MAX_BYTES

from nmcompile.errors import NmcompileError

#: The readers are imported anew, with instruments that tell the fuzzer which lines a file reaches.
READERS = ("keras", "lava", "nir", "onnx")
for name in [each for each in sys.modules if each.startswith("nmcompile.frontends")]:
    del sys.modules[name]
with atheris.instrument_imports(include=["nmcompile.frontends"]):
    for name in READERS:
        import_module(f"nmcompile.frontends.{name}")
    load = import_module("nmcompile.frontends").load

#: Longest file that is made up, in bytes, and limits of one run in seconds and MiB.
LONGEST, SECONDS, MEMORY_MB = 200_000, 10, 3000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--format", choices=sorted(FILES), default="onnx")
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    folder = Path(tempfile.mkdtemp())
    corpus = folder / "corpus"
    corpus.mkdir()
    for path in FILES[chosen.format]:
        shutil.copy(path, corpus / path.name)
    model = folder / f"model.{chosen.format}"
    dialect = "nir" if chosen.format == "nir" else None

    def read(data: bytes) -> None:
        model.write_bytes(data)
        try:
            load(model, max_bytes=MAX_BYTES, dialect=dialect, dt=0.001)
        except NmcompileError as error:
            text = str(error)
            if "only NIR files have dialects" not in text and (
                "\n" in text or model.name not in text
            ):
                raise AssertionError(f"no sentence with the file's name: {text[:200]!r}") from error

    options = {
        "runs": chosen.runs, "seed": chosen.seed, "max_len": LONGEST, "timeout": SECONDS,
        "rss_limit_mb": MEMORY_MB, "print_final_stats": 1,
    }  # fmt: skip
    flags = [f"-{name}={value}" for name, value in options.items()]
    atheris.Setup([sys.argv[0], *flags, str(corpus)], read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
