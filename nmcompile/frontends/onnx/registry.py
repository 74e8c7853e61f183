"""Which function converts which ONNX operator."""

from __future__ import annotations

from nmcompile.frontends.onnx import arithmetic, moves, quantise, windows
from nmcompile.frontends.onnx.step import Parser

OPERATORS: dict[str, Parser] = {
    "Add": arithmetic.add,
    "AveragePool": windows.average_pool,
    "BatchNormalization": arithmetic.batch_norm,
    "Cast": moves.cast,
    "Clip": arithmetic.clip,
    "Concat": moves.concat,
    "Conv": windows.conv,
    "DequantizeLinear": quantise.dequantize,
    "Div": arithmetic.divide,
    "Dropout": moves.dropout,
    "Flatten": moves.flatten,
    "Gemm": arithmetic.gemm,
    "GlobalAveragePool": windows.global_average_pool,
    "Identity": moves.same,
    "MatMul": arithmetic.matmul,
    "Max": arithmetic.maximum,
    "Min": arithmetic.minimum,
    "Mul": arithmetic.multiply,
    "Neg": arithmetic.negative,
    "Pad": windows.pad,
    "QuantizeLinear": quantise.quantize,
    "ReduceMean": windows.reduce_mean,
    "Relu": arithmetic.relu,
    "Reshape": moves.reshape,
    "Softmax": arithmetic.softmax,
    "Squeeze": moves.squeeze,
    "Sub": arithmetic.subtract,
    "Sum": arithmetic.add,
    "Transpose": moves.transpose,
    "Unsqueeze": moves.unsqueeze,
}

#: Operators behind which a softmax may still be the last that computes.
TRANSPARENT = frozenset({"Identity", "Dropout", "Cast", "Flatten", "Reshape", "Squeeze"})
#: Operators that take the whole numbers of a QuantizeLinear.
ROUNDED = frozenset({"DequantizeLinear", "Identity"})
