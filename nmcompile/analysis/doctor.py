"""What this machine has, and what to do about what it lacks: Python, packages, boards."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nmcompile.errors import NmcompileError

#: Versions of Python that are tested, from and to.
PYTHONS = (3, 10), (3, 13)
#: Packages without which nothing runs -> the least version.
NEEDED = {
    "h5py": "3.10",
    "llvmlite": "",
    "numba": "0.59",
    "numpy": "1.26",
    "pydantic": "2.7",
    "rich": "13.8",
    "safetensors": "0.4.3",
    "typer": "0.12",
}
#: Extra -> what it is for, and its packages with their least versions.
EXTRAS: dict[str, tuple[str, dict[str, str]]] = {
    "keras": ("training for the chip", {"keras": "3.5", "jax": "0.4.30"}),
    "map": ("another partitioner", {"mtkahypar": "1.7"}),
    "nengo": ("Nengo networks", {"nengo": "3.1", "nengo-loihi": "1.1"}),
    "onnx": ("ONNX files", {"onnx": "1.16"}),
    "report": ("pages and pictures", {"jinja2": "3.1", "matplotlib": "3.8"}),
    "torch": ("PyTorch modules", {"onnx": "1.16", "onnxscript": "0.5", "torch": "2.5"}),
    "tune": ("the search for options", {"optuna": "4.0"}),
}
#: Oldest Python that runs the board's runner, and the one that Lava needs.
RUNNER_PYTHON, LAVA_PYTHON = (3, 6), (3, 10)
#: Seconds that another program may take to answer.
PATIENCE_S = 60.0

OK, ABSENT, BROKEN = "ok", "absent", "broken"

GET_NXSDK = (
    "NxSDK comes from Intel to members of its Neuromorphic Research Community: install it into a "
    "Python of its own and name that with --board-python"
)
GET_LAVA = "for Loihi 2: pip install lava-nc into a Python 3.10, and name that with --board-python"

#: Asked of other interpreters, old ones too; prints one JSON object.
_QUESTION = """
import json, sys
try:
    from importlib.util import find_spec
except ImportError:
    find_spec = None
def has(name):
    try:
        return bool(find_spec and find_spec(name))
    except Exception:
        return False
found = {"version": list(sys.version_info[:3]), "numpy": None}
try:
    import numpy
    found["numpy"] = numpy.__version__
except Exception:
    pass
