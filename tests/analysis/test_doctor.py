"""`doctor` tells what is there from what is missing and what is broken, with a remedy each."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from nmcompile.analysis import doctor
from nmcompile.analysis.doctor import ABSENT, BROKEN, EXTRAS, NEEDED, OK, Check, examine

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No pyenv, no SLURM and no variables of boards, whatever the machine has."""
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "none"))
    for name in ("SLURM", "PARTITION", "BOARD", "KAPOHOBAY", "LOIHI_GEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)


def named(checks: tuple[Check, ...], name: str) -> Check:
    return next(each for each in checks if each.name.startswith(name))


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def answer(**found: object) -> str:
    """What an interpreter prints, as a script."""
    import json

    usual = {"version": [3, 8, 18], "numpy": "1.24.4", "nxsdk": False,
             "nxsdk_modules_ncl": False, "lava.proc.lif": False,
             "lava.utils.loihi2_profiler": False}  # fmt: skip
    return f"echo '{json.dumps({**usual, **found})}'"


def test_packages_are_those_of_the_project() -> None:
    project = tomllib.loads(PROJECT.read_text())["project"]

    def parsed(lines: list[str]) -> dict[str, str]:
        plain = [line for line in lines if ";" not in line]
        return {line.partition(">=")[0]: line.partition(">=")[2] for line in plain}

    assert parsed(project["dependencies"]) == NEEDED
    extras = {name: parsed(lines) for name, lines in project["optional-dependencies"].items()}
    assert extras == {name: packages for name, (_, packages) in EXTRAS.items()}


def test_this_machine_is_healthy() -> None:
    machine = examine()
    assert machine.healthy, machine
    assert named(machine.checks, "numpy") == Check("numpy", OK, np.__version__)
    assert named(machine.checks, "emulator").status == OK
    for check in machine.checks:
        assert check.status in (OK, ABSENT)
        assert check.remedy or check.status == OK


def test_a_missing_package_is_broken_and_a_missing_extra_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    versions = {"numpy": "1.25.9", "h5py": None, "optuna": None, "onnx": "1.15.0"}
    real = doctor.version_of
    monkeypatch.setattr(doctor, "version_of", lambda name: versions.get(name, real(name)))
    machine = examine()
    assert not machine.healthy
    old = named(machine.checks, "numpy")
    assert (old.status, old.found) == (BROKEN, "1.25.9, 1.26 or newer is needed")
    assert old.remedy == "pip install --upgrade 'numpy>=1.26'"
    assert named(machine.checks, "h5py").found == "not installed"
    tune = named(machine.checks, "extra tune")
    assert (tune.status, tune.found) == (ABSENT, "optuna not installed")
    assert "nmcompile[tune]" in tune.remedy
    assert named(machine.checks, "extra onnx").status == BROKEN


@pytest.mark.parametrize(
    ("version", "least", "older"),
    [("1.26", "1.26", False), ("1.9", "1.26", True), ("2.0.0rc1", "1.26", False),
     ("0.4.3", "0.4.30", True), ("3", "3.1", True), ("anything", "", False), ("", "1", False)],
)  # fmt: skip
def test_versions_are_compared_as_numbers(version: str, least: str, older: bool) -> None:
    assert doctor._older(version, least) is older


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        (answer(nxsdk=True), OK, "Python 3.8.18, NumPy 1.24.4, NxSDK"),
        (answer(**{"version": [3, 10, 2], "lava.proc.lif": True}), OK, "Lava"),
        (answer(**{"version": [3, 11, 2], "lava.proc.lif": True}), OK, "tested with Python 3.10"),
        (answer(), BROKEN, "neither NxSDK nor Lava"),
        (answer(nxsdk=True, numpy=None), BROKEN, "pip install numpy"),
        (answer(nxsdk=True, version=[3, 5, 2]), BROKEN, "needs Python 3.6 or newer"),
        ("echo hello", BROKEN, "does not answer as Python does"),
        ("exit 1", BROKEN, "does not answer as Python does"),
    ],
)
def test_interpreters_that_are_asked_for(
    tmp_path: Path, text: str, status: str, words: str
) -> None:
    check = doctor._interpreter(str(script(tmp_path / "python", text)), asked=True)
    assert check.status == status
    assert words in f"{check.found}; {check.remedy}"


def test_a_real_interpreter_answers() -> None:
    check = doctor._interpreter(sys.executable, asked=False)
    assert f"NumPy {np.__version__}" in check.found
    missing = doctor._interpreter("/no/such/python", asked=True)
    assert (missing.status, missing.remedy) == (BROKEN, "name the path of a Python")


def test_interpreters_of_pyenv_are_listed_without_a_demand(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "versions" / "3.8.18" / "bin").mkdir(parents=True)
    python = script(tmp_path / "versions" / "3.8.18" / "bin" / "python", answer())
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    (check,) = doctor._pyenv(())
    assert (check.status, check.found) == (ABSENT, "Python 3.8.18, NumPy 1.24.4")
    assert check.remedy == "could hold NxSDK, if that is wanted"
    assert list(doctor._pyenv([python])) == []


def test_boards_are_what_slurm_and_the_environment_say(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (none,) = doctor._boards()
    assert (none.status, "SLURM=1" in none.remedy) == (ABSENT, True)
    monkeypatch.setenv("KAPOHOBAY", "1")
    (told,) = doctor._boards()
    assert (told.status, told.found) == (OK, "the environment says KAPOHOBAY=1")
    monkeypatch.setattr(doctor.shutil, "which", lambda name: name)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    script(tmp_path / "sinfo", "echo 'nahuku32   2 idle'")
    (seen,) = doctor._boards()
    assert seen.found == "partition nahuku32 2 idle; KAPOHOBAY=1"
    assert seen.remedy.startswith("set SLURM=1")
    script(tmp_path / "sinfo", "exit 1")
    (failed,) = doctor._boards()
    assert failed.status == BROKEN


def test_a_compiler_that_fails_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: object) -> None:
        raise OSError("no LLVM")

    monkeypatch.setattr("nmcompile.analysis.conformance.run_conformance", fail)
    check = doctor._emulator()
    assert (check.status, check.found) == (BROKEN, "OSError: no LLVM")
