"""The public functions, in terms of the packages that do the work."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nmcompile.analysis.diagnose import diagnose_program
from nmcompile.analysis.diagnosis import Diagnosis
from nmcompile.analysis.diff import SAMPLES, TOLERANCE, compare_networks
from nmcompile.analysis.diff_result import Comparison
from nmcompile.analysis.early_exit import with_margin
from nmcompile.analysis.evaluation import (
    Evaluation,
    evaluate_program,
    float_network,
    holds_float_network,
    output_size,
)
from nmcompile.backends.base import Backend
from nmcompile.backends.emulator import Emulator
from nmcompile.chip.program import Program
from nmcompile.errors import DataError, FitError, UsageError
from nmcompile.frontends import MAX_BYTES, load
from nmcompile.frontends.python import is_nengo, is_python, read_object
from nmcompile.hardware import HardwareModel, load_hardware, model_names, parse_target
from nmcompile.host.data import Data, join_inputs, load_data
from nmcompile.ir.nodes import FloatArray
from nmcompile.passes.folded import folded_layers
from nmcompile.passes.join_ends import named_inputs
from nmcompile.passes.options import BuildOptions, checked_options
from nmcompile.passes.pipeline import Watcher, compile_network
from nmcompile.passes.remedies import remedies

#: Nengo's own step, in seconds.
NENGO_DT = 0.001

#: Samples that a diagnosis takes where nothing is said: enough to see what is wrong.
DIAGNOSED = 200

__all__ = ["Emulator", "Program", "build", "diagnose", "diff", "evaluate", "load", "targets"]


def build(
    model: str | Path | object,
    target: str | None = None,
    *,
    calibrate: str | Path | FloatArray | Mapping[str, FloatArray] | None = None,
    dialect: str | None = None,
    example: object = None,
    max_bytes: int = MAX_BYTES,
    dump_ir: Path | None = None,
    watch: Watcher | None = None,
    trying: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Program:
    """Compile a trained network into a Program.

    Parameters
    ----------
    model : path of a `.keras`, `.h5`, `.onnx`, `.nir` or lava-dl's `.net` file; or a Keras or ONNX
        model, or a PyTorch module with an `example`; or a Nengo network, or ``FILE.py:NAME`` of
        one, which runs that file and needs the extra `nengo`
    target : ``family[:board]``; None for the smallest Loihi 1 board on which it fits
    calibrate : data file, or (samples, *input shape) array, that shows real inputs; of a network
        with several inputs an array for each, by name
    dialect : tool whose rules the neurons of a NIR file follow; None for what the file says
    example : for a PyTorch module, one batch of inputs as it takes them
    max_bytes : refuse model files that are, or unpack to, more than this
    dump_ir : folder for the text of every stage
    watch : called after each pass
    trying : called before each trial of what would make a network fit that does not, with its
        number and how many are planned
    options : of `nmcompile.passes.options.BuildOptions`, such as ``steps=64``

    Raises
    ------
    NmcompileError
        One of its kinds, in one sentence; a FitError has remedies that were tried.
    """
    chosen = checked_options(**options)
    place = parse_target(target)
    sha256 = None
    if isinstance(model, (str, Path)) and is_python(model):
        with warnings.catch_warnings():
            # First, to say it in one sentence if it lacks; what it mends helps nobody here.
            warnings.simplefilter("ignore")
            importlib.import_module("nmcompile.nengo")
        model, sha256 = read_object(model)
    if is_nengo(model):
        if dialect is not None:
            raise UsageError(
                f"--dialect {dialect}: only NIR files have dialects, and this is a Nengo network; "
                "leave it out"
            )
        if dump_ir is not None:
            raise UsageError(
                "--dump-ir writes the value after each pass, and a Nengo network is built by none; "
                "leave it out"
            )
        if isinstance(calibrate, Mapping):
            raise DataError("a Nengo network has one input: give its samples as one array")
        return _build_nengo(model, target, chosen, calibrate, sha256)
    if chosen.early_exit and calibrate is None:
        raise UsageError(
            "--early-exit: when a lead is safe is learnt from real inputs; give some, --calibrate"
        )
    source = load(model, example, max_bytes=max_bytes, dialect=dialect, dt=chosen.dt)
    shape, inputs = source.network.sample_shape, named_inputs(source.network)
    if isinstance(calibrate, (str, Path)):
        calibrate = load_data(calibrate, shape, inputs=inputs).x
    elif isinstance(calibrate, Mapping):
        if not inputs:
            raise DataError("the network has one input: give its samples as one array")
        calibrate = join_inputs(calibrate, inputs, "the calibration data: ", ", ".join(calibrate))
    elif calibrate is not None:
        calibrate = _numbers(calibrate)
    try:
        program = compile_network(
            source.network,
            place,
            chosen,
            calibrate,
            source={"sha256": source.sha256, "name": Path(source.path).name},
            dump_ir=dump_ir,
            watch=watch,
        )
    except FitError as error:
        found = remedies(error, source.network, place, chosen, calibrate, trying=trying)
        raise error.with_remedies(found) from error
    if not chosen.early_exit:
        return program
    assert calibrate is not None
    return with_margin(program, calibrate, chosen.early_exit)


def _build_nengo(
    model: object,
    target: str | None,
    chosen: BuildOptions,
    calibrate: str | Path | FloatArray | None,
    sha256: str | None,
) -> Program:
    """A Program from a Nengo network, which is quantised already and so takes few options."""
    from nmcompile.nengo import to_program

    default = checked_options(steps=chosen.steps, dt=chosen.dt)
    given = {**chosen.model_dump(), **chosen.neuron.model_dump()}
    usual = {**default.model_dump(), **default.neuron.model_dump()}
    changed = [
        name.replace("_", "-") for name in given if name != "neuron" and given[name] != usual[name]
    ]
    if changed:
        raise UsageError(
            f"{', '.join(changed)}: no effect on a Nengo network, whose neurons and weights "
            "nengo-loihi chooses; leave it out, and set it in the network"
        )
    data = load_data(calibrate).x if isinstance(calibrate, (str, Path)) else calibrate
    if data is not None and not np.size(data):
        raise DataError("the calibration data holds no samples; give at least one")
    program = to_program(
        model,
        target,
        steps=chosen.steps,
        dt=chosen.dt or NENGO_DT,
        input_range=None if data is None else float(np.abs(_numbers(data)).max()) or None,
        sha256=sha256,
    )
    if data is not None and np.shape(data)[1:] != program.encoder.input_shape:
        raise DataError(
            f"calibration samples have shape {np.shape(data)[1:]}, the network takes "
            f"{program.encoder.input_shape}"
        )
    return program


def _numbers(values: object) -> FloatArray:
    """Calibration data given as an array, or as anything that makes one."""
    try:
        with np.errstate(over="ignore"):
            return np.asarray(values, np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f"the calibration data are no array of numbers ({error})") from None


def evaluate(
    program: Program,
    data: str | Path | Data,
    *,
    steps: int | None = None,
    limit: int | None = None,
    backend: Backend | None = None,
    resume: Path | None = None,
    output: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Judge a Program on labelled data; see `analysis.evaluation.evaluate_program`.

    Parameters
    ----------
    data : file with `x` and `y`, or data already read
    limit : use the first so many samples
    backend : the emulator on all cores where None
    output : which output the labels are for, of a network with several
    """
    if not isinstance(data, Data):
        data = load_data(
            data,
            program.encoder.input_shape,
            inputs=program.inputs,
            labels=output_size(program, output),
        )
    return evaluate_program(
        program,
        data.first(limit),
        backend or Emulator(),
        steps=steps,
        resume=resume,
        output=output,
        progress=progress,
    )


