"""Keras layers that cannot be compiled: why, and what to do instead."""

from __future__ import annotations

_SPIKES = "a spiking neuron sends sums, so it cannot"
_RELU = "use ReLU and train again"
_MAX = (
    f"{_SPIKES} choose the largest of its inputs",
    "use strides in the convolution before it, or AveragePooling2D",
)
_GLOBAL_MAX = (f"{_SPIKES} choose the largest of its inputs", "use GlobalAveragePooling2D")
_CURVE = ("a firing rate is zero below threshold and cannot follow this activation", _RELU)
_RECURRENT = (
    "gated recurrence multiplies activations, which neurons cannot do",
    "use convolutions over time (Conv1D)",
)
_MEMORY = (
    "it remembers numbers from step to step, and a firing rate is a mean over steps",
    "train spiking neurons with recurrent connections, and read them from NIR or lava-dl",
)
_CUSTOM_LOOP = ("it wraps Keras code that the file does not hold", "use Keras' layers directly")
_NORM = (
    "it divides by a statistic of each sample, which neurons cannot do",
    "use BatchNormalization, which folds into the weights",
)
_ATTENTION = ("it multiplies activations with each other", "use convolutions or Dense layers")
_PRODUCT = ("it multiplies activations with each other", "use Add or Concatenate")
_UP = ("it repeats or interpolates inputs", "keep the resolution, or upsample after the chip")
_TRANSPOSED = ("transposed convolutions are not mapped", "use Conv2D on inputs of full size")
_THREE_D = ("the chip's mapping has two spatial axes", "use the 2D layer on stacked channels")
_TOKENS = ("it looks up numbers by index", "feed the looked-up vectors as input")
_IMAGE = ("it changes images at random or resamples them", "do this before the network")
_TEXT = ("it turns raw data into numbers", "do this before the network")
_SELECT = (f"{_SPIKES} choose or compare inputs", "use Add or Concatenate")
_MASK = ("masks are not carried through the network", "pad the inputs with zeros instead")
_QUANTISED = ("it is quantised already for another target", "save the float model")


def _words(text: str) -> list[str]:
    return text.split()


#: Class name -> (why, what to do instead).
REFUSED: dict[str, tuple[str, str]] = {
    **dict.fromkeys(_words("MaxPooling1D MaxPooling2D MaxPooling3D"), _MAX),
    **dict.fromkeys(("AdaptiveMaxPooling1D", "AdaptiveMaxPooling2D"), _MAX),
    **dict.fromkeys(
        _words("GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D"), _GLOBAL_MAX
    ),
    **dict.fromkeys(_words("LeakyReLU ELU PReLU ThresholdedReLU SELU"), _CURVE),
    **dict.fromkeys(
        _words(
            "LSTM GRU RNN ConvLSTM1D ConvLSTM2D ConvLSTM3D LSTMCell GRUCell "
            "StackedRNNCells Bidirectional CuDNNLSTM CuDNNGRU"
        ),
        _RECURRENT,
    ),
    **dict.fromkeys(_words("SimpleRNN SimpleRNNCell"), _MEMORY),
    **dict.fromkeys(_words("Wrapper SpectralNormalization"), _CUSTOM_LOOP),
    **dict.fromkeys(
        _words(
            "LayerNormalization GroupNormalization UnitNormalization RMSNormalization "
            "InstanceNormalization"
        ),
        _NORM,
    ),
    **dict.fromkeys(
        _words(
            "Attention AdditiveAttention MultiHeadAttention GroupQueryAttention "
            "GroupedQueryAttention"
        ),
        _ATTENTION,
    ),
    **dict.fromkeys(_words("Multiply Dot EinsumDense"), _PRODUCT),
    **dict.fromkeys(("Maximum", "Minimum"), _SELECT),
    **dict.fromkeys(_words("UpSampling1D UpSampling2D UpSampling3D RepeatVector"), _UP),
    **dict.fromkeys(_words("Conv1DTranspose Conv2DTranspose Conv3DTranspose"), _TRANSPOSED),
    **dict.fromkeys(
        _words("Conv3D AveragePooling3D GlobalAveragePooling3D ZeroPadding3D Cropping3D"),
        _THREE_D,
    ),
    **dict.fromkeys(
        _words(
            "Embedding Discretization CategoryEncoding Hashing HashedCrossing IntegerLookup "
            "StringLookup"
        ),
        _TOKENS,
    ),
    **dict.fromkeys(
        _words(
            "CenterCrop RandomBrightness RandomContrast RandomCrop RandomFlip RandomRotation "
            "RandomTranslation RandomZoom RandomHeight RandomWidth Resizing AutoContrast "
            "Equalization Solarization MixUp CutMix"
        ),
        _IMAGE,
    ),
    **dict.fromkeys(_words("TextVectorization MelSpectrogram STFTSpectrogram"), _TEXT),
    "Masking": _MASK,
    "Subtract": (
        "differences of layers are not mapped",
        "use Add, and let the weights before it carry the sign",
    ),
    "Average": ("means of layers are not mapped", "use Add, and scale the weights after it"),
    "Lambda": (
        "a Lambda holds Python code, which is never run",
        "replace it by Keras' own layers, such as Rescaling or Reshape",
    ),
    "TFSMLayer": ("it holds TensorFlow code, which is never run", "use Keras' own layers"),
    "TorchModuleWrapper": ("it holds PyTorch code, which is never run", "use Keras' own layers"),
    "JaxLayer": ("it holds JAX code, which is never run", "use Keras' own layers"),
    "FlaxLayer": ("it holds Flax code, which is never run", "use Keras' own layers"),
    "TFOpLambda": ("it is an operation outside Keras' layers", "use Keras' own layers"),
    "SlicingOpLambda": ("it slices activations", "use Cropping2D"),
    "AdaptiveAveragePooling1D": ("its windows vary", "use AveragePooling1D"),
    "AdaptiveAveragePooling2D": ("its windows vary", "use AveragePooling2D"),
    "Pipeline": _CUSTOM_LOOP,
    "QuantizedDense": _QUANTISED,
}

#: Activation -> what to do instead.
ACTIVATIONS = {
    "softmax": "softmax is possible only as the last layer, where the host computes it; use ReLU",
    "sigmoid": "use ReLU and train again; as the last layer, drop it",
    "hard_sigmoid": "use ReLU with max_value=1 and train again",
    "hard_tanh": "use ReLU with max_value=1 and train again",
    "leaky_relu": _RELU,
    **dict.fromkeys(
        ("nmcompile>chipif", "nmcompile>chiplif", "nmcompile>softlif"),
        "put it behind this layer, as a layer of its own",
    ),
}
ANY_ACTIVATION = _RELU


def refusal(kind: str, custom: str) -> tuple[str, str]:
    """Why a layer without a converter is refused, and what to do instead."""
    if custom:
        return custom, "use Keras' own layers; code outside the file is never run"
    return REFUSED.get(
        kind,
        ("this layer is not supported", "express it with convolutions, Dense, ReLU and pooling"),
    )
