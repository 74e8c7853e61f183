"""Measure what conversion loses on whole test sets, and write `build/bench/accuracy.json`.

Networks whose test set is not given are left out, in one line.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import nmcompile
from nmcompile.analysis.evaluation import Evaluation
from nmcompile.host.data import Data
from nmcompile.ir.nodes import Shape
from tools.bench.record import ROOT, Figure, at_least, at_most, progress, write

#: Ends the name of a network that was trained on with spikes, whose loss counts against the
#: accuracy of the network before.
TUNED = ", fine-tuned"
#: Training images that builds are calibrated on, drawn by this seed.
CALIBRATED, SEED = 500, 1


@dataclass(frozen=True)
class Case:
    """A network, how it is built, and what it should reach.

    Attributes
    ----------
    file : below `examples/`
    data : "mnist", "fashion" or "cifar10"
    steps : per image, the filling of the pipeline included
    lost : most points that may be lost, or None
    chip, floating : least accuracies in %, or None
    options : of the build, beside steps
    shown : how images come: "still", a row a step ("rows"), or in each of so many steps, with
        pixels of 0 or 1 ("12")
    """

    name: str
    file: str
    data: str
    steps: int
    lost: float | None = None
    chip: float | None = None
    floating: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    shown: str = "still"


#: What loses least for the CIFAR-10 networks, on images that training held out.
SLOW: Mapping[str, Any] = {"neuron": {"max_rate": 400.0}}
DEEP: Mapping[str, Any] = {**SLOW, "equalise": 0.5}
CASES = (
    Case("MNIST CNN", "mnist/mnist.keras", "mnist", 32, lost=0.1),
    Case("MNIST, LIF", "mnist_lif/mnist_lif_tuned.keras", "mnist", 30, chip=99.3),
    Case("CIFAR-10 CNN", "cifar10/cifar10.keras", "cifar10", 64, 0.5, floating=71.11, options=SLOW),
    Case("CIFAR-10 CNN", "cifar10/cifar10.keras", "cifar10", 32, 1.5, options=SLOW),
    Case("CIFAR-10 CNN, fine-tuned", "cifar10/cifar10_tuned.keras", "cifar10", 64, 0, options=SLOW),
    Case(
        "CIFAR-10 CNN, fine-tuned", "cifar10/cifar10_tuned.keras", "cifar10", 32, 0.5, options=SLOW
    ),
    Case("CIFAR-10, deep", "cifar10_deep/cifar10_deep.keras", "cifar10", 64, 0.5, options=DEEP),
    Case(
        "MNIST by rows, recurrent, from snnTorch",
        "snntorch/rows.nir",
        "mnist",
        30,
        0.5,
        options={"dialect": "snntorch-reset-delay"},
        shown="rows",
    ),
    Case(
        "MNIST CNN from snnTorch",
        "snntorch/image.nir",
        "mnist",
        15,
        0.5,
        options={"dialect": "snntorch"},
        shown="12",
    ),
    Case("Fashion-MNIST", "fashion_mnist/fashion_mnist.keras", "fashion", 64, lost=0.5),
)
#: Half the spikes at hardly any loss, as found on images that training held out.
FEW_SPIKES: Mapping[str, Any] = {
    "steps": 24,
    "neuron": {"max_rate": 500.0},
    "threshold_factors": (0.9, 1.0, 1.15, 1.3),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.bench.accuracy", description=__doc__)
    for name in ("mnist", "fashion", "cifar10"):
        parser.add_argument(f"--{name}", type=Path, help="file with x_train, x_test and y_test")
    write("accuracy", figures(vars(parser.parse_args())))


def figures(files: Mapping[str, Path | None]) -> Iterator[Figure]:
    """All figures of networks whose data are given."""
    for name in sorted({case.data for case in CASES}):
        if files[name] is None:
            progress(f"Networks on {name} are left out: give its file with --{name}.")
    original: dict[str, float] = {}
    for case in CASES:
        path = files[case.data]
        if not (ROOT / "examples" / case.file).is_file():
            progress(f"{case.name} is left out: there is no examples/{case.file} yet.")
        elif path is not None:
            found = judged(case, path)
            original.setdefault(case.name.removesuffix(TUNED), found.float_accuracy or 0)
            yield from case_figures(case, found, original)
    mnist = files["mnist"]
    if mnist is not None:
        yield from few_spikes(mnist)


def case_figures(case: Case, found: Evaluation, original: Mapping[str, float]) -> Iterator[Figure]:
    """Accuracy, what is lost, and what it takes."""
    label = f"{case.name}, {case.steps} steps"
    assert found.float_accuracy is not None
    assert found.lost is not None
    assert found.lost_low is not None
    assert found.lost_high is not None
    floating, chip = 100 * found.float_accuracy, 100 * found.accuracy
    if case.floating is None:
        yield Figure(f"{label}: float accuracy", floating, "%")
    else:
        yield at_least(f"{label}: float accuracy", floating, "%", case.floating)
    if case.chip is None:
        yield Figure(f"{label}: chip accuracy", chip, "%")
    else:
        yield at_least(f"{label}: chip accuracy", chip, "%", case.chip)
    tuned = case.name.endswith(TUNED)
    if case.lost is None or tuned:
        yield Figure(f"{label}: lost", 100 * found.lost, "points")
    else:
        yield at_most(f"{label}: lost", 100 * found.lost, "points", case.lost)
    yield Figure(f"{label}: lost, 95 % interval from", 100 * found.lost_low, "points")
    yield Figure(f"{label}: lost, 95 % interval to", 100 * found.lost_high, "points")
    if tuned:
        assert case.lost is not None
        lost = 100 * original[case.name.removesuffix(TUNED)] - chip
        yield at_most(f"{label}: lost against the float network before", lost, "points", case.lost)
    yield Figure(f"{label}: spikes on chip", found.spikes_per_sample, "per image")
    yield Figure(f"{label}: cores", found.cores, "cores")


def few_spikes(path: Path) -> Iterator[Figure]:
    """Spikes of the MNIST CNN as tuned for few, beside those of the build without options."""
    case = CASES[0]
    usual = judged(case, path)
    options = dict(FEW_SPIKES)
    steps = options.pop("steps", case.steps)
    tuned = judged(Case(case.name, case.file, case.data, steps, options=options), path)
    assert tuned.lost is not None
    label = f"{case.name}, tuned for few spikes, {steps} steps"
    yield at_most(f"{label}: lost", 100 * tuned.lost, "points", 0.1)
    ratio = usual.spikes_per_sample / tuned.spikes_per_sample
    yield Figure(
        f"{label}: spikes on chip",
        tuned.spikes_per_sample,
        "per image",
        "at least 2 times",
        ratio >= 2,
        "built without options",
        usual.spikes_per_sample,
        ratio,
    )


def judged(case: Case, path: Path) -> Evaluation:
    """Build a network, calibrated on training images, and evaluate it on the whole test set."""
    model = ROOT / "examples" / case.file
    if case.shown == "still":
        shape = nmcompile.load(model).network.sample_shape
        train, test = images(path, "train", shape), images(path, "test", shape)
    else:
        train, test = (frames(path, part, case.shown) for part in ("train", "test"))
    chosen = np.random.default_rng(SEED).choice(len(train), CALIBRATED, replace=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = nmcompile.build(
            model, calibrate=train.x[chosen], steps=case.steps, **dict(case.options)
        )
        return nmcompile.evaluate(program, test)


def images(path: Path, part: str, shape: Shape) -> Data:
    """The training or test set of a file in Keras' format, values in 0..1."""
    with np.load(path, allow_pickle=False) as file:
        x = file[f"x_{part}"].astype(np.float32).reshape(-1, *shape) / 255
        return Data(x, file[f"y_{part}"].astype(np.int64).reshape(-1), str(path))


def frames(path: Path, part: str, shown: str) -> Data:
    """Digits over time, with pixels of 0 or 1; of the training set the first, as they take room."""
    data = images(path, part, (28, 28))
    x, y = data.x, data.y
    assert y is not None
    if part == "train":
        x, y = x[: 10 * CALIBRATED], y[: 10 * CALIBRATED]
    bright = (x > 0.5).astype(np.float32)
    if shown != "rows":
        bright = np.repeat(bright[:, None, None], int(shown), axis=1)
    return Data(bright, y, data.path)


if __name__ == "__main__":
    main()