names = ("nxsdk", "nxsdk_modules_ncl", "lava.proc.lif", "lava.utils.loihi2_profiler")
found.update((name, has(name)) for name in names)
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Check:
    """One thing that a machine has or lacks.

    Attributes
    ----------
    name : of it
    status : "ok", "absent" where nothing needs it, or "broken"
    found : version, or what was seen
    remedy : what to do, in a sentence; empty where nothing is to be done
    """

    name: str
    status: str
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Machine:
    """What a machine has.

    Attributes
    ----------
    checks : thing by thing
    """

    checks: tuple[Check, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing is broken; what is absent and not asked for does not count."""
        return all(check.status != BROKEN for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return {"healthy": self.healthy, "checks": [asdict(check) for check in self.checks]}


def examine(board_pythons: Sequence[str | Path] = ()) -> Machine:
    """Look at this machine.

    Parameters
    ----------
    board_pythons : other interpreters, which must have NxSDK or Lava
    """
    return Machine(
        (
            _python(),
            *(_package(name, least) for name, least in NEEDED.items()),
            _emulator(),
            *(_extra(name) for name in EXTRAS),
            *_vendors(),
            *_boards(),
            *(_interpreter(str(path), asked=True) for path in board_pythons),
            *_pyenv(board_pythons),
        )
    )


def _python() -> Check:
    version, (first, last) = platform.python_version(), PYTHONS
    tested = f"{first[0]}.{first[1]} to {last[0]}.{last[1]}"
    if sys.version_info[:2] < first:
        return Check("Python", BROKEN, version, f"nmcompile needs Python {tested}; install one")
    remedy = "" if sys.version_info[:2] <= last else f"tested with {tested}; use one if it fails"
    return Check("Python", OK, f"{version} on {platform.platform()}", remedy)


def _package(name: str, least: str) -> Check:
    version, remedy = (
        version_of(name),
        f"pip install --upgrade '{name}{f'>={least}' if least else ''}'",
    )
    if version is None:
        return Check(name, BROKEN, "not installed", remedy)
    if _older(version, least):
        return Check(name, BROKEN, f"{version}, {least} or newer is needed", remedy)
    return Check(name, OK, version)


def _emulator() -> Check:
    """Whether the kernels compile and compute what they should, on one small case."""
    from nmcompile.analysis.conformance import run_conformance
    from nmcompile.backends.emulator import Emulator

    remedy = "reinstall numba and llvmlite, and run `nmcompile conformance -o report.txt`"
    try:
        found = run_conformance(Emulator(1), ["profiles"])
    except NmcompileError as error:
        return Check("emulator", BROKEN, str(error), remedy)
    except Exception as error:
        # Whatever a broken compiler raises.
        return Check("emulator", BROKEN, f"{type(error).__name__}: {error}", remedy)
    if not found.equal:
        return Check("emulator", BROKEN, found.cases[0].sentence, remedy)
    return Check("emulator", OK, "compiles, and equals the chip's arithmetic on a small network")


def _extra(name: str) -> Check:
    purpose, packages = EXTRAS[name]
    remedy = f"pip install 'nmcompile[{name}]' for {purpose}"
    versions = {package: version_of(package) for package in packages}
    found = ", ".join(f"{package} {version}" for package, version in versions.items() if version)
    missing = [package for package, version in versions.items() if version is None]
    old = [
        f"{package} {versions[package]} is older than {least}"
        for package, least in packages.items()
        if _older(versions[package] or "", least)
    ]
    title = f"extra {name}"
    if old:
        return Check(title, BROKEN, "; ".join(old), f"pip install --upgrade 'nmcompile[{name}]'")
    if missing:
        words = f"{', '.join(missing)} not installed" + (f"; {found}" if found else "")
        return Check(title, ABSENT, words, remedy)
    return Check(title, OK, found)


def _vendors() -> Iterator[Check]:
    """Software of boards in this very Python."""
    if find_spec("nxsdk") is None:
        yield Check("NxSDK, Loihi 1", ABSENT, "not in this Python", GET_NXSDK)
    else:
        yield Check("NxSDK, Loihi 1", OK, version_of("nxsdk") or "installed")
    version = version_of("lava-nc")
    if version is None:
        yield Check("Lava, Loihi 2", ABSENT, "not in this Python", GET_LAVA)
    else:
        hardware = _has("lava.utils.loihi2_profiler")
        yield Check(
            "Lava, Loihi 2",
            OK,
            f"{version}, {'with' if hardware else 'without'} lava-loihi",
            "" if hardware else "its CPU models run; for chips ask Intel for lava-loihi",
        )


def _boards() -> Iterator[Check]:
    """Boards, as far as the environment and SLURM tell."""
    told = [
        f"{name}={os.environ[name]}"
        for name in ("SLURM", "PARTITION", "BOARD", "KAPOHOBAY", "LOIHI_GEN")
        if name in os.environ
    ]
    title = "boards"
    if shutil.which("sinfo") is None:
        if told:
            yield Check(title, OK, f"the environment says {', '.join(told)}")
        else:
            yield Check(
                title, ABSENT, "none seen: no sinfo, and nothing in the environment",
                "on Intel's cloud log in to a host with SLURM and set SLURM=1; for a Kapoho Bay "
                "set KAPOHOBAY=1; without a board, the emulator runs",
            )  # fmt: skip
        return
    try:
        done = subprocess.run(
            ["sinfo", "-h", "-o", "%P %D %T"],
            capture_output=True, text=True, timeout=PATIENCE_S, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        yield Check(title, BROKEN, f"sinfo failed: {error}", "ask who runs the machine's SLURM")
        return
    lines = [" ".join(line.split()) for line in done.stdout.splitlines() if line.strip()]
    seen = "; ".join([*(f"partition {line}" for line in lines), *told]) or "no partition"
    remedy = "" if "SLURM" in os.environ else "set SLURM=1 so that boards of SLURM are used"
    yield Check(title, OK if lines else ABSENT, seen, remedy)


def _interpreter(path: str, asked: bool) -> Check:
    """Another interpreter; one that was asked for must have something for boards."""
    title = f"interpreter {path}"
    try:
        done = subprocess.run(
            [path, "-c", _QUESTION], capture_output=True, text=True, timeout=PATIENCE_S,
            env={key: each for key, each in os.environ.items() if not key.startswith("PYTHON")},
        )  # fmt: skip
        found = json.loads(done.stdout)
        version = tuple(found["version"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        reason = getattr(error, "strerror", None) or "it does not answer as Python does"
        return Check(title, BROKEN, f"cannot be run: {reason}", "name the path of a Python")
    has = [
        name
        for key, name in (
            ("nxsdk", "NxSDK"),
            ("lava.proc.lif", "Lava"),
            ("lava.utils.loihi2_profiler", "lava-loihi"),
        )
        if found[key]
    ]
    numpy = f"NumPy {found['numpy']}" if found["numpy"] else "no NumPy"
    words = ", ".join(["Python " + ".".join(map(str, version)), numpy, *has])
    if not asked:
        return Check(title, OK if has else ABSENT, words, "" if has else _use(version))
    if version < RUNNER_PYTHON:
        return Check(title, BROKEN, words, "the board's runner needs Python 3.6 or newer")
    if not found["numpy"]:
        return Check(title, BROKEN, words, f"{path} -m pip install numpy")
    if not has:
        return Check(title, BROKEN, words, f"it has neither NxSDK nor Lava: {GET_LAVA}")
    if "Lava" in has and version[:2] != LAVA_PYTHON:
        return Check(title, OK, words, "Lava is tested with Python 3.10")
    return Check(title, OK, words)


def _use(version: tuple[int, ...]) -> str:
    """What an interpreter without software of boards could be used for."""
    if version < RUNNER_PYTHON:
        return "too old for boards"
    fits = [name for name, fit in (("Lava", version[:2] == LAVA_PYTHON), ("NxSDK", True)) if fit]
    return f"could hold {' or '.join(fits)}, if that is wanted"


def _pyenv(but: Sequence[str | Path]) -> Iterator[Check]:
    """Interpreters of pyenv, of which one may serve a board."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    known = {os.path.abspath(path) for path in but}
    for path in sorted(root.glob("*/bin/python")):
        if os.path.abspath(path) not in known and os.access(path, os.X_OK):
            yield _interpreter(str(path), asked=False)


def _has(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def version_of(package: str) -> str | None:
    """Version of an installed package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _older(version: str, least: str) -> bool:
    """Whether a version, if there is one, comes before another."""
    return bool(version and least) and _numbers(version) < _numbers(least)


def _numbers(version: str) -> tuple[int, ...]:
    """``(1, 26, 4)`` of ``1.26.4rc1``; what is no number ends it."""
    found = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        found.append(int(digits))
    return tuple(found)
