"""What a model file is told by is its content; its name says nothing."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from nmcompile.api import build
from nmcompile.cli.options import source_file
from nmcompile.errors import ModelError
from nmcompile.frontends import load
from nmcompile.frontends.python import is_nengo, is_python, read_object

HERE = Path(__file__).parent
#: A file of each format, and what its loading takes.
FILES = {
    "models/cnn.keras": {},
    "models/cnn.h5": {},
    "models/cnn.keras2.h5": {},
    "onnx_models/torch_dynamo_cnn.onnx": {},
    "onnx_models/tf2onnx_cnn.onnx": {},
    "nir_models/norse_dense.nir": {"dialect": "norse"},
    "nir_models/snntorch_image.nir": {"dialect": "snntorch"},
}
PYTHON = '''"""A network."""


class Network:
    __module__ = "nengo.network"


model = Network()
'''


@pytest.mark.parametrize("end", [".bin", "", ".keras", ".onnx", ".nir", ".py.nir"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_of_any_name_is_the_same_network(name: str, end: str, tmp_path: Path) -> None:
    if name.endswith(".onnx"):
        pytest.importorskip("onnx")
    path = tmp_path / f"renamed{end}"
    shutil.copy(HERE / name, path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one, other = load(HERE / name, **FILES[name]), load(path, **FILES[name])
    assert one.sha256 == other.sha256
    assert str(replace(one.network, name="")) == str(replace(other.network, name=""))


@pytest.mark.parametrize("end", [".py", ".bin", ".keras", ""])
def test_python_is_told_by_content(end: str, tmp_path: Path) -> None:
    path = tmp_path / f"net{end}"
    path.write_text(PYTHON)
    named = f"{path}:model"
    assert is_python(named)
    assert source_file(Path(named)) == path
    assert is_nengo(read_object(named)[0])
    with pytest.raises(ModelError, match="a Nengo network has no float layers to load"):
        load(named)


@pytest.mark.parametrize("content", [b"\x00\x80", b"no python", b"", b"PK\x03\x04"])
def test_other_files_are_no_python(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.bin"
    path.write_bytes(content)
    assert not is_python(f"{path}:model")
    with pytest.raises(ModelError, match="only a Python file"):
        load(f"{path}:model")


def test_a_name_with_a_colon_is_a_name(tmp_path: Path) -> None:
    (tmp_path / "net").write_text(PYTHON)
    shutil.copy(HERE / "models" / "cnn.keras", tmp_path / "net:model")
    assert not is_python(tmp_path / "net:model")
    assert load(tmp_path / "net:model").network.inputs


def test_a_missing_python_file_is_named(tmp_path: Path) -> None:
    pytest.importorskip("nengo_loihi")
    with pytest.raises(ModelError, match="there is no such file"):
        build(f"{tmp_path}/none.py:model")
