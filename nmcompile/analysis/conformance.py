"""The conformance set: small Programs, one for each feature of the chip, with expected traces.

To be run first on a new board, so that what differs is known feature by feature.
"""

from __future__ import annotations

import platform
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nmcompile.analysis.compare import compare_runs
from nmcompile.analysis.compare_result import RunComparison
from nmcompile.analysis.doctor import version_of
from nmcompile.backends.base import QUANTITIES, Backend, Probe
from nmcompile.backends.result_file import load_result, save_result
from nmcompile.chip.file import program_checksum
from nmcompile.chip.program import Program
from nmcompile.errors import DataError, NmcompileError, UsageError
from nmcompile.host.data import load_data
from nmcompile.ir.text import table_text

#: Programs, `.nmc`, and beside each its samples and expected traces, `.npz`.
FOLDER = Path(__file__).parents[1] / "conformance"


@dataclass(frozen=True)
class Case:
    """One feature.

    Attributes
    ----------
    name : of the case
    feature : what it shows, in words
    verdict : "equal", "different" or "failed"
    sentence : where it differs first, or why it could not be run
    comparison : with the expected traces; None where it could not be run
    """

    name: str
    feature: str
    verdict: str
    sentence: str
    comparison: RunComparison | None = None


@dataclass(frozen=True)
class Conformance:
    """A run of the set.

    Attributes
    ----------
    backend : what it ran on, as that says itself
    versions : of nmcompile, Python, NumPy and the machine
    cases : feature by feature
    """

    backend: str
    versions: dict[str, str]
    cases: tuple[Case, ...]

    @property
    def equal(self) -> bool:
        """Whether every case ran, and gave what is expected."""
        return all(case.verdict == "equal" for case in self.cases)

    @property
    def sentence(self) -> str:
        """How many of the cases are equal."""
        right = sum(case.verdict == "equal" for case in self.cases)
        return f"{right} of {len(self.cases)} cases are equal on {self.backend}"

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return {"equal": self.equal, "sentence": self.sentence, **asdict(self)}

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {value}" for name, value in self.versions.items())
        rows = [(case.name, case.verdict, case.feature) for case in self.cases]
        lines = [self.sentence, versions, "", table_text(("case", "verdict", "feature"), rows)]
        lines += [f"{x.name}: {x.sentence}" for x in self.cases if x.verdict != "equal"]
        return "\n".join(lines) + "\n"


def case_names() -> list[str]:
    """Names of all cases."""
    return sorted(path.stem for path in FOLDER.glob("*.nmc"))


def load_case(name: str) -> tuple[Program, Path]:
    """A case's Program, and the file with its samples and expected traces.

    Raises
    ------
    UsageError
        No case of that name.
    DataError
        The two files are not of one release.
    """
    if name not in case_names():
        raise UsageError(f"--only {name}: there is no such case; {', '.join(case_names())} are")
    program, path = Program.load(FOLDER / f"{name}.nmc"), FOLDER / f"{name}.npz"
    if load_result(path).meta["program_sha256"] != program_checksum(program):
        raise DataError(f"{path} is not of the Program beside it; install nmcompile again")
    return program, path


def run_conformance(
    backend: Backend,
    names: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Conformance:
    """Run the set, or some cases of it, and compare with what is expected.

    Parameters
    ----------
    names : of cases; all where empty
    progress : called with how many are done, and of how many

    Raises
    ------
    UsageError
        No case of that name, or a backend that lacks what it needs for any.
    """
    chosen = list(names) or case_names()
    cases, ran_on = [], "a backend that ran none"
    for number, name in enumerate(chosen):
        program, path = load_case(name)
        case, said = _run(name, program, path, backend)
        cases.append(case)
        ran_on = said or ran_on
        if progress is not None:
            progress(number + 1, len(chosen))
    versions = {
        "nmcompile": version_of("nmcompile") or "not installed",
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "machine": platform.platform(),
    }
    return Conformance(ran_on, versions, tuple(cases))


def _run(name: str, program: Program, path: Path, backend: Backend) -> tuple[Case, str]:
    """A case, and what the backend calls itself."""
    feature = str(program.manifest["conformance"]["feature"])
    probes = [Probe(layer.name, each) for layer in program.layers for each in QUANTITIES]
    x = load_data(path, program.encoder.input_shape).x
    try:
        with warnings.catch_warnings():
            # Cases overflow on purpose.
            warnings.simplefilter("ignore")
            result = backend.load(program).run(x, program.steps, probes)
    except UsageError:
        raise
    except NmcompileError as error:
        return Case(name, feature, "failed", str(error)), ""
    with tempfile.TemporaryDirectory() as folder:
        mine = Path(folder) / "run.npz"
        save_result(mine, result, program, source=name, inputs=x)
        found = compare_runs(load_result(path), load_result(mine))
    verdict = "equal" if found.equal else "different"
    sentence = "" if found.equal else found.sentence
    return Case(name, feature, verdict, sentence, found), result.backend
