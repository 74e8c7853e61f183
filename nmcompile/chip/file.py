"""The Program file, `.nmc`: tables as safetensors, the rest as one JSON manifest, a checksum.

Nothing in it is code. A file that is cut short, edited or of a newer format is refused, and a
Program is verified before it is handed out, since kernels trust its indices.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from nmcompile.chip.core import REGISTERS, TABLES, Core, Table
from nmcompile.chip.program import Encoder, HostConv, Injection, Layer, Program, ReadOut
from nmcompile.chip.verify import verify_program
from nmcompile.errors import NmcompileError, ProgramFileError
from nmcompile.files import write_atomically
from nmcompile.hardware import parse_target

FORMAT = 3
_KEY = "nmcompile"

Tensors = dict[str, NDArray[Any]]
TableT = TypeVar("TableT", bound=Table)


def save_program(program: Program, path: str | Path) -> None:
    """Write a Program; equal Programs give equal bytes.

    Raises
    ------
    UsageError
        The file cannot be written; nothing is left behind.
    """
    write_atomically(path, program_bytes(program))


def program_bytes(program: Program) -> bytes:
    """The content of a Program's file."""
    tensors = dict(sorted(_tensors(program)))
    manifest = json.dumps(_manifest(program), sort_keys=True, allow_nan=False)
    header = {"format": FORMAT, "sha256": _checksum(manifest, tensors), "manifest": manifest}
    # One key only: the library does not keep several in order.
    return save(tensors, {_KEY: json.dumps(header, sort_keys=True)})


def program_checksum(program: Program) -> str:
    """SHA-256 of a Program's content, which names it."""
    manifest = json.dumps(_manifest(program), sort_keys=True, allow_nan=False)
    return _checksum(manifest, dict(sorted(_tensors(program))))


