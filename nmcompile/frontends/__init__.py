"""Trained networks in: one subpackage per input format, told apart by content, not by name."""

from __future__ import annotations

from pathlib import Path

from nmcompile.errors import ModelError, Obstacle, UnsupportedError, UsageError
from nmcompile.frontends.source import Source

__all__ = ["Source", "check", "load"]

#: Largest size in bytes of a model file, and of what it unpacks to.
MAX_BYTES = 2 * 1024**3


def load(
    source: str | Path | object,
    *,
    max_bytes: int = MAX_BYTES,
    dialect: str | None = None,
    dt: float | None = None,
) -> Source:
    """Read a trained network.

    Parameters
    ----------
    source : path of a `.keras`, whole-model `.h5`, `.onnx`, `.nir` or lava-dl's `.net` file, or a
        Keras model or `onnx.ModelProto` in memory
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
    from nmcompile.frontends import keras, lava, nir, onnx

    path, colon, _ = str(source).rpartition(":")
    if (
        isinstance(source, str | Path)
        and colon
        and not Path(source).exists()
        and Path(path).exists()
    ):
        raise ModelError(f"{path}: only a Python file, FILE.py, holds networks by name")
    if isinstance(source, str | Path) and str(source).endswith(".py"):
        raise ModelError(f"{source}: name the network in it, as {source}:NAME")
    if isinstance(source, str | Path) and nir.holds_nir(Path(source), max_bytes):
        return nir.load_file(Path(source), max_bytes, dialect, dt)
    if dialect is not None:
        raise UsageError(
            f"--dialect {dialect}: only NIR files have dialects, and {source} is none; leave it out"
        )
    if isinstance(source, str | Path) and lava.holds_lava(Path(source), max_bytes):
        return lava.load_file(Path(source), max_bytes)
    if isinstance(source, str | Path):
        front_end = onnx if _holds_onnx(Path(source)) else keras
        return front_end.load_file(Path(source), max_bytes)
    if keras.is_model(source):
        return keras.load_model(source)
    if onnx.is_model(source):
        return onnx.load_model(source, max_bytes)
    raise ModelError(
        f"cannot compile an object of type {type(source).__name__}; give the path of a .keras, "
        ".h5, .onnx, .nir or .net file, or a Keras or ONNX model"
    )


def _holds_onnx(path: Path) -> bool:
    """Whether a file looks like ONNX; one that cannot be read does not."""
    from nmcompile.frontends.onnx.wire import looks_like_onnx

    try:
        with path.open("rb") as file:
            return looks_like_onnx(file)
    except (OSError, ValueError):
        return False


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
