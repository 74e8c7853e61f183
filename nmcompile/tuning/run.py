"""The search from a model and data to points, each with the command that builds it."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from nmcompile import __version__
from nmcompile.errors import UsageError
from nmcompile.files import check_writable, write_atomically
from nmcompile.frontends import MAX_BYTES, load
from nmcompile.frontends.python import is_nengo, is_python
from nmcompile.hardware import parse_target
from nmcompile.host.data import Data, load_data
from nmcompile.ir import Network
from nmcompile.ir.nodes import FloatArray, Spiking
from nmcompile.passes.pipeline import float_layers
from nmcompile.tuning.judge import Part, Task
from nmcompile.tuning.pareto import OBJECTIVES, Objective, Tuning, best_first, front, rank
from nmcompile.tuning.space import Settings, Space, build_options, command_words
from nmcompile.tuning.split import LIMIT, Samples, split_data
from nmcompile.tuning.storage import import_optuna, open_study
from nmcompile.tuning.study import Progress, Search
from nmcompile.tuning.workers import Workers

#: Trials of a search, and the accuracy, 0..1, that one for something else may cost.
TRIALS, ALLOWED_LOSS = 60, 0.001
#: Options that decide which layers are on the chip.
OF_STRUCTURE = ("dt", "encoder", "host_layers", "readout")
#: Layers beyond which their rates are not searched one by one.
MOST_LAYERS = 16


def tune(
    model: str | Path | object,
    data: str | Path | Data,
    *,
    storage: str | Path,
    target: str | None = None,
    dialect: str | None = None,
    example: object = None,
    max_bytes: int = MAX_BYTES,
    calibrate: str | Path | None = None,
    objective: Objective = "accuracy",
    allowed_loss: float = ALLOWED_LOSS,
    trials: int = TRIALS,
    limit: int = LIMIT,
    jobs: int | None = None,
    fixed: Settings | None = None,
    seed: int = 0,
    progress: Callable[[str], Progress] | None = None,
) -> Tuning:
    """Search build options, steps and rates on the emulator.

    Parameters
    ----------
    model : path of a `.keras`, `.h5`, `.onnx` or `.nir` file; or a Keras or ONNX model, or a
        PyTorch module with an `example`
    data : labelled samples to tune on, never those that the result is tested on
    storage : file that keeps the search; where it is there, the search goes on
    target : ``family[:board]``; None for the smallest board that fits
    dialect : tool whose rules the neurons of a NIR file follow; None for what the file says
    example : for a PyTorch module, one batch of inputs as it takes them
    max_bytes : refuse model files that are, or unpack to, more than this
    calibrate : data file for builds; None to take some of the data, which are then written
        beside the storage file, as ``STORAGE.calibrate.npz``
    objective : what to make best: accuracy, or, within the allowed loss, latency (steps),
        spikes or cores
    allowed_loss : accuracy, 0..1, that other objectives may cost
    trials : settings to judge in all, those in the storage file included
    limit : samples that a trial is judged on; others check the best
    jobs : processes, None for one a core
    fixed : build options that are held
    seed : of the search and of how data is split
    progress : for a name of what goes on, what to call with (done, in all)

    Raises
    ------
    UsageError
        Optuna is not installed, an option makes no sense, or the storage file is of another
        search.
    CompileError
        No setting gives a Program.
    """
    import_optuna()
    storage, fixed = Path(storage), fixed or {}
    _check(model, target, objective, allowed_loss, trials, limit)
    dt = build_options(fixed).dt
    source = load(model, example, max_bytes=max_bytes, dialect=dialect, dt=dt)
    shape = source.network.sample_shape
    if len(source.network.inputs) > 1 or len(source.network.outputs) > 1:
        raise UsageError(
            f"{source.path} has {len(source.network.inputs)} inputs and "
            f"{len(source.network.outputs)} outputs, and tune searches for networks with one of "
            "each; build it with options of your own, and compare by eval --output"
        )
    if not isinstance(data, Data):
        classes = prod(source.network.shapes[source.network.outputs[0].name])
        data = load_data(data, shape, labels=classes)
    check_writable(storage, data.path, calibrate, source.path)
    given = None if calibrate is None else load_data(calibrate, shape).x
    samples = split_data(data, given, limit, seed)
    calibration_path = str(calibrate or f"{storage}.calibrate.npz")
    layers, dt_s = _chip_layers(source.network, target, samples, fixed)
    frames = samples.search.x.shape[1] if samples.search.x.ndim > 1 + len(shape) else 1
    space = Space.of(objective, layers, fixed, dt_s, len(layers) <= MOST_LAYERS, frames)
    fingerprint = {
        "model": source.sha256,
        "data": _digest(samples.search.x, samples.search.y, samples.check.x, samples.check.y),
        "calibration": _digest(samples.calibration),
        "objective": [objective, allowed_loss],
        "target": target,
        "dialect": dialect,
        "set of options": [str(sorted(space.ranges.items())), str(sorted(fixed.items()))],
        "seed": seed,
        "version of nmcompile": __version__,
    }
    place = ["--target", target] if target else []
    begin = ["python", "-m", "nmcompile", "build", source.path, *place]
    begin += ["--dialect", dialect] if dialect else []
    begin += ["--max-bytes", str(max_bytes)] if max_bytes != MAX_BYTES else []
    begin += ["--calibrate", calibration_path]
    end = ["-o", Path(source.path).with_suffix(".nmc").name]

    def command(settings: Settings) -> tuple[str, ...]:
        return (*begin, *command_words(build_options(settings)), *end)

    show = progress or (lambda name: lambda done, total: None)
    with open_study(storage, fingerprint) as study:
        if calibrate is None:
            _write_samples(Path(calibration_path), samples.calibration)
        search = Search(study, space, objective, allowed_loss, seed, command)
        task = Task(
            source.network,
            target,
            samples.calibration,
            Part.of(samples.search, search.float_right(source.network, samples.search, "search")),
            Part.of(samples.check, search.float_right(source.network, samples.check, "check")),
        )
        with Workers(task, jobs or os.cpu_count() or 1) as workers:
            search.run(workers, trials, show("trials"))
            judged = search.checked(workers, len(samples.check) > 0, show("checks"))
        points = front(judged)
        best = min(points, key=best_first(objective, allowed_loss))
        return Tuning(
            objective=objective,
            allowed_loss=allowed_loss,
            trials=search.finished,
            stopped=search.stopped,
            failures=search.failures,
            searched=len(samples.search),
            checked=len(samples.check),
            points=tuple(points),
            best=best,
            usual=next((point for point in judged if point.usual), None),
            met=objective == "accuracy" or rank(objective, allowed_loss, best.measured) < 1,
            storage=str(storage),
        )


def _check(
    model: object,
    target: str | None,
    objective: str,
    allowed_loss: float,
    trials: int,
    limit: int,
) -> None:
    """Refuse what makes no sense, before long work."""
    parse_target(target)
    if objective not in OBJECTIVES:
        raise UsageError(f"--objective {objective}: it is none of {', '.join(OBJECTIVES)}")
    if not 0 <= allowed_loss < 1:
        raise UsageError(f"--allowed-loss {100 * allowed_loss:g}: 0 to 100 points are possible")
    if trials < 1 or limit < 1:
        raise UsageError(f"--trials {trials}, --limit {limit}: one or more is needed of each")
    if is_nengo(model) or (isinstance(model, (str, Path)) and is_python(model)):
        raise UsageError(
            "nengo-loihi chooses the neurons and weights of a Nengo network, so nothing is left "
            "to tune; set rates and time constants in the network"
        )


def _chip_layers(
    network: Network, target: str | None, samples: Samples, fixed: Settings
) -> tuple[Sequence[str], float]:
    """Names of the layers on the chip whose rates can be chosen, and the step in seconds."""
    kept = {name: value for name, value in fixed.items() if name in OF_STRUCTURE}
    options = build_options({**kept, "gain_samples": 0})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = float_layers(network, parse_target(target), options, samples.calibration)
    names = [
        layer.name
        for layer in graph.layers
        if layer.place == "chip" and isinstance(layer.neuron, Spiking) and not layer.neuron.own
    ]
    return names, graph.dt_s


def _digest(*arrays: Any) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype} ".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _write_samples(path: Path, x: FloatArray) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=x)
    write_atomically(path, buffer.getvalue())
