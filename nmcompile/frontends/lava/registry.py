"""Which function converts which layer of a `.net` file, and why others are refused."""

from __future__ import annotations

from nmcompile.frontends.lava import layers
from nmcompile.frontends.lava.step import Converter

CONVERTERS: dict[str, Converter] = {
    "conv": layers.conv,
    "dense": layers.dense,
    "dense_rec": layers.recurrent,
    "flatten": layers.flatten,
    "input": layers.source,
}
_NOT_IN_NETX = "Lava's NetX does not take it"
#: Kind -> (why, what to do instead).
REFUSED: dict[str, tuple[str, str]] = {
    "average": (_NOT_IN_NETX, "leave it out, and take the mean of the spike counts yourself"),
    "concat": (_NOT_IN_NETX, "train a network without branches"),
    "convT": (_NOT_IN_NETX, "use a convolution"),
    "dense_comp": ("its weights and state are complex", "train with block.cuba.Dense"),
    "pool": (_NOT_IN_NETX, "use a convolution with a stride"),
    "unpool": (_NOT_IN_NETX, "use a dense layer or a convolution"),
}
UNKNOWN = ("it is no layer of lava-dl that is understood", "use dense, conv and flatten layers")
