"""Keras models for the tests: some that cover every layer and option, and random ones.

Needs Keras; the tests read what `tools/record_keras_models.py` recorded from here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers as kl

FIRST = "channels_first"


def covering_models() -> dict[str, Callable[[], Any]]:
    """Name -> function that makes a model; together they hold every layer and option."""
    return {
        name.removeprefix("model_"): make
        for name, make in globals().items()
        if name.startswith("model_")
    }


def model_chip_neurons() -> Any:
    from nmcompile.training import ChipEncoder, ChipIF, ChipLIF, SoftLIF, SpikeNoise

    return keras.Sequential([
        kl.Input((9, 8, 2)),
        ChipEncoder("on-off"),
        kl.Conv2D(5, 3),
        ChipIF(250.0, -0.5, tau_ref=0.001),
        SpikeNoise(32),
        kl.Conv2D(4, 3, strides=2),
        ChipLIF(0.02, 0.002, 100.0, amplitude=0.01),
        kl.Flatten(),
        kl.Dense(12),
        ChipIF(),
        kl.Dense(12),
        SoftLIF(0.01, 0.0, max_rate=200.0, smoothing=0.05),
        kl.Dense(3),
    ])  # fmt: skip


def model_chip_weights() -> Any:
    from nmcompile.training import ChipConv2D, ChipDense, ChipEncoder

    return keras.Sequential([
        kl.Input((9, 8, 2)),
        ChipEncoder(filters=4),
        ChipConv2D(5, 3, weight_bits=4, activation="relu"),
        ChipConv2D(4, 3, strides=2, padding="same", kernel_initializer="ones", use_bias=False),
        kl.ReLU(),
        kl.Flatten(),
        ChipDense(6, weight_bits=3, activation="relu"),
        ChipDense(4, use_bias=False),
    ])  # fmt: skip


def model_chip_on() -> Any:
    from nmcompile.training import ChipEncoder

    return keras.Sequential([
        kl.Input((5, 4, 3)), ChipEncoder("on"), kl.Conv2D(2, 3), kl.ReLU(), kl.Flatten(),
    ])  # fmt: skip


def model_over_time() -> Any:
    from nmcompile.training import ChipDense, ChipIF, ChipLIF, SpikeNoise, SpikingActivation

    return keras.Sequential([
        kl.Input((12, 6)),
        kl.Dense(20),
        SpikingActivation(ChipLIF(0.005, 0.001, 300.0, -0.2, amplitude=0.003)),
        SpikeNoise(12),
        kl.Dropout(0.2),
        ChipDense(16, use_bias=False),
        SpikingActivation(ChipIF(), spiking_aware_training=False),
        kl.Dense(3),
        kl.GlobalAveragePooling1D(),
    ])  # fmt: skip


def model_video() -> Any:
    from nmcompile.training import ChipIF, SpikingActivation

    return keras.Sequential([
        kl.Input((6, 8, 8, 2)),
        kl.TimeDistributed(kl.Conv2D(3, 3)),
        kl.TimeDistributed(kl.BatchNormalization()),
        SpikingActivation(ChipIF(amplitude=0.002)),
        kl.TimeDistributed(kl.AveragePooling2D(2)),
        kl.TimeDistributed(kl.Flatten()),
        kl.TimeDistributed(kl.Dense(10)),
        SpikingActivation(ChipIF()),
        kl.Dense(3),
        kl.GlobalAveragePooling1D(),
    ])  # fmt: skip


def model_cnn() -> Any:
    return keras.Sequential([
        kl.Input((12, 12, 1)),
        kl.Conv2D(4, 1, activation="relu"),
        kl.Conv2D(6, 3, strides=2, padding="same", use_bias=False),
        kl.BatchNormalization(),
        kl.ReLU(),
        kl.Dropout(0.2),
        kl.AveragePooling2D(2),
        kl.Flatten(),
        kl.Dense(5, activation="softmax"),
    ])  # fmt: skip


def model_cnn_channels_first() -> Any:
    return keras.Sequential([
        kl.Input((3, 11, 10)),
        kl.Rescaling(2.0, offset=-0.5),
        kl.Conv2D(4, 3, padding="same", strides=(2, 2), data_format=FIRST, activation="relu6"),
        kl.BatchNormalization(axis=1, scale=False),
        kl.DepthwiseConv2D(3, depth_multiplier=2, data_format=FIRST),
        kl.ReLU(max_value=1.5),
        kl.AveragePooling2D(2, strides=1, padding="same", data_format=FIRST),
        kl.Flatten(data_format="channels_last"),
        kl.Dense(4, activation="relu"),
        kl.Dense(3),
    ])  # fmt: skip


def model_flatten_channels_first() -> Any:
    return keras.Sequential([
        kl.Input((2, 7, 6)),
        kl.ZeroPadding2D(((1, 2), (0, 1)), data_format=FIRST),
        kl.SeparableConv2D(5, 3, padding="same", depth_multiplier=2, data_format=FIRST),
        kl.Activation("relu"),
        kl.Cropping2D(((1, 0), (2, 1)), data_format=FIRST),
        kl.Flatten(data_format=FIRST),
        kl.Dense(4),
    ])  # fmt: skip


def model_strides_dilation_groups() -> Any:
    return keras.Sequential([
        kl.Input((13, 9, 4)),
        kl.Conv2D(6, (3, 2), dilation_rate=(2, 3), padding="same", groups=2, activation="relu"),
        kl.Conv2D(4, (2, 4), strides=(3, 2), padding="same", bias_initializer="ones"),
        kl.BatchNormalization(epsilon=0.05, center=False),
        kl.Conv2D(4, 2, groups=4, dilation_rate=1, activation=kl.ReLU(max_value=2.0)),
        kl.Flatten(),
    ])  # fmt: skip


def model_depthwise_separable() -> Any:
    return keras.Sequential([
        kl.Input((10, 9, 3)),
        kl.DepthwiseConv2D((3, 2), strides=(2, 2), padding="same", depth_multiplier=2),
        kl.ReLU(),
        kl.SeparableConv2D(4, 3, dilation_rate=2, use_bias=False, padding="same"),
        kl.DepthwiseConv2D(2, use_bias=False, dilation_rate=2, activation="relu"),
        kl.SeparableConv2D(3, 2, strides=2, depth_multiplier=3, activation="relu"),
        kl.GlobalAveragePooling2D(),
        kl.Dense(4),
        kl.Softmax(),
    ])  # fmt: skip


def model_conv1d() -> Any:
    return keras.Sequential([
        kl.Input((16, 3)),
        kl.Conv1D(4, 3, padding="causal", dilation_rate=2, activation="relu"),
        kl.BatchNormalization(),
        kl.AveragePooling1D(2, padding="same", strides=2),
        kl.SpatialDropout1D(0.1),
        kl.Conv1D(6, 4, strides=2, padding="same", groups=2),
        kl.ReLU(),
        kl.SeparableConv1D(4, 2),
        kl.DepthwiseConv1D(2, depth_multiplier=2, activation="relu"),
        kl.ZeroPadding1D((1, 2)),
        kl.Cropping1D((0, 1)),
        kl.Conv1D(3, 1),
        kl.Flatten(),
        kl.Dense(3),
    ])  # fmt: skip


def model_conv1d_channels_first() -> Any:
    return keras.Sequential([
        kl.Input((3, 15)),
        kl.Conv1D(4, 3, strides=2, padding="valid", data_format=FIRST, activation="relu"),
        kl.BatchNormalization(axis=1),
        kl.AveragePooling1D(3, padding="same", strides=1, data_format=FIRST),
        kl.GlobalAveragePooling1D(data_format=FIRST),
        kl.Dense(3, use_bias=False),
    ])  # fmt: skip


def model_global_pool_keepdims() -> Any:
    return keras.Sequential([
        kl.Input((3, 6, 5)),
        kl.Conv2D(4, 2, data_format=FIRST, activation="relu"),
        kl.GlobalAveragePooling2D(data_format=FIRST, keepdims=True),
        kl.Conv2D(3, 1, data_format=FIRST),
        kl.Flatten(),
        kl.Dense(3),
    ])  # fmt: skip


def model_dense() -> Any:
    return keras.Sequential([
        kl.Input((9,)),
        kl.GaussianNoise(0.1),
        kl.Dense(8, activation="relu"),
        kl.BatchNormalization(center=False, scale=False),
        kl.GaussianDropout(0.1),
        kl.AlphaDropout(0.1),
        kl.ActivityRegularization(0.1),
        kl.Dense(4, use_bias=False, activation="linear"),
        kl.Activation("softmax"),
    ])  # fmt: skip


def model_dense_on_images() -> Any:
    return keras.Sequential([
        kl.Input((4, 5, 3)),
        kl.Dense(6, activation="relu"),
        kl.Reshape((-1, 6)),
        kl.Dense(4, activation="relu"),
        kl.Reshape((2, 2, 5, 4)),
        kl.Dense(3, activation="relu"),
        kl.Flatten(),
        kl.Dense(2),
    ])  # fmt: skip


def model_reshape_permute() -> Any:
    return keras.Sequential([
        kl.Input((24,)),
        kl.Reshape((2, 3, 4)),
        kl.Permute((2, 3, 1)),
        kl.Conv2D(3, 2, padding="same", activation="relu"),
        kl.Permute((3, 1, 2)),
        kl.Reshape((6, -1)),
        kl.Permute((2, 1)),
        kl.Conv1D(4, 2),
        kl.Flatten(),
        kl.Flatten(),
    ])  # fmt: skip


def model_normalization() -> Any:
    return keras.Sequential([
        kl.Input((6, 5, 3)),
        kl.Normalization(axis=-1, mean=[0.1, 0.5, 0.9], variance=[0.5, 0.1, 2.0]),
        kl.Rescaling([0.5, 2.0, 1.0], offset=[0.1, 0.0, -0.2]),
        kl.Normalization(axis=None, mean=0.2, variance=0.6, invert=True),
        kl.Conv2D(4, 2, activation="relu"),
        kl.Normalization(axis=(2, 3)),
        kl.Flatten(),
        kl.Dense(2),
    ])  # fmt: skip


def model_normalization_channels_first() -> Any:
    return keras.Sequential([
        kl.Input((3, 6, 5)),
        kl.Normalization(axis=1),
        kl.Conv2D(4, 2, activation="relu", data_format=FIRST),
        kl.Normalization(axis=1, invert=True),
        kl.SpatialDropout2D(0.1, data_format=FIRST),
        kl.Normalization(axis=(1, 3)),
        kl.BatchNormalization(axis=2),
        kl.Conv2D(2, 2, data_format=FIRST),
    ])  # fmt: skip


def model_residual() -> Any:
    x = inputs = keras.Input((8, 8, 3), name="image")
    x = kl.Conv2D(4, 3, padding="same", activation="relu", name="stem")(x)
    y = kl.Conv2D(4, 3, padding="same", name="a")(x)
    y = kl.BatchNormalization(name="bn")(y)
    z = kl.ReLU()(kl.Add(name="sum")([x, y]))
    z = kl.Concatenate(name="join")([z, x, y])
    z = z + kl.Conv2D(12, 1, name="skip")(x)
    z = kl.AveragePooling2D((3, 2), strides=(2, 3), padding="same")(z)
    return keras.Model(inputs, kl.Dense(3, name="output")(kl.Flatten()(z)))


def model_residual_plain() -> Any:
    x = inputs = keras.Input((6, 6, 3))
    x = kl.Conv2D(4, 3, padding="same", activation="relu")(x)
    y = kl.BatchNormalization()(kl.Conv2D(4, 3, padding="same")(x))
    z = kl.Concatenate()([kl.Add()([x, y]), x])
    z = kl.Conv2D(2, 3, strides=2)(kl.Identity()(z))
    return keras.Model(inputs, [kl.GlobalAveragePooling2D()(z)])


def model_residual_channels_first() -> Any:
    x = inputs = keras.Input((3, 8, 7))
    x = kl.Conv2D(4, 3, padding="same", activation="relu", data_format=FIRST)(x)
    y = kl.Conv2D(4, 3, padding="same", data_format=FIRST)(x)
    y = kl.BatchNormalization(axis=1)(y)
    z = kl.ReLU()(kl.Add()([x, y, x]))
    z = kl.Concatenate(axis=1)([z, x])
    w = kl.Concatenate(axis=-1)([z, z])
    w = kl.Conv2D(2, 3, strides=3, data_format=FIRST, padding="same")(w)
    return keras.Model(inputs, kl.Flatten()(w))


def model_mixed_formats() -> Any:
    x = inputs = keras.Input((4, 6, 4))
    a = kl.Conv2D(4, 3, padding="same", activation="relu")(x)
    b = kl.Conv2D(4, 3, padding="same", activation="relu", data_format=FIRST)(x)
    x = kl.Add()([a, b])
    x = kl.Concatenate(axis=2)([b, x])
    return keras.Model(inputs, kl.Dense(2)(x))


def model_shared() -> Any:
    inputs = keras.Input((6, 6, 3))
    conv = kl.Conv2D(3, 3, padding="same", activation="relu", name="shared")
    x = conv(conv(inputs))
    x = kl.Add()([x, conv(x)])
    return keras.Model(inputs, kl.GlobalAveragePooling2D()(x))


def model_nested() -> Any:
    block = keras.Sequential(
        [kl.Input((6, 6, 4)), kl.Conv2D(4, 3, padding="same"), kl.BatchNormalization(), kl.ReLU()],
        name="block",
    )
    a, b = keras.Input((6, 6, 4), name="a"), keras.Input((6, 6, 4), name="b")
    merge = keras.Model([a, b], kl.Concatenate()([kl.Conv2D(2, 1)(a), b]), name="merge")
    deep = keras.Sequential([kl.Input((6, 6, 4)), block, kl.Conv2D(4, 1)], name="deep")
    inputs = keras.Input((6, 6, 2))
    x = kl.Conv2D(4, 1)(inputs)
    x = block(block(x))
    y = deep(x)
    x = merge([y, x])
    x = kl.BatchNormalization()(x)
    return keras.Model(inputs, kl.Dense(3, activation="softmax")(kl.Flatten()(x)))


def model_nested_sequential() -> Any:
    inner = keras.Sequential([kl.Conv2D(3, 2, activation="relu"), kl.BatchNormalization()])
    a = keras.Input((5, 5, 2))
    split = keras.Model(a, [kl.Conv2D(2, 1)(a), kl.ReLU()(a)], name="split")
    inputs = keras.Input((5, 5, 2))
    x = inner(kl.Add()(split(inputs)))
    net = keras.Model(inputs, x, name="front")
    net.get_layer("split").trainable = False
    return keras.Sequential([net, kl.Flatten(), kl.Dense(2)])


def model_frozen() -> Any:
    inner = keras.Sequential(
        [kl.Input((5, 5, 2)), kl.BatchNormalization(trainable=False), kl.Conv2D(2, 2),
         kl.BatchNormalization()]
    )  # fmt: skip
    inner.layers[1].trainable = False
    return keras.Sequential([kl.Input((5, 5, 2)), inner, kl.ReLU(), kl.Flatten(), kl.Dense(2)])


def model_deferred() -> Any:
    model = keras.Sequential([kl.Dense(5, activation="relu"), kl.Dense(2)])
    model.build((None, 7))
    return model


def model_one_pixel() -> Any:
    return keras.Sequential([
        kl.Input((1, 1, 40)),
        kl.Conv2D(3, 1, activation="relu", data_format="channels_last"),
        kl.Flatten(),
        kl.Dense(2),
    ])  # fmt: skip


def random_model(seed: int) -> Any:
    """A small random model, Sequential or functional, in either data format."""
    rng = np.random.default_rng(seed)
    keras.utils.clear_session()
    first = bool(rng.integers(2))
    kind = rng.choice(["image", "image", "series"])
    spatial = 2 if kind == "image" else 1
    fmt = FIRST if first else "channels_last"
    size = tuple(int(n) for n in rng.integers(7, 13, spatial))
    channels = int(rng.integers(1, 5))
    shape = (channels, *size) if first else (*size, channels)
    axis = 1 if first else -1
    x = inputs = keras.Input(shape)
    for _ in range(int(rng.integers(2, 6))):
        try:
            x = _random_layer(rng, spatial, axis, fmt)(x)
        except ValueError:  # the window is larger than what is left
            continue
        if rng.random() < 0.3:
            y = kl.Conv2D if spatial == 2 else kl.Conv1D
            y = y(x.shape[axis], 3, padding="same", data_format=fmt)(x)
            x = kl.Add()([x, y]) if rng.random() < 0.5 else kl.Concatenate(axis=axis)([y, x])
    if rng.random() < 0.3:
        pool = kl.GlobalAveragePooling2D if spatial == 2 else kl.GlobalAveragePooling1D
        x = pool(data_format=fmt)(x)
    else:
        x = kl.Flatten(data_format=str(rng.choice([fmt, "channels_last"])))(x)
    x = kl.Dense(3, activation=str(rng.choice(["linear", "softmax", "relu"])))(x)
    return keras.Model(inputs, x)


def _random_layer(rng: np.random.Generator, spatial: int, axis: int, fmt: str) -> Any:
    def pick(*values: Any) -> Any:
        return values[int(rng.integers(len(values)))]

    two = spatial == 2
    dilated = rng.random() < 0.3
    kernel = int(rng.integers(1, 4)) if dilated else tuple(map(int, rng.integers(1, 4, spatial)))
    window: dict[str, Any] = {
        "padding": pick("same", "same", "valid"),
        "data_format": fmt,
        "strides": 1 if dilated else pick(1, 2),
    }
    conv = {
        **window,
        "dilation_rate": 2 if dilated else 1,
        "use_bias": pick(True, False),
        "activation": pick("relu", "linear", "relu6", None),
    }
    multiplier = int(rng.integers(1, 3))
    makers: list[Callable[[], Any]] = [
        lambda: (kl.Conv2D if two else kl.Conv1D)(int(rng.integers(2, 6)), kernel, **conv),
        lambda: (kl.DepthwiseConv2D if two else kl.DepthwiseConv1D)(
            kernel, depth_multiplier=multiplier, **conv
        ),
        lambda: (kl.SeparableConv2D if two else kl.SeparableConv1D)(
            int(rng.integers(2, 6)), kernel, depth_multiplier=multiplier, **conv
        ),
        lambda: kl.BatchNormalization(axis=axis, scale=pick(True, False), center=pick(True, False)),
        lambda: (kl.AveragePooling2D if two else kl.AveragePooling1D)(2, **window),
        lambda: (kl.ZeroPadding2D if two else kl.ZeroPadding1D)(1, data_format=fmt),
        lambda: (kl.Cropping2D if two else kl.Cropping1D)(1, data_format=fmt),
        lambda: kl.ReLU(max_value=pick(None, 1.0)),
        lambda: kl.Rescaling(1.5, offset=-0.2),
        lambda: kl.Normalization(axis=axis),
        lambda: kl.Dropout(0.3),
    ]
    return pick(*makers)()


def randomise(model: Any, seed: int) -> None:
    """Give every variable random numbers, variances positive ones."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        name, shape = variable.path.rsplit("/", 1)[-1], tuple(variable.shape)
        if "variance" in name or name == "gamma":
            value = rng.uniform(0.5, 1.5, shape)
        elif name == "count":
            continue
        elif "kernel" in name:
            fan_in = max(1, int(np.prod(shape[:-1])))
            value = rng.normal(0, 1.5 / np.sqrt(fan_in), shape)
        else:
            value = rng.normal(0, 0.3, shape)
        variable.assign(value)
    for layer in model._flatten_layers():
        if hasattr(layer, "finalize_state"):  # Normalization keeps a second copy
            layer.finalize_state()


def samples(model: Any, count: int, seed: int) -> np.ndarray:
    """Random inputs for a model."""
    rng = np.random.default_rng(seed)
    return rng.normal(0.2, 1.0, (count, *model.input_shape[1:])).astype(np.float32)
