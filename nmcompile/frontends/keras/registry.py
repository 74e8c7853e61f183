"""Which function converts which Keras layer."""

from __future__ import annotations

from nmcompile.frontends.keras import affine, layers, moves, spiking, windows
from nmcompile.frontends.keras.builder import Parser

#: Layers that only matter during training.
DROPPED = (
    "Dropout",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "GaussianNoise",
    "GaussianDropout",
    "AlphaDropout",
    "ActivityRegularization",
    "Identity",
)

LAYERS: dict[str, Parser] = {
    "InputLayer": layers.input_layer,
    "Dense": layers.dense,
    "ReLU": layers.relu,
    "Activation": layers.activation_layer,
    "Softmax": layers.softmax,
    **dict.fromkeys(DROPPED, layers.dropped),
    "BatchNormalization": affine.batch_norm,
    "Rescaling": affine.rescaling,
    "Normalization": affine.normalization,
    "Flatten": moves.flatten,
    "Reshape": moves.reshape,
    "Permute": moves.permute,
    "Add": moves.add,
    "Concatenate": moves.concatenate,
    "Conv1D": windows.conv(1),
    "Conv2D": windows.conv(2),
    "DepthwiseConv1D": windows.depthwise(1, separable=False),
    "DepthwiseConv2D": windows.depthwise(2, separable=False),
    "SeparableConv1D": windows.depthwise(1, separable=True),
    "SeparableConv2D": windows.depthwise(2, separable=True),
    "AveragePooling1D": windows.average_pool(1),
    "AveragePooling2D": windows.average_pool(2),
    "GlobalAveragePooling1D": windows.global_average_pool(1),
    "GlobalAveragePooling2D": windows.global_average_pool(2),
    "ZeroPadding1D": windows.border(1, "padding", 1),
    "ZeroPadding2D": windows.border(2, "padding", 1),
    "Cropping1D": windows.border(1, "cropping", -1),
    "Cropping2D": windows.border(2, "cropping", -1),
    "ChipIF": spiking.neuron(leaky=False),
    "ChipLIF": spiking.neuron(leaky=True),
    "SoftLIF": spiking.neuron(leaky=True),
    "SpikeNoise": spiking.noise,
    "ChipConv2D": spiking.rounded(windows.conv(2)),
    "ChipDense": spiking.rounded(layers.dense),
    "ChipEncoder": spiking.encoder,
}

#: Operations such as ``x + y`` that Keras writes into functional models.
OPERATIONS: dict[str, Parser] = {"Add": moves.add}
