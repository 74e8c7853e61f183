"""What converts one call of a Keras layer: its weights and activation, beside its inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nmcompile.frontends.keras.graph import Call
from nmcompile.frontends.keras.options import Activation, Options
from nmcompile.frontends.keras.weights import WeightStore
from nmcompile.frontends.layout import Tensor
from nmcompile.frontends.step import Step


@dataclass(frozen=True, eq=False)
class LayerStep(Step):
    """One layer call being converted: its inputs, its weights, and means to add nodes."""

    call: Call
    store: WeightStore

    def weight(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """One of the layer's variables."""
        return self.store.read(self.call.layer, name, shape)

    def linear_suffix(self, activation: Activation) -> str:
        """Suffix of the node before the activation."""
        return "" if activation.kind == "linear" else "linear"

    def activate(self, tensor: Tensor, activation: Activation) -> Tensor:
        """Add the activation, under the layer's own name."""
        if activation.kind == "relu":
            return self.relu(tensor, activation.max_value)
        if activation.kind == "softmax":
            return self.softmax(tensor, len(tensor.shape) - 1)
        return tensor


#: Adds the nodes of one call of a layer.
Converter = Callable[[LayerStep], Tensor]
#: Reads a layer's options; what it returns converts each call.
Parser = Callable[[Options], Converter]
