"""Trained networks in: one subpackage per input format, told apart by content, not by name."""

from __future__ import annotations

from pathlib import Path

from nmcompile.errors import ModelError, Obstacle, UnsupportedError, UsageError
from nmcompile.frontends.content import format_of
from nmcompile.frontends.python import is_nengo, is_python
from nmcompile.frontends.source import Source

__all__ = ["Source", "check", "load"]

#: Largest size in bytes of a model file, and of what it unpacks to.
MAX_BYTES = 2 * 1024**3


def load(
    source: str | Path | object,
    example: object = None,
    *,
    max_bytes: int = MAX_BYTES,
    dialect: str | None = None,
    dt: float | None = None,
) -> Source:
    """Read a trained network.

    Parameters
    ----------
    source : path of a `.keras`, whole-model `.h5`, `.onnx`, `.nir` or lava-dl's `.net` file, or a
        Keras model, `onnx.ModelProto` or PyTorch module in memory
    example : for a PyTorch module, one batch of inputs as it takes them
    max_bytes : refuse files that are, or unpack to, more than this
    dialect : tool whose rules the neurons of a NIR file follow; None for what the file says
    dt : time step in seconds of a NIR file's neurons; None for what the file or its dialect says;
        other formats have no continuous time and leave it aside

    Raises
    ------
    UnsupportedError
        The model holds layers that cannot be compiled; all of them are in `obstacles`.
    ModelError
        The file cannot be read, or holds impossible values.
    UsageError
        An unknown dialect, or one for a format that has none.
    """
    if is_nengo(source) or (isinstance(source, str | Path) and is_python(source)):
        name = source if isinstance(source, str | Path) else type(source).__name__
        raise ModelError(
            f"{name}: a Nengo network has no float layers to load; nmcompile.build compiles it"
        )
    if isinstance(source, str | Path):
        _check_name(source)
        kind = format_of(Path(source), max_bytes)
    else:
        kind = "object"
    if dialect is not None and kind != "nir":
        raise UsageError(
            f"--dialect {dialect}: only NIR files have dialects, and {source} is none; leave it out"
        )
    if not isinstance(source, str | Path):
        return _load_object(source, example, max_bytes, dt)
    from nmcompile.frontends import keras, lava, nir, onnx

    if kind == "nir":
        return nir.load_file(Path(source), max_bytes, dialect, dt)
    front_end = {"keras": keras, "lava": lava, "onnx": onnx}[kind]
    return front_end.load_file(Path(source), max_bytes)


def _check_name(source: str | Path) -> None:
    """Refuse what may be meant for a Nengo network in a Python file."""
    path, colon, _ = str(source).rpartition(":")
    if colon and not Path(source).exists() and Path(path).exists():
        raise ModelError(f"{path}: only a Python file, FILE.py, holds networks by name")
    if str(source).endswith(".py"):
        raise ModelError(f"{source}: name the network in it, as {source}:NAME")


def _load_object(source: object, example: object, max_bytes: int, dt: float | None) -> Source:
    """A network in memory."""
    from nmcompile.frontends import keras, onnx, pytorch

    if keras.is_model(source):
        return keras.load_model(source)
    if onnx.is_model(source):
        return onnx.load_model(source, max_bytes)
    if pytorch.is_module(source):
        return pytorch.load_module(source, example, max_bytes, dt)
    raise ModelError(
        f"cannot compile an object of type {type(source).__name__}; give the path of a .keras, "
        ".h5, .onnx, .nir or .net file, or a Keras or ONNX model or PyTorch module"
    )


def check(
    source: str | Path | object,
    *,
    max_bytes: int = MAX_BYTES,
    dialect: str | None = None,
    dt: float | None = None,
) -> list[Obstacle]:
    """Every reason why a model cannot be compiled; empty where it can. Options are `load`'s.

    Raises
    ------
    ModelError
        The file cannot be read, or holds impossible values.
    """
    try:
        load(source, max_bytes=max_bytes, dialect=dialect, dt=dt)
    except UnsupportedError as error:
        return list(error.obstacles)
    return []
