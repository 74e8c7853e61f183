"""The fields of the NIR node that each node of a Network is; neurons follow the dialect ``nir``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nmcompile.errors import Obstacle
from nmcompile.frontends.layout import Refused
from nmcompile.frontends.nir.dialects import DIALECTS
from nmcompile.frontends.step import same_padding
from nmcompile.ir import Network, nodes
from nmcompile.ir.nodes import Node, Shape

#: The dialect of neurons whose voltage stays zero for a step after a spike.
LATE = "snntorch-reset-delay"
#: Name -> text, number or array, as `nir.write` writes them.
Fields = dict[str, Any]
_RELU = (
    "NIR has no rectified linear unit",
    "train with spiking neurons (nmcompile.training), or export the model to ONNX",
)
_LAST = ("NIR has no softmax", "leave it out; the largest output stays the largest")
#: Nodes that NIR lacks: why, and what to do.
LACKING: dict[type[Node], tuple[str, str]] = {
    nodes.ReLU: _RELU,
    nodes.Softmax: _LAST,
    nodes.Concat: ("NIR does not put tensors side by side", "add them instead"),
    nodes.Integrator: ("a voltage that is read is a choice of the build", "convert the model"),
}


class Source(Protocol):
    """What a node reads; see `export.Value`."""

    @property
    def nir_shape(self) -> Shape:
        """Shape in the NIR graph."""

    @property
    def order(self) -> NDArray[np.intp] | None:
        """The network's index of each number, for a flat value."""

    @property
    def dialect(self) -> str:
        """Whose rules the file's neurons follow."""

    @property
    def padding(self) -> tuple[int, int]:
        """Zeros around that the node adds."""

    def arranged(self, array: NDArray[Any]) -> NDArray[Any]:
        """An array that broadcasts to the network's shape, as NIR has it."""


def _dense(node: Node, x: Source, dt_s: float) -> Fields:
    assert isinstance(node, nodes.Dense)
    weights = node.weights if x.order is None else node.weights[x.order]
    fields: Fields = {"type": "Linear", "weight": np.ascontiguousarray(weights.T)}
    return fields if node.bias is None else {**fields, "type": "Affine", "bias": node.bias}


def _conv(node: Node, x: Source, dt_s: float) -> Fields:
    assert isinstance(node, nodes.Conv2d)
    one = len(x.nir_shape) == 2
    if one and node.weights.shape[0] != 1:
        raise Refused("it works on rows that its input lacks", "use a kernel of one row")
    kernel = node.weights.transpose(3, 2, 0, 1)
    (top, bottom), (left, right) = node.padding
    padding: Any = np.array([top, left])
    if (top, left) != (bottom, right) or min(top, left) < 0:
        rows, cols = (1, x.nir_shape[1]) if one else x.nir_shape[1:]
        same = tuple(
            same_padding(n, node.weights.shape[k], 1, node.dilation[k])
            for k, n in enumerate((rows, cols))
        )
        if node.stride != (1, 1) or node.padding != same:
            raise Refused(
                f"its padding {node.padding} is not the same on both sides, as NIR has it",
                "pad each side by the same number",
            )
        padding = "same"
    bias = np.zeros(kernel.shape[0], np.float32) if node.bias is None else node.bias
    if one:
        return {
            "type": "Conv1d", "input_shape": x.nir_shape[1], "bias": bias, "groups": node.groups,
            "weight": np.ascontiguousarray(kernel[:, :, 0]), "stride": node.stride[1],
            "padding": padding if isinstance(padding, str) else left, "dilation": node.dilation[1],
        }  # fmt: skip
    return {
        "type": "Conv2d", "input_shape": np.array(x.nir_shape[1:]), "bias": bias,
        "weight": np.ascontiguousarray(kernel), "stride": np.array(node.stride),
        "padding": padding, "dilation": np.array(node.dilation), "groups": node.groups,
    }  # fmt: skip


def _pool(node: Node, x: Source, dt_s: float) -> Fields:
    assert isinstance(node, nodes.Pool2d)
    if len(x.nir_shape) != 3:
        raise Refused("NIR pools over rows and columns only", "give its input both")
    if node.padding != nodes.NO_PADDING:
        raise Refused("it leaves its padding out of the mean", "pool without padding")
    return {
        "type": type(node).__name__, "kernel_size": np.array(node.size),
        "stride": np.array(node.stride), "padding": np.array(x.padding),
    }  # fmt: skip


