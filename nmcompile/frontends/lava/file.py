"""The layers of a `.net` file, and the numbers of each, checked for what may stand there.

The layout is what lava-dl's blocks write and `lava.lib.dl.netx.hdf5.Network` reads
(https://github.com/lava-nc/lava-dl, src/lava/lib/dl/slayer/block/base.py and netx/hdf5.py): a group
``layer`` with the layers by number, each with a ``type`` and datasets by name, those of its neurons
in a group ``neuron``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nmcompile.errors import ModelError
from nmcompile.frontends.budget import Budget
from nmcompile.frontends.hdf5 import follow_dataset, follow_group, texts_fit

if TYPE_CHECKING:
    import h5py

#: What HDF5 holds here, for messages.
HDF5 = "lava-dl network's data"
#: Layers, and axes of an array, beyond which a file is an attack.
MAX_LAYERS, MAX_RANK = 10_000, 8
#: Characters of a text.
MAX_TEXT = 100

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LavaFile:
    """Reads the groups and datasets of one file.

    Attributes
    ----------
    where : the file, for messages
    data : the whole file
    budget : bytes that may still be read
    """

    where: str
    data: bytes
    budget: Budget

    def layers(self, file: h5py.File) -> list[LavaLayer]:
        """All layers, in order.

        Raises
        ------
        ModelError
            Layers that are not numbered from 0 on, or have no type.
        """
        root = follow_group(file, "layer", self.where, HDF5)
        if len(root) > MAX_LAYERS:
            raise ModelError(f"{self.where}: the network has more than {MAX_LAYERS} layers")
        found = []
        for number in range(len(root)):
            if str(number) not in root:
                raise ModelError(
                    f"{self.where}: of its {len(root)} layers, none is called {number}; number "
                    "them from 0 on"
                )
            group = follow_group(root, str(number), self.where, HDF5)
            kind = self.text(group, "type", f"layer {number}")
            found.append(LavaLayer(number, kind, group, self))
        return found

    def text(self, group: h5py.Group, key: str, place: str) -> str:
        """A short text, alone or as the only one of an array."""
        array = self._dataset(group, key, place)
        if array.dtype.kind not in "OS" or array.shape not in ((), (1,)):
            raise ModelError(f"{self.where}: {place}: its {key} is no text; export it again")
        if not texts_fit(array, self.data):
            raise ModelError(f"{self.where}: {place}: its {key} is damaged; export it again")
        self.budget.take(array.dtype.itemsize, place)
        value = array[()] if array.shape == () else array[0]
        if isinstance(value, bytes):
            value = value[:MAX_TEXT].decode("utf-8", "replace")
        return str(value)[:MAX_TEXT]

    def numbers(self, group: h5py.Group, key: str, place: str) -> Numbers:
        """An array of finite numbers, in double precision."""
        array = self._dataset(group, key, place)
        if array.dtype.kind not in "fiub" or len(array.shape) > MAX_RANK:
            raise ModelError(
                f"{self.where}: {place}: its {key} of type {array.dtype} and shape "
                f"{array.shape} holds no numbers; export it again"
            )
        self.budget.take(math.prod(array.shape) * max(8, array.dtype.itemsize), place)
        values = np.asarray(array[()], np.float64)
        bad = int(np.count_nonzero(~np.isfinite(values)))
        if bad:
            raise ModelError(
                f"{self.where}: {place}: {bad} of the {values.size} numbers of its {key} are NaN "
                "or infinite; export it again"
            )
        return values

    def _dataset(self, group: h5py.Group, key: str, place: str) -> h5py.Dataset:
        if key not in group:
            raise ModelError(f"{self.where}: {place} has no {key}; export it again")
        return follow_dataset(group, key, self.where, HDF5)


@dataclass(frozen=True, eq=False)
class LavaLayer:
    """One layer of the file; sentences name the file and the layer.

    Attributes
    ----------
    number : its name in the file
    kind : its type, such as ``dense``
    group : its datasets
    file : that it lies in
    """

    number: int
    kind: str
    group: h5py.Group
    file: LavaFile

    @property
    def name(self) -> str:
        """Name of the layer in messages and in the Program, such as ``dense_2``."""
        return f"{self.kind[:40]}_{self.number}"

    @property
    def place(self) -> str:
        """The layer, for messages."""
        return f"layer {self.number} ({self.kind[:40]})"

    def bad(self, text: str) -> ModelError:
        """An error for what lava-dl would not write."""
        return ModelError(f"{self.file.where}: {self.place}: {text}; export it again")

    def __contains__(self, key: str) -> bool:
        return key in self.group

    def has_neuron(self) -> bool:
        """Whether it says what its neurons are."""
        return "neuron" in self.group

    def neuron(self) -> h5py.Group:
        """The datasets of its neurons."""
        return follow_group(self.group, "neuron", self.file.where, HDF5)

    def text(self, key: str) -> str:
        """A text of its neurons."""
        return self.file.text(self.neuron(), key, f"{self.place}: neuron")

    def number_of(self, key: str, usual: float | None = None) -> float:
        """A number of its neurons that all of them share, or what is usual where none is given."""
        group = self.neuron()
        if key not in group and usual is not None:
            return usual
        found = self.file.numbers(group, key, f"{self.place}: neuron").reshape(-1)
        if not found.size or np.any(found != found[0]):
            raise self.bad(
                f"its neurons have {found.size} values of {key}, which differ or are none, but a "
                "layer's neurons share one; train with shared_param=True"
            )
        return float(found[0])

    def integers(self, key: str) -> Numbers:
        """An array of whole numbers that float32 holds even times 64."""
        found = self.file.numbers(self.group, key, self.place)
        if np.any(found != np.rint(found)):
            raise self.bad(
                f"{int(np.count_nonzero(found != np.rint(found)))} of the {found.size} numbers of "
                f"its {key} are no whole numbers; quantise the network (pre_hook_fx) before it is "
                "exported"
            )
        if np.any(np.abs(found) >= 2**17):
            raise self.bad(f"its {key} goes up to {np.abs(found).max():.0f}, beyond any register")
        return found

    def whole(self, key: str, count: int, least: int) -> tuple[int, ...]:
        """Whole numbers; a single one stands for `count` equal ones."""
        found = self.file.numbers(self.group, key, self.place).reshape(-1)
        if found.size not in (1, count) or np.any(found != np.rint(found)):
            raise self.bad(f"its {key} is not {count} whole numbers")
        if found.min() < least or found.max() > 2**31:
            raise self.bad(f"its {key} is {found.tolist()}, expected {least} or more")
        return tuple(int(n) for n in np.broadcast_to(found, count))

    def shape(self) -> tuple[int, ...]:
        """Its shape as the file has it, (channels, rows, columns) for images."""
        found = self.file.numbers(self.group, "shape", self.place).reshape(-1)
        if not 1 <= found.size <= 3 or found.min() < 1 or np.any(found != np.rint(found)):
            raise self.bad(f"its shape {found.tolist()[:8]} is none")
        return tuple(int(n) for n in np.minimum(found, 2**40))