def load_program(path: str | Path) -> Program:
    """Read and verify a Program.

    Raises
    ------
    ProgramFileError
        Not a Program, cut short, edited, of a newer format, or breaking a limit of its target.
    """
    path = Path(path)
    if not path.is_file():
        raise ProgramFileError(f"{path}: there is no such file")
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {}).get(_KEY, "null"))
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
    except (
        SafetensorError,
        OSError,
        ValueError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise ProgramFileError(
            f"{path}: not a Program, or cut short ({error}); build a Program first, or again"
        ) from None
    if not isinstance(header, dict) or "format" not in header:
        raise ProgramFileError(f"{path}: a safetensors file, but not a Program; build one first")
    if header["format"] != FORMAT:
        older = isinstance(header["format"], int) and header["format"] < FORMAT
        remedy = "build it again" if older else "update nmcompile"
        raise ProgramFileError(
            f"{path}: format {header['format']}, this version reads {FORMAT}; {remedy}"
        )
    manifest = header.get("manifest")
    if not isinstance(manifest, str) or _checksum(manifest, tensors) != header.get("sha256"):
        raise ProgramFileError(
            f"{path}: its content does not match its checksum, so it was edited or damaged; "
            "build it again"
        )
    try:
        program = _program(json.loads(manifest), tensors)
        verify_program(program, parse_target(program.target).hardware)
    except NmcompileError as error:
        raise ProgramFileError(f"{path}: {error}") from None
    except (
        KeyError,
        TypeError,
        ValueError,
        IndexError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise ProgramFileError(f"{path}: its tables are not whole ({error!r})") from None
    return program


def _checksum(manifest: str, tensors: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(manifest.encode())
    for name, tensor in tensors.items():
        digest.update(f"\n{name} {tensor.dtype.str} {tensor.shape}\n".encode())
        digest.update(np.ascontiguousarray(tensor).tobytes())
    return digest.hexdigest()


def _manifest(program: Program) -> dict[str, Any]:
    encoder, read = program.encoder, program.read_out
    return {
        "target": program.target,
        "steps": program.steps,
        "dt_s": program.dt_s,
        "cores": len(program.cores),
        "encoder": {
            "name": encoder.name,
            "input_shape": encoder.input_shape,
            "shape": encoder.shape,
            "input_scale": encoder.input_scale,
            "threshold": encoder.threshold,
            "mode": encoder.mode,
            "layers": [
                {
                    "stride": conv.stride,
                    "padding": conv.padding,
                    "dilation": conv.dilation,
                    "groups": conv.groups,
                    "ceiling": conv.ceiling,
                    "shift": conv.shift,
                }
                for conv in encoder.layers
            ],
        },
        "layers": [
            {
                "name": layer.name,
                "shape": layer.shape,
                "amplitude": layer.amplitude,
                "voltage_scale": layer.voltage_scale,
                "depth": layer.depth,
                "origin": layer.origin,
            }
            for layer in program.layers
        ],
        "read_out": {
            "kind": read.kind,
            "layers": read.layers,
            "window": read.window,
            "synapse_s": read.synapse_s,
            "rise_s": read.rise_s,
            "margin": read.margin,
        },
        "manifest": dict(program.manifest),
    }


def _tensors(program: Program) -> Iterator[tuple[str, NDArray[Any]]]:
    for register in REGISTERS:
        values = [getattr(core, register) for core in program.cores]
        yield f"cores/{register}", np.array(values, np.int32)
    for name, kind in TABLES.items():
        parts = [getattr(core, name) for core in program.cores]
        yield f"cores/{name}/first_row", np.cumsum([0, *map(len, parts)]).astype(np.int64)
        yield from _table_tensors(f"cores/{name}", kind.join(parts))
    for k, conv in enumerate(program.encoder.layers):
        yield f"encoder/{k}/view", conv.view
        yield f"encoder/{k}/weights", conv.weights
        yield f"encoder/{k}/bias", conv.bias
    yield from _table_tensors("injection", program.injection)
    for k, layer in enumerate(program.layers):
        yield f"layers/{k}/core", layer.core
        yield f"layers/{k}/compartment", layer.compartment
    yield "read_out/weights", program.read_out.weights
    yield "read_out/bias", program.read_out.bias
    for name, array in program.attachments.items():
        yield f"attachments/{name}", array


def _table_tensors(prefix: str, table: Table) -> Iterator[tuple[str, NDArray[Any]]]:
    for name, column in table.columns().items():
        yield f"{prefix}/{name}", np.ascontiguousarray(column)


def _read_table(kind: type[TableT], prefix: str, tensors: Tensors) -> TableT:
    columns = {
        name: _tensor(tensors, f"{prefix}/{name}", dtype, 1)
        for name, dtype in kind.dtypes().items()
    }
    return kind.of(**columns)


def _tensor(tensors: Tensors, name: str, dtype: Any, axes: int) -> NDArray[Any]:
    """A tensor of just this type and number of axes, since kernels trust both."""
    tensor = tensors[name]
    if tensor.dtype != dtype or tensor.ndim != axes:
        raise ValueError(
            f"{name} is {tensor.dtype} with {tensor.ndim} axes, not {np.dtype(dtype)} with {axes}"
        )
    return tensor


def _program(manifest: Mapping[str, Any], tensors: Tensors) -> Program:
    """Put a Program together from its parts; any lack raises."""
    count = int(manifest["cores"])
    registers = {
        name: _tensor(tensors, f"cores/{name}", np.int32, 1).tolist() for name in REGISTERS
    }
    tables = {name: _read_table(kind, f"cores/{name}", tensors) for name, kind in TABLES.items()}
    starts = {
        name: _tensor(tensors, f"cores/{name}/first_row", np.int64, 1).tolist() for name in TABLES
    }
    cores = tuple(_core(k, tables, starts, registers) for k in range(count))
    encoder, read = manifest["encoder"], manifest["read_out"]
    prefix = "attachments/"
    return Program(
        target=manifest["target"],
        cores=cores,
        encoder=Encoder(
            name=encoder["name"],
            input_shape=tuple(encoder["input_shape"]),
            shape=tuple(encoder["shape"]),
            input_scale=float(encoder["input_scale"]),
            layers=tuple(
                HostConv(
                    view=_tensor(tensors, f"encoder/{k}/view", np.int32, 3),
                    weights=_tensor(tensors, f"encoder/{k}/weights", np.int32, 4),
                    bias=_tensor(tensors, f"encoder/{k}/bias", np.int64, 1),
                    stride=_pair(conv["stride"]),
                    padding=(_pair(conv["padding"][0]), _pair(conv["padding"][1])),
                    dilation=_pair(conv["dilation"]),
                    groups=int(conv["groups"]),
                    ceiling=int(conv["ceiling"]),
                    shift=int(conv["shift"]),
                )
                for k, conv in enumerate(encoder["layers"])
            ),
            threshold=int(encoder["threshold"]),
            mode=encoder["mode"],
        ),
        injection=_read_table(Injection, "injection", tensors),
        layers=tuple(
            Layer(
                name=layer["name"],
                shape=tuple(layer["shape"]),
                core=_tensor(tensors, f"layers/{k}/core", np.int32, 1),
                compartment=_tensor(tensors, f"layers/{k}/compartment", np.int32, 1),
                amplitude=float(layer["amplitude"]),
                voltage_scale=float(layer["voltage_scale"]),
                depth=int(layer["depth"]),
                origin=tuple(layer["origin"]),
            )
            for k, layer in enumerate(manifest["layers"])
        ),
        read_out=ReadOut(
            kind=read["kind"],
            layers=tuple(read["layers"]),
            weights=_tensor(tensors, "read_out/weights", np.float32, 2),
            bias=_tensor(tensors, "read_out/bias", np.float32, 1),
            window=float(read["window"]),
            synapse_s=float(read["synapse_s"]),
            rise_s=float(read.get("rise_s", 0.0)),
            margin=float(read["margin"]),
        ),
        steps=int(manifest["steps"]),
        dt_s=float(manifest["dt_s"]),
        manifest=dict(manifest["manifest"]),
        attachments={
            name[len(prefix) :]: tensor
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        },
    )


def _core(
    number: int,
    tables: Mapping[str, Table],
    starts: Mapping[str, list[int]],
    registers: Mapping[str, list[int]],
) -> Core:
    parts: dict[str, Any] = {
        name: table.rows(starts[name][number], starts[name][number + 1])
        for name, table in tables.items()
    }
    parts.update({name: values[number] for name, values in registers.items()})
    return Core(**parts)


def _pair(value: Any) -> tuple[int, int]:
    first, second = value
    return int(first), int(second)
