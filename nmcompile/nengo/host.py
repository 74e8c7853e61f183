"""The host's side of a nengo-loihi Model: which of its parts a Program can hold, and the encoder.

A Program's host encodes one sample of constant input and reads spikes out; all else that Nengo
runs on the host needs Python there and is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import nengo
import numpy as np
from nengo.processes import PresentInput
from nengo_loihi.builder.inputs import ChipReceiveNeurons
from numpy.typing import NDArray

from nmcompile.chip.program import INPUT_LIMIT, Encoder, HostConv
from nmcompile.errors import Obstacle
from nmcompile.nengo.model import ENCODERS, plain_label

#: What an encoder neuron's voltage counts to, fine enough for weights on 16-bit inputs.
THRESHOLD = 1 << 30
_SIMULATOR = "run it with nmcompile.nengo.Simulator, which has Python on the host"


@dataclass(frozen=True, eq=False)
class Input:
    """A node that gives the sample.

    Attributes
    ----------
    node : its output is an array, or a PresentInput process
    first : number of its first value in the sample
    """

    node: Any
    first: int

    @property
    def size(self) -> int:
        """Values that it gives."""
        return int(self.node.size_out)

    @property
    def largest(self) -> float:
        """Largest size of a value that it is known to give."""
        output = self.node.output
        values = output.inputs if isinstance(output, PresentInput) else output
        return float(np.abs(np.asarray(values, float)).max(initial=0))


def obstacles(network: Any, model: Any) -> list[Obstacle]:
    """Every part of a network that a Program cannot hold."""
    found = [*_host_objects(network, model), *_connections(network, model), *_probes(model)]
    if not found and not inputs(network):
        found.append(
            Obstacle(
                str(model.label or "network"),
                "Network",
                "has no node that gives input, so there are no samples",
                _SIMULATOR,
            )
        )
    return found


def inputs(network: Any) -> list[Input]:
    """The nodes that give the sample, in the network's order."""
    found: list[Input] = []
    first = 0
    for node in network.all_nodes:
        if _is_input(node) and _used(node, network):
            found.append(Input(node, first))
            first += node.size_out
    return found


def encoder(
    model: Any, given: list[Input], first_neuron: dict[Any, int], input_range: float | None
) -> Encoder:
    """Encoder neurons for all spike inputs: the on and off neurons of nengo-loihi's host.

    Their rates are nengo-loihi's. Their spikes are not the same to the step: ours start at half
    the threshold and count in integers.

    Parameters
    ----------
    input_range : largest size of an input value; 1 or the largest known where None
    """
    size = sum(each.size for each in given)
    neurons = sum(each.n_neurons for each in first_neuron)
    limit = input_range or max([1.0, *(each.largest for each in given)])
    weights = np.zeros((size, neurons))
    bias = np.zeros(neurons)
    for connection, receiver in _encoded(model):
        source = next(each for each in given if each.node is connection.pre_obj)
        matrix, constant = _rates(model, connection)
        start = first_neuron[model.spike_targets[receiver]]
        end = start + len(constant)
        weights[source.first : source.first + source.size, start:end] = matrix.T
        bias[start:end] = constant
    scale = INPUT_LIMIT / limit
    # Weights of a wide range need a smaller threshold to fit their 32 bits.
    steepest = float(np.abs(weights).max(initial=0)) / scale
    threshold = int(THRESHOLD / max(1.0, steepest))
    return Encoder(
        name=ENCODERS[0],
        input_shape=(size,),
        shape=(neurons,),
        input_scale=scale,
        layers=(
            HostConv(
                view=np.arange(size, dtype=np.int32).reshape(1, 1, size),
                weights=np.rint(weights * threshold / scale).astype(np.int32)[None, None],
                bias=np.rint(bias * threshold).astype(np.int64),
                stride=(1, 1),
                padding=((0, 0), (0, 0)),
                dilation=(1, 1),
                groups=1,
                ceiling=threshold,
            ),
        ),
        threshold=threshold,
        mode="on-off",
    )


def _encoded(model: Any) -> Iterator[tuple[Any, Any]]:
    """(connection, receiver on the chip) for each connection that the host encodes into spikes.

    nengo-loihi makes both in the same order, one pair a connection.
    """
    connections = [
        connection
        for connection, made in model.connection_decode_neurons.items()
        if isinstance(made, nengo.Ensemble)
    ]
    receivers = [
        receiver
        for receiver in model.host2chip_senders.values()
        if not isinstance(receiver, ChipReceiveNeurons)
    ]
    yield from zip(connections, receivers, strict=True)


