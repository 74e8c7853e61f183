"""Train a converted network on: a few epochs that win back what spikes lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import prod
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from nmcompile.errors import DataError, UsageError
from nmcompile.frontends import load
from nmcompile.frontends.keras.graph import Graph, build_graph
from nmcompile.frontends.keras.model import parse_model
from nmcompile.frontends.keras.over_time import runs_over_time
from nmcompile.hardware import parse_target
from nmcompile.ir import Network
from nmcompile.ir.layers import LayerGraph
from nmcompile.ir.nodes import FloatArray
from nmcompile.passes.add_encoder import behind_preprocessing
from nmcompile.passes.fold_affine import FoldAffine
from nmcompile.passes.options import BuildOptions, checked_options
from nmcompile.passes.pipeline import float_layers
from nmcompile.training.twin import Twin

Augment = Callable[[FloatArray, np.random.Generator], FloatArray]
#: Samples from which thresholds and amplitudes are chosen.
CALIBRATION_SAMPLES = 500


def fine_tune(
    model: Any,
    data: FloatArray | tuple[FloatArray, NDArray[Any]],
    *,
    steps: int = 32,
    epochs: int = 2,
    learning_rate: float = 1e-4,
    batch_size: int = 32,
    label_weight: float = 0.5,
    augment: Augment | None = None,
    seed: int = 0,
    verbose: int | str = "auto",
    **options: Any,
) -> Any:
    """Train a model's weights with the spikes that the chip will send in place of its ReLUs.

    The forward pass simulates every time step with hard resets, with the thresholds and amplitudes
    that `nmcompile.build` chooses, anew for each epoch; the backward pass takes the gradient of
    the neurons' rates. Statistics of batch norms stay as they are. The float model is the teacher:
    the loss is its cross-entropy with the spiking one's scores, and that with the labels.

    Parameters
    ----------
    model : trained Keras model that the front end reads, with one vector of scores as output
    data : (samples, *input shape) inputs, or a pair of these and (samples,) class numbers
    steps : time steps for which the model will be built
    epochs, learning_rate, batch_size : of Adam; the rate falls to zero along a cosine
    label_weight : 0..1, share of the labels in the loss; without labels it is all the teacher's
    augment : makes new inputs of a batch of them, given a random generator
    seed : of the batches' order and of `augment`
    verbose : as in `keras.Model.fit`
    options : of the build, see `nmcompile.passes.options.BuildOptions`; `equalise`, `rounding`,
        `window` and `read_synapse` have no part in training, and may still be given to the build

    Returns
    -------
    a model of the same architecture with new weights, for `nmcompile.build` with the same options

    Raises
    ------
    NmcompileError
        A model, data or option that the build would not take, or a number out of range.
    """
    chosen = _options(steps, options)
    x, y = _arrays(data, tuple(model.input_shape[1:]), prod(model.output_shape[1:]))
    if epochs < 1 or batch_size < 1 or not 0 <= label_weight <= 1 or not learning_rate > 0:
        raise UsageError(
            f"fine_tune: epochs is {epochs}, batch_size {batch_size}, label_weight "
            f"{label_weight:g}, learning_rate {learning_rate:g}; give at least one epoch and "
            "sample, a share in 0..1 and a rate above 0"
        )
    twin = trainable_twin(model, x, steps=steps, **options)
    teacher = trainable_twin(model, x, steps=steps, **options)
    teacher.trainable = False
    student = _Student(twin, teacher, label_weight)
    batches = _Batches(x, y, batch_size, augment, seed)
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, epochs * len(batches))
    student.compile(
        optimizer=keras.optimizers.Adam(schedule),
        jit_compile=keras.backend.backend() != "torch",
    )
    result = type(model).from_config(model.get_config())
    result.set_weights(model.get_weights())
    for epoch in range(epochs):
        if epoch:
            twin.set(_layers(load(result).network, chosen, x), x, chosen)
        student.fit(batches, epochs=epoch + 1, initial_epoch=epoch, shuffle=False, verbose=verbose)
        twin.give(result)
    return result


def trainable_twin(model: Any, x: FloatArray, *, steps: int = 32, **options: Any) -> Twin:
    """A Keras model whose scores are those that the chip would give, and that can be trained.

    Parameters
    ----------
    model, steps, options : as in `fine_tune`
    x : (samples, *input shape) inputs, from which thresholds and amplitudes are chosen
    """
    network = load(model).network
    calls = build_graph(parse_model(json.loads(model.to_json()), model.name), model.name)
    if runs_over_time(calls):
        raise UsageError(
            f"fine_tune: model {model.name!r} has a time axis, so its training sees spikes "
            "already; train it on with its own fit"
        )
    chosen = _options(steps, options)
    layers = _layers(network, chosen, x)
    _check_depth(steps, layers)
    twin = Twin(model, calls, layers, _encoded_call(network, calls, layers), steps)
    twin.set(layers, x, chosen)
    return twin


class _Student(keras.Model):  # type: ignore[misc]
    """The twin that learns, and the float network that teaches it."""

    def __init__(self, twin: Twin, teacher: Twin, label_weight: float) -> None:
        super().__init__()
        self.twin, self.teacher, self.label_weight = twin, teacher, label_weight
        self.built = True

    def call(self, x: Any, training: bool = False) -> Any:
        """Logits of student and teacher, side by side."""
        taught = ops.stop_gradient(self.teacher.follow(x, spiking=False))
        return ops.stack([self.twin(x), taught], axis=1)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, *_: Any, **__: Any
    ) -> Any:
        """Cross-entropy with the teacher, and with labels where there are some (-1: none)."""
        scores = ops.log_softmax(y_pred[:, 0])
        wanted = ops.softmax(y_pred[:, 1])
        known = ops.cast(y >= 0, scores.dtype)[:, None] * self.label_weight
        labels = ops.one_hot(ops.maximum(y, 0), scores.shape[1], dtype=scores.dtype)
        return -ops.mean(ops.sum((wanted * (1 - known) + labels * known) * scores, axis=1))


class _Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Shuffled batches that depend on the seed, the epoch and their number alone."""

    def __init__(
        self,
        x: FloatArray,
        y: NDArray[np.int64],
        batch_size: int,
        augment: Augment | None,
        seed: int,
    ) -> None:
        super().__init__()
        self._x, self._y, self._size = x, y, min(batch_size, len(x))
        self._augment, self._seed, self._epoch = augment, seed, 0
        self._order = np.random.default_rng((seed, 0)).permutation(len(x))

    def __len__(self) -> int:
        return len(self._x) // self._size

    def __getitem__(self, number: int) -> tuple[FloatArray, NDArray[np.int64]]:
        taken = self._order[number * self._size : (number + 1) * self._size]
        x = self._x[taken]
        if self._augment is not None:
            rng = np.random.default_rng((self._seed, self._epoch, number))
            x = np.asarray(self._augment(x, rng), np.float32)
        return x, self._y[taken]

    def on_epoch_end(self) -> None:
        """Draw the order of the next epoch."""
        self._epoch += 1
        rng = np.random.default_rng((self._seed, self._epoch))
        self._order = rng.permutation(len(self._x))


