"""Where the weights lie: `.keras` folders, legacy `.h5` groups, or a model in memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nmcompile.errors import ModelError
from nmcompile.frontends.hdf5 import follow_dataset, follow_group
from nmcompile.frontends.keras.model import Layer, Model

if TYPE_CHECKING:
    import h5py

#: What HDF5 holds here, for messages.
HDF5 = "HDF5 weights"


def variables(layer: Layer) -> list[tuple[str, bool]]:
    """Names of a layer's variables in Keras' order, and whether each is trainable."""
    config = layer.config
    bias = [("bias", True)] if config.get("use_bias", True) else []
    if layer.kind in ("Dense", "Conv1D", "Conv2D", "ChipConv2D", "ChipDense"):
        return [("kernel", True), *bias]
    if layer.kind in ("DepthwiseConv1D", "DepthwiseConv2D"):
        return [("depthwise_kernel", True), *bias]
    if layer.kind in ("SeparableConv1D", "SeparableConv2D"):
        return [("depthwise_kernel", True), ("pointwise_kernel", True), *bias]
    if layer.kind == "ChipEncoder":
        return [("kernel", True), ("bias", True)] if config.get("mode") == "learnt" else []
    if layer.kind == "BatchNormalization":
        scale = [("gamma", True)] if config.get("scale", True) else []
        center = [("beta", True)] if config.get("center", True) else []
        return [*scale, *center, ("moving_mean", False), ("moving_variance", False)]
    if layer.kind == "Normalization" and config.get("mean") is None:
        return [("mean", False), ("variance", False), ("count", False)]
    return []


class WeightStore(Protocol):
    """Gives each layer its variables, in the order of `variables`."""

    def bind(self, model: Model) -> None:
        """Tell the store the model whose weights it holds."""

    def read(self, layer: Layer, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """One variable of a layer, checked for its shape."""


class _Hdf5Store:
    """Reads datasets through hard links only, so that a file cannot reach outside itself."""

    def __init__(self, file: h5py.File, where: str, max_bytes: int) -> None:
        self._file, self._where, self._left = file, where, max_bytes

    def bind(self, model: Model) -> None:
        self._model = model

    def _datasets(self, layer: Layer) -> Sequence[h5py.Dataset]:
        raise NotImplementedError

    def read(self, layer: Layer, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        names = [each for each, _ in variables(layer)]
        found = self._datasets(layer)
        if len(found) != len(names):
            raise ModelError(
                f"{self._where}: layer {layer.name!r}: the file holds {len(found)} weight arrays, "
                f"expected {len(names)} ({', '.join(names)}); save the model again"
            )
        dataset = found[names.index(name)]
        _check_shape(self._where, layer, name, dataset.shape, shape)
        size = math.prod(dataset.shape) * dataset.dtype.itemsize
        self._left -= size
        if self._left < 0:
            raise ModelError(
                f"{self._where}: layer {layer.name!r}: its {name} of {size} bytes goes beyond the "
                "limit on unpacked weights; raise it with --max-bytes, or max_bytes in Python, if "
                "you trust the file"
            )
        half = dataset.dtype.kind == "V" and dataset.dtype.itemsize == 2  # Keras' bfloat16
        if not half and dataset.dtype.kind not in "fiu":
            raise ModelError(
                f"{self._where}: layer {layer.name!r}: its {name} holds {dataset.dtype}, "
                "not numbers; save the model again"
            )
        value: Any = dataset[()]
        if half:
            value = (np.asarray(value).view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        return as_float32(self._where, layer, name, value)

    def _group(self, parent: h5py.Group, path: str) -> h5py.Group:
        return follow_group(parent, path, self._where, HDF5)

    def _dataset(self, parent: h5py.Group, path: str) -> h5py.Dataset:
        return follow_dataset(parent, path, self._where, HDF5)


class LayersStore(_Hdf5Store):
    """The layout of `.keras` files: ``layers/<class name and count>/vars/<number>``."""

    def _datasets(self, layer: Layer) -> Sequence[h5py.Dataset]:
        folder = layer.folder
        if "layers" not in self._file and "_layer_checkpoint_dependencies" in self._file:
            folder = folder.replace("/layers/", "/_layer_checkpoint_dependencies/")  # Keras 2.12
        group = self._group(self._file, f"{folder}/vars")
        saved = group.attrs.get("name")
        own = layer.config.get("name") if layer.in_each_step else layer.short
        if isinstance(saved, str) and saved != own:
            raise ModelError(
                f"{self._where}: the weights of layer {layer.name!r} are marked as those of "
                f"{saved!r}; save the model again"
            )
        count = len(group)
        return [self._dataset(group, str(k)) for k in range(count)]


class LegacyStore(_Hdf5Store):
    """The layout of whole-model `.h5` files: one group per layer of the outermost model."""

    def bind(self, model: Model) -> None:
        super().bind(model)
        self._found: dict[int, list[h5py.Dataset]] = {}
        self._done: set[int] = set()

    def _datasets(self, layer: Layer) -> Sequence[h5py.Dataset]:
        top = next(
            each for each in self._model.layers if each.index[0] == layer.index[0]
            and (each is layer or each.inner is not None)
        )  # fmt: skip
        if id(top) not in self._done:
            self._done.add(id(top))
            self._share_out(top)
        return self._found.get(id(layer), [])

    def _share_out(self, top: Layer) -> None:
        """Give the arrays of one group to its layers: all trainable ones first, as Keras does."""
        group = self._group(self._file, f"model_weights/{top.short}")
        arrays = [self._dataset(group, name) for name in self._names(group)]
        slots = list(_slots(top, True))
        order = [s for s in slots if s[2]] + [s for s in slots if not s[2]]
        if len(order) != len(arrays):
            raise ModelError(
                f"{self._where}: layer {top.name!r}: the file holds {len(arrays)} weight arrays, "
                f"expected {len(order)}; save the model again"
            )
        given = {
            (id(layer), name): array for (layer, name, _), array in zip(order, arrays, strict=True)
        }
        for layer, name, _ in slots:
            array = given[id(layer), name]
            _check_name(self._where, layer, name, str(array.name))
            self._found.setdefault(id(layer), []).append(array)

    def _names(self, group: h5py.Group) -> list[str]:
        names = group.attrs.get("weight_names")
        if names is None:  # long lists are cut into weight_names0, weight_names1, ...
            parts: list[Any] = []
            while (part := group.attrs.get(f"weight_names{len(parts)}")) is not None:
                parts.append(part)
            names = [name for part in parts for name in part]
        return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


class MemoryStore:
    """The weights of a Keras model in memory."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._where = str(getattr(model, "name", "model"))

    def bind(self, model: Model) -> None:
        """Nothing to do: layers are found by their position."""

    def read(self, layer: Layer, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        owner = self._model
        for position in layer.index:
            owner = owner.layers[position]
        if owner.name != layer.short:
            raise ModelError(f"{self._where}: layer {layer.name!r} cannot be found in the model")
        names = [each for each, _ in variables(layer)]
        values = owner.get_weights()
        if len(values) != len(names):
            raise ModelError(
                f"{self._where}: layer {layer.name!r} has {len(values)} weight arrays, expected "
                f"{len(names)} ({', '.join(names)})"
            )
        value = np.asarray(values[names.index(name)])
        _check_shape(self._where, layer, name, value.shape, shape)
        return as_float32(self._where, layer, name, value)


def as_float32(where: str, layer: Layer, name: str, value: Any) -> NDArray[np.float32]:
    """The value as float32; raises ModelError where a number is NaN or infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        array = np.ascontiguousarray(np.asarray(value).astype(np.float32))
    bad = int(np.count_nonzero(~np.isfinite(array)))
    if bad:
        raise ModelError(
            f"{where}: layer {layer.name!r}: {bad} of the {array.size} numbers of its {name} are "
            "NaN or infinite; train or export the model again"
        )
    return array.reshape(np.shape(value))


def _slots(layer: Layer, trainable: bool) -> Iterator[tuple[Layer, str, bool]]:
    trainable = trainable and bool(layer.config.get("trainable", True))
    if layer.inner is None:
        for name, own in variables(layer):
            yield layer, name, own and trainable
    else:
        for each in layer.inner.layers:
            yield from _slots(each, trainable)


_ALIASES = {"depthwise_kernel": ("kernel",), "kernel": ("depthwise_kernel",)}
_KNOWN = {
    "kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance", "mean", "variance",
    "count", "depthwise_kernel", "pointwise_kernel",
}  # fmt: skip


def _check_name(where: str, layer: Layer, name: str, path: str) -> None:
    saved = path.rsplit("/", 1)[-1].split(":")[0]
    if saved in _KNOWN and saved != name and saved not in _ALIASES.get(name, ()):
        raise ModelError(
            f"{where}: layer {layer.name!r}: where its {name} should be, the file has {saved!r}; "
            "save the model again"
        )


def _check_shape(
    where: str, layer: Layer, name: str, found: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    if tuple(found) != tuple(expected):
        raise ModelError(
            f"{where}: layer {layer.name!r}: its {name} has shape {tuple(found)}, "
            f"expected {tuple(expected)}; save the model again"
        )
