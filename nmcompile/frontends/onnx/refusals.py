"""ONNX operators that cannot be compiled: why, and what to do instead."""

from __future__ import annotations

_SPIKES = "a spiking neuron sends sums, so it cannot"
_MAX = (
    f"{_SPIKES} choose the largest of its inputs",
    "use strides in the convolution before it, or average pooling",
)
_CURVE = (
    "a firing rate is zero below threshold and cannot follow this function",
    "use ReLU and train again",
)
_LAST = (
    "a firing rate is zero below threshold and cannot follow this function",
    "as the last operator, drop it: the largest output stays the largest; else use ReLU",
)
_RECURRENT = (
    "gated recurrence multiplies activations, which neurons cannot do",
    "use convolutions over time",
)
_MEMORY = (
    "it remembers numbers from step to step, and a firing rate is a mean over steps",
    "train spiking neurons with recurrent connections, and read them from NIR or lava-dl",
)
_FLOW = ("it runs other operators by a condition", "export a model without branches and loops")
_NORM = (
    "it divides by a statistic of each sample, which neurons cannot do",
    "use BatchNormalization, which folds into the weights",
)
_PRODUCT = ("it multiplies activations with each other", "use Add or Concat")
_SELECT = (f"{_SPIKES} choose or compare inputs", "use Add or Concat")
_PART = ("it takes a part of its input, which is not mapped", "use Pad with negative pads to crop")
_UP = ("it repeats or interpolates inputs", "keep the resolution, or upsample after the chip")
_INTEGER = (
    "it computes with whole numbers for another target",
    "export the float model, or one with QuantizeLinear and DequantizeLinear",
)
_SUM = ("sums over axes are not mapped", "use ReduceMean, and scale the weights after it")


def _words(text: str) -> list[str]:
    return text.split()


#: Operator -> (why, what to do instead).
REFUSED: dict[str, tuple[str, str]] = {
    **dict.fromkeys(_words("MaxPool GlobalMaxPool MaxRoiPool RoiAlign LpPool GlobalLpPool"), _MAX),
    **dict.fromkeys(
        _words(
            "LeakyRelu PRelu Elu Selu Celu ThresholdedRelu Tanh Softplus Softsign Gelu Mish "
            "HardSwish Swish Erf Exp Log Abs Pow Sqrt Reciprocal Sin Cos Shrink Hardmax Sign Round"
        ),
        _CURVE,
    ),
    **dict.fromkeys(_words("Sigmoid HardSigmoid LogSoftmax"), _LAST),
    **dict.fromkeys(_words("LSTM GRU"), _RECURRENT),
    "RNN": _MEMORY,
    **dict.fromkeys(_words("If Loop Scan SequenceMap"), _FLOW),
    **dict.fromkeys(
        _words(
            "LayerNormalization InstanceNormalization GroupNormalization LpNormalization "
            "RMSNormalization MeanVarianceNormalization LRN"
        ),
        _NORM,
    ),
    **dict.fromkeys(_words("Attention Einsum RotaryEmbedding"), _PRODUCT),
    **dict.fromkeys(
        _words("ArgMax ArgMin TopK Where Greater Less Equal ReduceMax ReduceMin"), _SELECT
    ),
    **dict.fromkeys(_words("Slice Split Gather GatherElements GatherND"), _PART),
    **dict.fromkeys(_words("Resize Upsample Expand Tile DepthToSpace GridSample"), _UP),
    **dict.fromkeys(
        _words("QLinearConv QLinearMatMul ConvInteger MatMulInteger DynamicQuantizeLinear"),
        _INTEGER,
    ),
    **dict.fromkeys(_words("ReduceSum ReduceL1 ReduceL2 ReduceProd ReduceSumSquare"), _SUM),
    "ConvTranspose": ("transposed convolutions are not mapped", "use Conv on inputs of full size"),
}


def refusal(kind: str) -> tuple[str, str]:
    """Why an operator without a converter is refused, and what to do instead."""
    if "." in kind:
        return (
            "it is no operator of ONNX itself",
            "export with ONNX' own operators, and inline functions with onnx.inliner",
        )
    return REFUSED.get(
        kind,
        ("this operator is not supported", "express it with Conv, Gemm, Relu and AveragePool"),
    )