def _arrays(
    data: Any, shape: tuple[int | None, ...], classes: int
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Inputs and class numbers, -1 where there are none."""
    x, y = data if isinstance(data, tuple | list) else (data, None)
    x = np.asarray(x, np.float32)
    if not len(x):
        raise DataError("fine_tune: the data holds no samples; give at least one")
    if x.ndim != 1 + len(shape) or any(
        n not in (None, m) for n, m in zip(shape, x.shape[1:], strict=True)
    ):
        raise DataError(
            f"fine_tune: samples have shape {x.shape[1:]}, the model takes {shape}; give each "
            "frame of a video as a sample of its own"
        )
    if not np.isfinite(x).all():
        raise DataError(
            f"fine_tune: {int((~np.isfinite(x)).sum())} values of the data are NaN or infinite"
        )
    labels = np.full(len(x), -1, np.int64) if y is None else np.asarray(y)
    if labels.shape != (len(x),) or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"fine_tune: labels are {labels.dtype} of shape {labels.shape}; give one class number "
            f"for each of the {len(x)} samples"
        )
    if y is not None and (labels.min() < 0 or labels.max() >= classes):
        raise DataError(
            f"fine_tune: labels are {labels.min()} to {labels.max()}, but the model has {classes} "
            f"outputs; give numbers in 0..{classes - 1}"
        )
    return x, labels.astype(np.int64)


def _options(steps: int, options: dict[str, Any]) -> BuildOptions:
    """Checked options, without what changes the weights that are trained."""
    chosen = checked_options(steps=steps, **options)
    if chosen.weight_bits != BuildOptions().weight_bits:
        raise UsageError(
            f"fine_tune: weight_bits is {chosen.weight_bits}, but weights are trained as floats, "
            "which 8 bits come close to; for fewer give the model ChipConv2D and ChipDense layers"
        )
    return chosen.model_copy(update={"equalise": 0.0})


def _layers(network: Network, options: BuildOptions, calibration: FloatArray) -> LayerGraph:
    return float_layers(network, parse_target(None), options, calibration[:CALIBRATION_SAMPLES])


def _check_depth(steps: int, layers: LayerGraph) -> None:
    depth = max(layer.depth for layer in layers.on_chip())
    if depth >= steps:
        raise UsageError(
            f"steps is {steps}, but the last layer's first input comes after {depth} steps; "
            "give more steps"
        )


def _encoded_call(network: Network, calls: Graph, layers: LayerGraph) -> str:
    """Name of the call whose result an encoder that the compiler adds encodes; "" for none."""
    if layers.encoder.name in calls.calls:
        return ""
    folded = FoldAffine().run(network)
    name = behind_preprocessing(folded)
    while name not in calls.calls:  # an axis was moved
        (name,) = folded[name].inputs
    return name