def _rates(model: Any, connection: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(neurons, values) and (neurons,): spikes per step of the host's neurons, for an input."""
    ensemble = model.connection_decode_neurons[connection]
    host = model.host_pre if ensemble in model.host_pre.params else model.host
    built = host.params[ensemble]
    into = next(
        made
        for made in host.params
        if isinstance(made, nengo.Connection) and made.post_obj is ensemble
    )
    weights = host.params[into].weights
    taken = np.eye(connection.pre_obj.size_out)[connection.pre_slice]
    transform = taken if weights is None else _matrix(weights, len(taken)) @ taken
    return built.scaled_encoders @ transform * model.dt, np.asarray(built.bias) * model.dt


def _matrix(weights: Any, size: int) -> NDArray[np.float64]:
    """Weights as a matrix; nengo also writes one number, or one a dimension."""
    full = np.asarray(weights, float)
    return full if full.ndim == 2 else full * np.eye(size)


def _host_objects(network: Any, model: Any) -> Iterator[Obstacle]:
    for obj in (*network.all_ensembles, *network.all_nodes):
        if model.split.on_chip(obj) or not _used(obj, network):
            continue
        name, kind = _name(obj), type(obj).__name__
        if isinstance(obj, nengo.Ensemble):
            yield Obstacle(name, kind, "runs on the host", _SIMULATOR)
        elif obj in model.split.passthrough.to_remove:
            continue
        elif obj.output is None:
            fed = [c.pre_obj for c in network.all_connections if c.post_obj is obj]
            from_chip = any(model.split.on_chip(getattr(each, "ensemble", each)) for each in fed)
            if from_chip:
                why, remedy = "takes values on the host", "probe what is on the chip, or "
            else:
                why = "passes inputs on, on the host"
                remedy = "connect the input to the ensembles behind it instead, or "
            yield Obstacle(name, kind, why, remedy + _SIMULATOR)
        elif not _is_input(obj):
            how = "a function" if callable(obj.output) else type(obj.output).__name__
            yield Obstacle(
                name,
                kind,
                f"computes its output by {how}",
                "give it an array or PresentInput as output, for the sample to stand for, or "
                + _SIMULATOR,
            )


def _connections(network: Any, model: Any) -> Iterator[Obstacle]:
    for connection in network.all_connections:
        name = f"{_name(connection.pre_obj)} -> {_name(connection.post_obj)}"
        rule = connection.learning_rule_type
        if rule is not None:
            yield Obstacle(
                name, type(rule).__name__, "learns from an error on the host", _SIMULATOR
            )
        if isinstance(connection.pre_obj, nengo.Node) and connection.function is not None:
            yield Obstacle(name, "Connection", "computes a function on the host", _SIMULATOR)
    for node in network.all_nodes:
        if model.split.on_chip(node):
            yield Obstacle(
                _name(node), type(node.output).__name__, "sends events from a file", _SIMULATOR
            )


def _probes(model: Any) -> Iterator[Obstacle]:
    chip_probes = [probe for probe in model.nengo_probes if probe not in model.chip2host_params]
    if not chip_probes:
        yield Obstacle(
            str(model.label or "network"),
            "Network",
            "has no probe on the chip, so nothing is read out",
            "add a nengo.Probe of an ensemble or of its neurons",
        )
    for probe in chip_probes:
        if probe.attr not in ("decoded_output", "output", "spikes"):
            yield Obstacle(
                _name(probe.obj),
                "Probe",
                f"reads {probe.attr!r} in every step",
                "probe its output, and see the state with nmcompile run --probe LAYER:v",
            )


def _is_input(node: Any) -> bool:
    return node.size_in == 0 and isinstance(node.output, (np.ndarray, PresentInput))


def _used(obj: Any, network: Any) -> bool:
    """Whether any connection or probe has to do with an object."""
    for connection in network.all_connections:
        ends = (connection.pre_obj, connection.post_obj)
        if any(obj in (end, getattr(end, "ensemble", None)) for end in ends):
            return True
    return any(
        obj in (probe.obj, getattr(probe.obj, "ensemble", None)) for probe in network.all_probes
    )


def _name(obj: Any) -> str:
    obj = getattr(obj, "ensemble", obj)
    return str(obj.label) if getattr(obj, "label", None) else plain_label(str(obj))