def diagnose(
    program: Program,
    data: str | Path | Data,
    *,
    steps: int | None = None,
    limit: int | None = DIAGNOSED,
    backend: Backend | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Diagnosis:
    """Find where a Program loses accuracy; see `analysis.diagnose.diagnose_program`.

    Parameters
    ----------
    data : file with `x` and, if there are labels, `y`; or data already read
    limit : use the first so many samples; None for all
    backend : the emulator on all cores where None
    """
    if not isinstance(data, Data):
        # With several outputs nothing says which one labels are for.
        classes = None if program.outputs else program.read_out.weights.shape[1]
        data = load_data(
            data, program.encoder.input_shape, inputs=program.inputs, labels=classes, needed=False
        )
    folded = None
    if holds_float_network(program):
        options = program.manifest.get("options", {})
        folded = folded_layers(float_network(program), program.encoder, options)
    return diagnose_program(
        program,
        data,
        backend or Emulator(),
        folded,
        steps=steps,
        limit=limit,
        progress=progress,
    )


def diff(
    a: str | Path | object,
    b: str | Path | object,
    *,
    data: str | Path | FloatArray | None = None,
    example: object = None,
    tolerance: float = TOLERANCE,
    limit: int = SAMPLES,
    dialects: tuple[str | None, str | None] = (None, None),
    dt: float | None = None,
    max_bytes: int = MAX_BYTES,
    seed: int = 0,
) -> Comparison:
    """Compare two float networks layer by layer; see `analysis.diff.compare_networks`.

    Parameters
    ----------
    a, b : paths or models that `load` takes, of any two formats
    data : file with `x`, or (samples, *input shape) array, in the layout of either network; None
        for random inputs
    example : for PyTorch modules, one batch of inputs as they take them
    tolerance : difference, relative to the largest number beside it, that still counts as equal
    limit : samples on which values are compared
    dialects : tools whose rules the neurons of NIR files follow, of A and of B
    dt : time step in seconds of NIR files' neurons; None for what each file says
    max_bytes : refuse model files that are, or unpack to, more than this
    seed : of random inputs
    """
    if not 0 <= tolerance < 1:
        raise UsageError(f"--tolerance {tolerance:g}: a number from 0 to below 1 is needed")
    one, other = (
        load(each, example, max_bytes=max_bytes, dialect=dialect, dt=dt)
        for each, dialect in zip((a, b), dialects, strict=True)
    )
    x = None
    if data is not None:
        x = load_data(data).x if isinstance(data, (str, Path)) else _numbers(data)
    return compare_networks(
        one.network,
        other.network,
        names=(one.path, other.path),
        x=x,
        tolerance=tolerance,
        samples=limit,
        seed=seed,
    )


def targets() -> dict[str, HardwareModel]:
    """All hardware models by name."""
    return {name: load_hardware(name) for name in model_names()}
