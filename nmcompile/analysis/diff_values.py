"""Compares what the neurons and outputs of two networks compute for the same inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from nmcompile.analysis.canonical import Layer
from nmcompile.analysis.diff_inputs import Inputs
from nmcompile.analysis.diff_result import LayerDiff, difference
from nmcompile.analysis.matching import Pair
from nmcompile.ir import Network, evaluate, nodes
from nmcompile.ir.nodes import FloatArray
from nmcompile.ir.over_time import values_over_time

#: Share of a spiking layer's rates that may differ: rounding moves single spikes.
SPIKES_MOVED = 0.01


def with_values(
    networks: tuple[Network, Network],
    layers: tuple[Mapping[str, Layer], Mapping[str, Layer]],
    pairs: Sequence[Pair],
    found: Sequence[LayerDiff],
    inputs: Inputs,
    tolerance: float,
) -> list[LayerDiff]:
    """The layers with what neurons and outputs compute for the same inputs."""
    wanted = {
        k: (a, b) for k, (a, b) in enumerate(pairs)
        if a is not None and b is not None and layers[0][a].kind in ("neurons", "Output")
    }  # fmt: skip
    values_a = _values(networks[0], inputs.a, [a for a, _ in wanted.values()])
    values_b = _values(networks[1], inputs.b, [b for _, b in wanted.values()])
    spiking = any(isinstance(node, nodes.Spiking) for network in networks for node in network)
    result = list(found)
    for k, (a, b) in wanted.items():
        one = values_a[a].reshape(len(inputs.a), -1)[:, layers[0][a].order]
        two = values_b[b].reshape(len(inputs.b), -1)[:, layers[1][b].order]
        if one.shape == two.shape:
            result[k] = _judged(found[k], one, two, tolerance, SPIKES_MOVED if spiking else 0.0)
    return result


def _judged(
    layer: LayerDiff, a: FloatArray, b: FloatArray, tolerance: float, moved: float
) -> LayerDiff:
    """A layer with its values, of which a share may differ by more than the tolerance."""
    found = difference("values", a, b, ("sample", "value"))
    limit = tolerance * max(np.abs(a).max(), np.abs(b).max())
    faults = layer.faults
    if (np.abs(a - b) > limit).mean() > moved:
        faults = (*faults, f"values differ {found.sentence}")
    return replace(layer, values=found, faults=faults)


def _values(network: Network, x: FloatArray, names: Sequence[str]) -> dict[str, FloatArray]:
    """What layers compute for samples, in the mean over frames where there are any."""
    if x.ndim <= 1 + len(network.sample_shape):
        return evaluate(network, x, keep=names)
    total: dict[str, FloatArray] = {name: np.zeros((), np.float32) for name in names}
    for step in values_over_time(network, x):
        total = {name: value + step[name] for name, value in total.items()}
    return {name: np.asarray(value / np.float32(x.shape[1])) for name, value in total.items()}
