"""The compiler: passes in order, each timed, checked before and after, and dumped where asked."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nmcompile.chip.program import Program
from nmcompile.errors import CompileError, DataError, UsageError
from nmcompile.hardware import Target
from nmcompile.ir import Network
from nmcompile.ir.layers import LayerGraph
from nmcompile.ir.nodes import FloatArray, Leaky, ReLU, Spiking
from nmcompile.ir.serialise import network_tensors
from nmcompile.ir.text import table_text
from nmcompile.passes.add_encoder import AddEncoder
from nmcompile.passes.allocate import Allocate
from nmcompile.passes.base import NmcompileWarning, Pass
from nmcompile.passes.calibrate import Calibrate
from nmcompile.passes.connect import Connect
from nmcompile.passes.discretise import Discretise
from nmcompile.passes.emit import Emit, Verify
from nmcompile.passes.equalise import Equalise
from nmcompile.passes.fold_affine import FoldAffine
from nmcompile.passes.join_ends import ends, join_ends
from nmcompile.passes.merge_pooling import MergePooling
from nmcompile.passes.options import BuildOptions
from nmcompile.passes.partition import Partition, PartitionLayers
from nmcompile.passes.place import Place
from nmcompile.passes.scale_rates import ScaleRates
from nmcompile.passes.spike import Spike
from nmcompile.passes.split import Split

#: Synthetic calibration samples where no data is given.
SYNTHETIC_SAMPLES = 64
#: Fewer calibration samples than this earn a warning.
FEW_SAMPLES = 16


@dataclass(frozen=True)
class PassRecord:
    """What one pass did."""

    name: str
    purpose: str
    seconds: float
    changes: str


Watcher = Callable[[PassRecord], None]


def compile_network(
    network: Network,
    target: Target,
    options: BuildOptions,
    calibration: FloatArray | None = None,
    *,
    source: Mapping[str, Any] | None = None,
    dump_ir: Path | None = None,
    watch: Watcher | None = None,
) -> Program:
    """Compile a float network into a Program.

    Parameters
    ----------
    network : from a front end
    target : chip family, and a board or None for the smallest that fits
    options : everything a user can choose
    calibration : (samples, *input shape) like the real input; synthetic where None
    source : what is known of the model's file, for the manifest
    dump_ir : folder that receives the value after each pass as text
    watch : called after each pass

    Raises
    ------
    NmcompileError
        One of its kinds, with the layer, the number, the limit and the remedy.
    """
    kept = ends(network)
    network, data = _prepared(network, options, calibration)
    manifest = {
        **kept,
        "network": network.name,
        "source": dict(source or {}),
        "options": options.model_dump(mode="json"),
        "calibration": _calibrated(network, calibration),
        "calibration_samples": len(data),
    }
    value: Any = network
    records: list[PassRecord] = []
    for number, step in enumerate(
        _passes(network, target, options, data, manifest, records, calibration)
    ):
        begin = time.perf_counter()
        step.requires(value)
        after = step.run(value)
        step.ensures(after)
        record = PassRecord(
            name=step.name,
            purpose=step.purpose,
            seconds=time.perf_counter() - begin,
            changes=step.changes(value, after),
        )
        records.append(record)
        if watch is not None:
            watch(record)
        if dump_ir is not None:
            _dump(dump_ir, number, step.name, after)
        value = after
    assert isinstance(value, Program)
    return value


def partition_network(
    network: Network,
    target: Target,
    options: BuildOptions,
    calibration: FloatArray | None = None,
) -> Partition:
    """The passes of `compile_network` up to the cores that a network takes, and no further.

    Raises
    ------
    NmcompileError
        One of its kinds; a board too small is none here.
    """
    network, data = _prepared(network, options, calibration)
    value: Any = network
    for step in _passes(network, target, options, data, {}, [], calibration):
        step.requires(value)
        value = step.run(value)
        step.ensures(value)
        if isinstance(value, Partition):
            return value
    raise AssertionError("no pass makes a partition")


def float_layers(
    network: Network,
    target: Target,
    options: BuildOptions,
    calibration: FloatArray | None = None,
) -> LayerGraph:
    """The passes of `compile_network` up to the last that works with floats.

    Raises
    ------
    NmcompileError
        One of its kinds.
    """
    network, data = _prepared(network, options, calibration)
    value: Any = network
    for step in _passes(network, target, options, data, {}, [], calibration):
        if isinstance(step, Discretise):
            break
        step.requires(value)
        value = step.run(value)
        step.ensures(value)
    assert isinstance(value, LayerGraph)
    return value


def _prepared(
    network: Network, options: BuildOptions, calibration: FloatArray | None
) -> tuple[Network, FloatArray]:
    """The network with its time step and one input and output, and the data to calibrate with."""
    network = _timed(network, options)
    data = _calibration(network, options, calibration)
    return join_ends(network, data), data


def _timed(network: Network, options: BuildOptions) -> Network:
    """The network with the time step that was asked for, or that its own neurons need."""
    own = [node for node in network if isinstance(node, Spiking) and node.own]
    for node in own:
        if options.dt not in (None, node.dt_s):
            raise UsageError(
                f"--dt {options.dt:g}: layer {node.name!r} was trained for steps of "
                f"{node.dt_s:g} s; leave --dt out, or train it for another step"
            )
        if node.dt_s != own[0].dt_s:
            raise CompileError(
                f"layer {node.name!r} was trained for steps of {node.dt_s:g} s and layer "
                f"{own[0].name!r} for {own[0].dt_s:g} s, but a chip has one step for all; train "
                "them with the same dt"
            )
        network = replace(network, dt_s=node.dt_s)
    return network if options.dt is None else replace(network, dt_s=options.dt)


def _passes(
    network: Network,
    target: Target,
    options: BuildOptions,
    data: FloatArray,
    manifest: Mapping[str, Any],
    records: list[PassRecord],
    samples: FloatArray | None = None,
) -> Iterator[Pass[Any, Any]]:
    """All passes; each is made when its turn comes, so the last can log those before."""
    hardware = target.hardware
    yield FoldAffine()
    yield AddEncoder(options.encoder, options.host_layers, data)
    yield MergePooling()
    yield Split(options.host_layers or 1, options.readout)
    yield Spike(options)
    yield ScaleRates(options, data)
    yield Connect()
    discretise = Discretise(
        hardware=hardware,
        weight_bits=options.weight_bits,
        steps=options.steps,
        input_range=(float(data.min()), float(data.max())),
    )
    yield Equalise(data, options.equalise, options.percentile)
    changing = samples is not None and samples.ndim > data.ndim
    yield Calibrate(samples if samples is not None and changing else data, options, discretise)
    yield discretise
    yield PartitionLayers(hardware, options.optimise, target.board)
    yield Allocate(hardware)
    yield Place(target, options.seed)
    structure, tensors = network_tensors(network)
    log = [{"name": record.name, "changes": record.changes} for record in records]
    yield Emit(
        options=options,
        manifest={**manifest, "passes": log, "float_network": structure},
        attachments=tensors,
        leaky=next((node for node in network if isinstance(node, Leaky)), None),
    )
    yield Verify(hardware)


def _quantised(network: Network) -> bool:
    """Whether all neurons are quantised already, so that data change nothing."""
    neurons = [node for node in network if isinstance(node, (ReLU, Spiking))]
    return bool(neurons) and all(isinstance(n, Spiking) and n.registers for n in neurons)


def _calibrated(network: Network, calibration: FloatArray | None) -> str:
    """What rates were chosen from, for the manifest."""
    if calibration is not None:
        return "data"
    return "unneeded" if _quantised(network) else "synthetic"


def _calibration(
    network: Network, options: BuildOptions, calibration: FloatArray | None
) -> FloatArray:
    """Calibration samples, or all frames of them, as float32, checked; or synthetic ones.

    Where no data is given there is a loud warning.
    """
    shape = network.sample_shape
    scaled = not _quantised(network)
    if calibration is not None and calibration.shape[2:] == shape:
        calibration = calibration.reshape(-1, *shape)
    if calibration is None:
        if scaled:
            warnings.warn(
                "no calibration data: rates are scaled by uniform noise in 0..1 (seed "
                f"{options.seed}), so accuracy is likely poor; give real inputs with --calibrate",
                NmcompileWarning,
                stacklevel=4,
            )
        rng = np.random.default_rng(options.seed)
        return rng.random((SYNTHETIC_SAMPLES, *shape), dtype=np.float32)
    if calibration.shape[1:] != shape:
        raise DataError(
            f"calibration samples have shape {calibration.shape[1:]}, the network takes {shape}"
        )
    if not len(calibration):
        raise DataError("the calibration data holds no samples; give at least one")
    if scaled and len(calibration) < FEW_SAMPLES:
        warnings.warn(
            f"only {len(calibration)} calibration sample(s): the largest activations are a "
            f"guess, so rates may saturate; give {FEW_SAMPLES} or more, better 500",
            NmcompileWarning,
            stacklevel=3,
        )
    data = np.asarray(calibration, np.float32)
    if not np.isfinite(data).all():
        raise DataError(f"{int((~np.isfinite(data)).sum())} calibration values are NaN or infinite")
    return data


def _dump(folder: Path, number: int, name: str, value: object) -> None:
    text = program_text(value) if isinstance(value, Program) else str(value)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number + 1:02d}-{name}.txt").write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(f"--dump-ir {folder}: cannot write: {error.strerror}") from None


def program_text(program: Program) -> str:
    """A Program in a few lines, one a core."""
    header = ("core", "chip", "position", "compartments", "synapses", "in axons", "out axons")
    rows = [
        (
            number,
            core.chip,
            core.position,
            len(core.compartments),
            len(core.synapses),
            len(core.input_axons),
            len(core.output_axons),
        )
        for number, core in enumerate(program.cores)
    ]
    return f"program for {program.target}\n{table_text(header, rows)}\n"
