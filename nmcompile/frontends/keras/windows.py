"""Keras layers with windows over rows and columns: convolutions, pooling, padding, cropping.

One-dimensional layers are images of one row.
"""

from __future__ import annotations

from typing import Any

from nmcompile.frontends.keras.builder import Converter, LayerStep, Parser
from nmcompile.frontends.keras.options import Options
from nmcompile.frontends.layout import Refused, Tensor
from nmcompile.frontends.step import same_padding
from nmcompile.ir import nodes
from nmcompile.ir.nodes import Padding2d, Pair


class Window:
    """Size, stride, dilation and padding of a window, read from a layer's options."""

    def __init__(self, o: Options, spatial: int, size_key: str, *, pool: bool) -> None:
        self.spatial = spatial
        self.channels_first = o.channels_first()
        self.size = self._two(o.counts(size_key, spatial, 2 if pool else 1), 1)
        default = self.size[-spatial:] if pool else 1
        self.stride = self._two(o.counts("strides", spatial, default), 1)
        self.dilation: Pair = (1, 1)
        if not pool:
            self.dilation = self._two(o.counts("dilation_rate", spatial, 1), 1)
        allowed = ("valid", "same") if pool or spatial == 2 else ("valid", "same", "causal")
        self._padding = o.choice("padding", allowed)

    def _two(self, values: tuple[int, ...], missing: int) -> Pair:
        return (missing, values[0]) if self.spatial == 1 else (values[0], values[1])

    def padding(self, rows: int, cols: int) -> Padding2d:
        """Zeros around an input of some size."""
        if self._padding == "valid":
            return nodes.NO_PADDING
        if self._padding == "causal":
            return (0, 0), ((self.size[1] - 1) * self.dilation[1], 0)
        height, width = (
            same_padding(length, self.size[k], self.stride[k], self.dilation[k])
            for k, length in enumerate((rows, cols))
        )
        return height, width


def conv(spatial: int) -> Parser:
    def parse(o: Options) -> Converter:
        window = Window(o, spatial, "kernel_size", pool=False)
        filters, groups = o.count("filters"), o.count("groups", 1)
        use_bias, activation = o.flag("use_bias", True), o.activation()

        def convert(step: LayerStep) -> Tensor:
            source, layout = step.image(step.x, spatial, window.channels_first)
            rows, cols, channels = step.builder.shapes[source]
            if channels % groups or filters % groups:
                raise Refused(
                    f"its {groups} groups do not divide {channels} and {filters} channels",
                    "choose groups that divide both",
                )
            size = window.size[-spatial:]
            weights = step.weight("kernel", (*size, channels // groups, filters))
            node = step.add(
                nodes.Conv2d, [source], step.linear_suffix(activation),
                weights=weights.reshape(*window.size, channels // groups, filters),
                bias=step.weight("bias", (filters,)) if use_bias else None,
                stride=window.stride, dilation=window.dilation, groups=groups,
                padding=window.padding(rows, cols),
            )  # fmt: skip
            return step.activate(step.tensor(node, layout), activation)

        return convert

    return parse


def depthwise(spatial: int, *, separable: bool) -> Parser:
    def parse(o: Options) -> Converter:
        window = Window(o, spatial, "kernel_size", pool=False)
        multiplier = o.count("depth_multiplier", 1)
        filters = o.count("filters") if separable else 0
        use_bias, activation = o.flag("use_bias", True), o.activation()
        if o.get("groups", 1) != 1:
            o.problem("it has groups", "use Conv2D with groups")
        if not separable:
            o.get("filters")

        def convert(step: LayerStep) -> Tensor:
            source, layout = step.image(step.x, spatial, window.channels_first)
            rows, cols, channels = step.builder.shapes[source]
            size, deep = window.size[-spatial:], channels * multiplier
            weights = step.weight("depthwise_kernel", (*size, channels, multiplier))
            suffix = step.linear_suffix(activation)
            fields: dict[str, Any] = {
                "weights": weights.reshape(*window.size, 1, deep),
                "stride": window.stride, "dilation": window.dilation, "groups": channels,
                "padding": window.padding(rows, cols),
            }  # fmt: skip
            if separable:
                point = step.weight("pointwise_kernel", (*(1,) * spatial, deep, filters))
                source = step.add(nodes.Conv2d, [source], "depthwise", **fields)
                fields = {"weights": point.reshape(1, 1, deep, filters)}
            bias = step.weight("bias", (filters or deep,)) if use_bias else None
            node = step.add(nodes.Conv2d, [source], suffix, bias=bias, **fields)
            return step.activate(step.tensor(node, layout), activation)

        return convert

    return parse


def average_pool(spatial: int) -> Parser:
    def parse(o: Options) -> Converter:
        window = Window(o, spatial, "pool_size", pool=True)

        def convert(step: LayerStep) -> Tensor:
            source, layout = step.image(step.x, spatial, window.channels_first)
            rows, cols, _ = step.builder.shapes[source]
            node = step.add(
                nodes.AvgPool2d, [source], size=window.size, stride=window.stride,
                padding=window.padding(rows, cols),
            )  # fmt: skip
            return step.tensor(node, layout)

        return convert

    return parse


def global_average_pool(spatial: int) -> Parser:
    def parse(o: Options) -> Converter:
        channels_first, keep = o.channels_first(), o.flag("keepdims", False)

        def convert(step: LayerStep) -> Tensor:
            _, layout = step.image(step.x, spatial, channels_first)
            return step.mean(step.x, layout[-1 - spatial : -1], keep=keep)

        return convert

    return parse


def border(spatial: int, key: str, sign: int) -> Parser:
    """Zero padding (sign 1) and cropping (sign -1)."""

    def parse(o: Options) -> Converter:
        channels_first = o.channels_first()
        given = o.get(key, 1)
        pairs = [_pair(o, key, given)] if spatial == 1 else _pairs(o, key, given)
        (top, bottom), (left, right) = [(0, 0), *pairs][-2:]

        def convert(step: LayerStep) -> Tensor:
            source, layout = step.image(step.x, spatial, channels_first)
            padding = ((sign * top, sign * bottom), (sign * left, sign * right))
            return step.tensor(step.add(nodes.Pad2d, [source], padding=padding), layout)

        return convert

    return parse


def _pairs(o: Options, key: str, value: object) -> list[Pair]:
    values = value if isinstance(value, list | tuple) else (value, value)
    if len(values) != 2:
        raise o.bad(key, value, "two numbers or pairs")
    return [_pair(o, key, each) for each in values]


def _pair(o: Options, key: str, value: object) -> Pair:
    values = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(values) != 2 or any(isinstance(n, bool) or not isinstance(n, int) for n in values):
        raise o.bad(key, value, "whole numbers")
    if min(values) < 0:
        raise o.bad(key, value, "numbers of at least 0")
    return values
