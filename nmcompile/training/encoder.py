"""The input's encoder as a Keras layer: learnt, or fixed and without multiplications."""

from __future__ import annotations

from typing import Any, Literal

import keras
from keras import ops

from nmcompile.errors import UsageError


@keras.saving.register_keras_serializable("nmcompile")
class ChipEncoder(keras.layers.Layer):  # type: ignore[misc]
    """The first layer of a network, whose neurons the host computes and sends as spikes.

    Every pixel (samples, rows, columns, channels) gets neurons of its own, as by a 1x1
    convolution and ReLU, which is what the compiler reads.

    Parameters
    ----------
    mode : "learnt" trains weights and biases; "on" gives each channel one neuron, of weight 1, and
        "on-off" two, of weights 1 and -1, so that the host need not multiply
    filters : neurons per pixel of a learnt encoder
    """

    def __init__(
        self,
        mode: Literal["learnt", "on", "on-off"] = "learnt",
        filters: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if mode not in ("learnt", "on", "on-off"):
            raise UsageError(
                f"layer {self.name!r}: mode is {mode!r}; give 'learnt', 'on' or 'on-off'"
            )
        if (mode == "learnt") != (filters is not None):
            raise UsageError(
                f"layer {self.name!r}: filters is the number of neurons per pixel of a learnt "
                "encoder; give it for that mode, and for no other"
            )
        if filters is not None and filters < 1:
            raise UsageError(f"layer {self.name!r}: filters is {filters}; give one or more")
        self.mode, self.filters = mode, filters

    def build(self, input_shape: Any) -> None:
        """Make the weights of a learnt encoder."""
        if len(input_shape) != 4:
            raise UsageError(
                f"layer {self.name!r}: an encoder takes (samples, rows, columns, channels), got "
                f"{tuple(input_shape)}; reshape its input"
            )
        if self.mode == "learnt":
            shape = (1, 1, input_shape[-1], self.filters)
            # Without negative weights, no neuron is silent on all pixels from the start.
            limit = (6 / (input_shape[-1] + self.filters)) ** 0.5
            start = keras.initializers.RandomUniform(0.0, limit)
            self.kernel = self.add_weight(name="kernel", shape=shape, initializer=start)
            self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")
        self.built = True

    def call(self, x: Any) -> Any:
        """Activations of the encoder's neurons."""
        if self.mode == "learnt":
            x = ops.matmul(x, self.kernel[0, 0]) + self.bias
        elif self.mode == "on-off":
            pairs = ops.stack([x, -x], axis=-1)
            x = ops.reshape(pairs, (-1, *x.shape[1:-1], 2 * x.shape[-1]))
        return ops.relu(x)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the input with another number of channels."""
        channels = {"learnt": self.filters, "on": input_shape[-1], "on-off": 2 * input_shape[-1]}
        return (*input_shape[:-1], channels[self.mode])

    def get_config(self) -> dict[str, Any]:
        """All parameters."""
        return {**super().get_config(), "mode": self.mode, "filters": self.filters}
