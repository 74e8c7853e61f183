"""ONNX operators with windows over rows and columns: convolution, pooling, means, padding.

One-dimensional operators work on images of one row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nmcompile.frontends.layout import Refused, Tensor, window_layout
from nmcompile.frontends.onnx.attributes import Attributes
from nmcompile.frontends.onnx.step import Converter, OpStep
from nmcompile.frontends.step import same_padding
from nmcompile.ir import nodes
from nmcompile.ir.nodes import Padding2d, Pair

_AUTO = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")


class Window:
    """Size, stride, dilation and padding of a window, read from an operator's attributes."""

    def __init__(self, a: Attributes) -> None:
        self._a = a
        self._auto = a.choice("auto_pad", _AUTO)
        self.size = a.ints("kernel_shape", 1)
        self._strides = a.ints("strides", 1)
        self._dilations = a.ints("dilations", 1)
        self._pads = a.ints("pads", 0)
        self.ceil = False

    def fit(self, spatial: int, size: Sequence[int]) -> None:
        """Lay the window over one or two axes; a single one is that of the columns."""
        for key, given in (("kernel_shape", self.size), ("strides", self._strides),
                           ("dilations", self._dilations)):  # fmt: skip
            if given is not None and len(given) != spatial:
                raise self._a.bad(key, given, f"{spatial} numbers")
        if self.size is not None and self.size != tuple(size):
            raise self._a.bad("kernel_shape", self.size, f"{tuple(size)} as its weights")
        pads = self._pads or (0,) * (2 * spatial)
        if len(pads) != 2 * spatial:
            raise self._a.bad("pads", pads, f"{2 * spatial} numbers")
        missing = 2 - spatial
        self.kernel = _pair((*(1,) * missing, *size))
        self.stride = _pair((*(1,) * missing, *(self._strides or (1,) * spatial)))
        self.dilation = _pair((*(1,) * missing, *(self._dilations or (1,) * spatial)))
        pairs = [(0, 0)] * missing + list(zip(pads[:spatial], pads[spatial:], strict=True))
        self._given: Padding2d = (pairs[0], pairs[1])

    def padding(self, rows: int, cols: int) -> Padding2d:
        """Zeros around an input of some size."""
        return self._along(0, rows), self._along(1, cols)

    def split(self, padding: Padding2d) -> tuple[Padding2d, Padding2d]:
        """Padding as the operator asks for it, and what rounding up adds."""
        if not self.ceil or self._auto != "NOTSET":
            return padding, nodes.NO_PADDING
        rows, cols = (
            (0, after - given) for (_, after), (_, given) in zip(padding, self._given, strict=True)
        )
        return self._given, (rows, cols)

    def _along(self, k: int, length: int) -> Pair:
        if self._auto == "VALID":
            return 0, 0
        if self._auto != "NOTSET":
            less, more = same_padding(length, self.kernel[k], self.stride[k], self.dilation[k])
            return (less, more) if self._auto == "SAME_UPPER" else (more, less)
        before, after = self._given[k]
        if not self.ceil:
            return before, after
        beyond = length + before + after - (self.kernel[k] - 1) * self.dilation[k] - 1
        count = -(-beyond // self.stride[k]) + 1
        if (count - 1) * self.stride[k] >= length + before:
            if self._a.opset < 22:
                raise Refused(
                    "its size is rounded up so far that a window begins behind the input, which "
                    "exporters mean differently",
                    "use ceil_mode=0 or less padding, or export with opset 22 or newer",
                )
            count -= 1
        return before, after + max(0, (count - 1) * self.stride[k] - beyond)


def conv(a: Attributes) -> Converter:
    window, groups = Window(a), a.whole("group", 1)

    def convert(step: OpStep) -> Tensor:
        x, weights = step.source(), step.weights(1)
        spatial = _spatial(x)
        if weights.ndim != spatial + 2 or groups < 1 or weights.shape[0] % groups:
            raise step.bad(
                f"its weights of shape {weights.shape} in {groups} groups do not fit an input "
                f"of shape {x.shape}"
            )
        window.fit(spatial, weights.shape[2:])
        source, layout = step.image(x, spatial, channels_first=True)
        rows, cols, _ = step.builder.shapes[source]
        kernel = weights.transpose(*range(2, spatial + 2), 1, 0)
        kernel = kernel.reshape(*window.kernel, *kernel.shape[-2:])
        node = step.add(
            nodes.Conv2d, [source], weights=np.ascontiguousarray(kernel), groups=groups,
            bias=step.floats(2, "biases"), stride=window.stride, dilation=window.dilation,
            padding=window.padding(rows, cols),
        )  # fmt: skip
        return step.tensor(node, layout)

    return convert


def average_pool(a: Attributes) -> Converter:
    window, counted = Window(a), a.flag("count_include_pad")
    window.ceil = a.flag("ceil_mode")
    if window.size is None:
        raise a.bad("kernel_shape", "left out", "the size of a window")
    size = window.size

    def convert(step: OpStep) -> Tensor:
        x = step.source()
        spatial = _spatial(x)
        window.fit(spatial, size)
        if window.dilation != (1, 1):
            raise Refused("its windows have gaps (dilations)", "use dilations of 1")
        source, layout = step.image(x, spatial, channels_first=True)
        rows, cols, _ = step.builder.shapes[source]
        padding = window.padding(rows, cols)
        if counted and padding != nodes.NO_PADDING:
            # What rounding the size up adds behind the padding is never counted.
            given, beyond = window.split(padding)
            source = step.add(nodes.Pad2d, [source], "pad", padding=given)
            padding = beyond
        node = step.add(
            nodes.AvgPool2d, [source], size=window.kernel, stride=window.stride, padding=padding
        )
        return step.tensor(node, layout)

    return convert


def global_average_pool(a: Attributes) -> Converter:
    def convert(step: OpStep) -> Tensor:
        x = step.source()
        return step.mean(x, range(1, _spatial(x) + 1), keep=True)

    return convert


def reduce_mean(a: Attributes) -> Converter:
    given = a.ints("axes") if a.opset < 18 else None
    keep, noop = a.flag("keepdims", True), a.flag("noop_with_empty_axes")

    def convert(step: OpStep) -> Tensor:
        x = step.source()
        axes = given if a.opset < 18 else step.numbers(1, "axes")
        if not axes and noop:
            return x
        if not axes:
            raise Refused("it averages over samples, too", "name the axes of a sample")
        return step.mean(x, [x.axis(axis) for axis in axes], keep=keep)

    return convert


def pad(a: Attributes) -> Converter:
    mode = a.choice("mode", ("constant", "reflect", "edge", "wrap"))
    if mode != "constant":
        a.problem(f"its mode is {mode}, which repeats inputs", "pad with zeros")

    def convert(step: OpStep) -> Tensor:
        x, pads = step.source(), step.numbers(1, "pads")
        axes, value = step.numbers(3, "axes"), step.number(2, "value")
        if value:
            raise Refused(f"it pads with {value:g}", "pad with zeros")
        rank = len(x.shape) + 1
        axes = tuple(range(rank)) if axes is None else axes
        right = all(-rank <= n < rank for n in axes) and len({n % rank for n in axes}) == len(axes)
        if pads is None or len(pads) != 2 * len(axes) or not right:
            raise step.bad(f"its pads {pads} do not fit axes {axes} of an input of {rank} axes")
        pairs = dict(zip(axes, zip(pads[: len(axes)], pads[len(axes) :], strict=True), strict=True))
        grown = {x.axis(axis % rank): pair for axis, pair in pairs.items() if pair != (0, 0)}
        if not grown:
            return x
        layout = window_layout(x, sorted(grown))
        top, left = (grown.get(axis, (0, 0)) for axis in layout[:2])
        node = step.add(nodes.Pad2d, [step.lay(x, layout)], padding=(top, left))
        return step.tensor(node, layout)

    return convert


def _spatial(x: Tensor) -> int:
    spatial = len(x.shape) - 1
    if spatial not in (1, 2):
        raise Refused(
            f"it works on samples of {spatial + 1} axes, of shape {x.shape}",
            "use one or two axes besides the channels",
        )
    return spatial


def _pair(values: Sequence[int]) -> Pair:
    return int(values[0]), int(values[1])