def _affine(node: Node, x: Source, dt_s: float) -> Fields:
    assert isinstance(node, nodes.Affine)
    if node.shift.any():
        raise Refused(
            "it adds numbers, which in NIR only weights do",
            "put batch norm and offsets into the layer before",
        )
    return {"type": "Scale", "scale": x.arranged(node.scale)}


def _delay(node: Node, x: Source, dt_s: float) -> Fields:
    assert isinstance(node, nodes.Delay)
    return {"type": "Delay", "delay": x.arranged(node.steps).astype(np.float64) * dt_s}


def dialect_of(network: Network) -> tuple[str, list[Obstacle]]:
    """The dialect of all neurons, with a late reset or ``nir``; and those that no dialect has."""
    looped = {node.source for node in network if isinstance(node, nodes.Back)}
    neurons = [node for node in network if isinstance(node, nodes.Spiking)]
    if not any(node.pause for node in neurons):
        return "nir", []
    late = DIALECTS[LATE].pause
    obstacles = []
    for node in neurons:
        wanted = late if node.synapse_s or node.name in looped else 0
        if node.pause != wanted or node.tau_rc_s is None:
            why = (
                f"NIR has no refractory period, and {LATE} one of {late} step(s) for neurons with "
                f"a current or a loop, and for no others; this one has {node.pause}"
            )
            obstacles.append(Obstacle(node.name, "Spiking", why, "train without one"))
    return LATE, obstacles


def _spiking(node: Node, x: Source, dt_s: float) -> Fields:
    assert isinstance(node, nodes.Spiking)
    if not node.own:
        raise Refused("its neurons take a ReLU's place and are not the model's", _RELU[1])
    if node.registers is not None:
        raise Refused(
            "its neurons are quantised already, and NIR's hold no registers",
            "convert the network before it is quantised, or keep the file as it is",
        )
    if node.amplitude != 1:
        raise Refused(
            f"a spike stands for {node.amplitude:g}, but in NIR for 1",
            "train with amplitude=dt, which makes a spike 1",
        )
    leak, tau, tau_syn = node.leak, node.tau_rc_s, node.synapse_s
    if x.dialect == LATE and tau is not None:
        # A step of snnTorch forgets dt / tau.
        tau = dt_s / leak
        tau_syn = dt_s / -np.expm1(-dt_s / tau_syn) if tau_syn else 0.0

    def full(value: float) -> NDArray[np.float64]:
        return np.full(x.nir_shape, value)

    limit = {"v_threshold": full(node.threshold), "v_reset": full(0.0)}
    if node.synapse_s:
        if tau is None:
            raise Refused("NIR has no neurons with a current and without leak", "give them a leak")
        return {
            "type": "CubaLIF", "tau_syn": full(tau_syn), "tau_mem": full(tau),
            "r": full(1 / leak), "v_leak": full(0.0), "w_in": full(1.0), **limit,
        }  # fmt: skip
    if tau is None:
        return {"type": "IF", "r": full(1 / dt_s), **limit}
    if leak == 1 and x.dialect != LATE:
        return {"type": "Threshold", "threshold": full(node.threshold)}
    return {"type": "LIF", "tau": full(tau), "r": full(1 / leak), "v_leak": full(0.0), **limit}


def _leaky(node: Node, x: Source, dt_s: float) -> Fields:
    assert isinstance(node, nodes.Leaky)

    def full(value: float) -> NDArray[np.float64]:
        return np.full(x.nir_shape, value)

    fields: Fields = {"type": "LI", "tau": full(node.tau_s), "r": full(1.0), "v_leak": full(0.0)}
    if not node.synapse_s:
        return fields
    del fields["tau"]
    taus = {"tau_mem": full(node.tau_s), "tau_syn": full(node.synapse_s), "w_in": full(1.0)}
    return {**fields, "type": "CubaLI", **taus}


EXPORTERS: dict[type[Node], Callable[[Any, Any, float], Fields]] = {
    nodes.Affine: _affine,
    nodes.AvgPool2d: _pool,
    nodes.Conv2d: _conv,
    nodes.Delay: _delay,
    nodes.Dense: _dense,
    nodes.Leaky: _leaky,
    nodes.Spiking: _spiking,
    nodes.SumPool2d: _pool,
}
