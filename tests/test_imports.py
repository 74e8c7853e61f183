"""`import nmcompile` stays light, and nothing that a build from a file does needs Keras."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import nmcompile

ROOT = Path(__file__).parents[1]
HEAVY = (
    "numpy",
    "numba",
    "h5py",
    "keras",
    "tensorflow",
    "jax",
    "torch",
    "pydantic",
    "typer",
    "rich",
    "safetensors",
    "matplotlib",
    "jinja2",
    "scipy",
    "onnx",
    "google",
)


def loaded_after(code: str) -> set[str]:
    """Top-level modules that a fresh Python holds after some code."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}


def test_the_import_loads_nothing_heavy() -> None:
    found = loaded_after("import nmcompile; nmcompile.__version__; nmcompile.NmcompileError")
    assert "nmcompile" in found
    assert found.isdisjoint(HEAVY)


def test_a_build_an_evaluation_and_a_check_from_files_need_no_framework(tmp_path: Path) -> None:
    model = ROOT / "tests" / "frontends" / "models" / "cnn.keras"
    found = loaded_after(
        "import warnings; warnings.simplefilter('ignore')\n"
        "from nmcompile.cli.app import main\n"
        f"assert main(['check', {str(model)!r}]) == 0\n"
        f"assert main(['build', {str(model)!r}, '-o', {str(tmp_path / 'n.nmc')!r}]) == 0\n"
        f"assert main(['inspect', {str(tmp_path / 'n.nmc')!r}]) == 0\n"
        f"data = {str(model.with_suffix('.npz'))!r}\n"
        f"assert main(['run', {str(tmp_path / 'n.nmc')!r}, '--input', data]) == 0\n"
    )
    assert "numpy" in found
    assert found.isdisjoint({"keras", "tensorflow", "jax", "torch", "matplotlib", "nengo", "onnx"})


@pytest.mark.parametrize("name", nmcompile.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(nmcompile, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="colour"):
        _ = nmcompile.colour  # type: ignore[attr-defined]
