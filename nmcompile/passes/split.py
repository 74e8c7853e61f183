"""Split the network: input encoding on the host, layers on the chip, read-out on the host."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from nmcompile.errors import CompileError
from nmcompile.ir import Network
from nmcompile.ir.nodes import MOVES, Leaky, Node, Output, ReLU, Softmax, Spiking
from nmcompile.passes.network_pass import NetworkPass
from nmcompile.passes.options import ReadOutPlace


@dataclass(frozen=True)
class Split(NetworkPass):
    """Reads the graph; changes only `place`, and drops a final softmax, which moves no maximum.

    Attributes
    ----------
    host_layers : leading neuron layers on the host; the last of them is the encoder
    readout : where the last linear layer runs
    """

    name: ClassVar[str] = "split"
    purpose: ClassVar[str] = "place each layer before, on or behind the chip"

    host_layers: int
    readout: ReadOutPlace

    def run(self, value: Network) -> Network:
        network = without_ends(value)
        neurons = _neurons(network)
        needed = self.host_layers + (self.readout == "host")
        if len(neurons) < needed:
            raise CompileError(
                f"no layer is left for the chip: the network has {len(neurons)} neuron layer(s) "
                f"and the host takes {self.host_layers}; use --readout chip or fewer --host-layers"
            )
        encoder = neurons[self.host_layers - 1]
        for name in neurons[: self.host_layers]:
            if isinstance(network[name], Spiking):
                raise CompileError(
                    f"layer {name!r} holds spiking neurons, which the host does not compute; "
                    "leave out --host-layers, so that an encoder is added before it"
                )
        before = _upstream(network, encoder) | {encoder}
        self._check_separation(network, encoder, before)
        feeds_neurons = set().union(*(_upstream(network, name) for name in neurons), neurons)
        place = {}
        for node in network:
            if node.name in before:
                place[node.name] = "host_in"
            elif node.name in feeds_neurons or self.readout == "chip":
                place[node.name] = "chip"
            else:
                place[node.name] = "host_out"
        for output in network.outputs:
            place[output.name] = "host_out"
        return replace(network, place=place)

    def _check_separation(self, network: Network, encoder: str, before: set[str]) -> None:
        for node in network:
            if node.name not in before - {encoder}:
                continue
            for reader in network.consumers[node.name]:
                if reader not in before:
                    raise CompileError(
                        f"layer {reader!r} reads {node.name!r} past the encoder {encoder!r}, so "
                        f"the first {self.host_layers} neuron layer(s) cannot be cut off for the "
                        "host; use --host-layers 0 to add an encoder at the input"
                    )

    def changes(self, before: Network, after: Network) -> str:
        return split_text(after)


def split_text(network: Network) -> str:
    """Which layers run where, and the share of multiply-accumulates on the chip."""
    words = []
    for place, title in (("host_in", "before"), ("chip", "on chip"), ("host_out", "behind")):
        names = [
            name
            for node in network
            if network.place[node.name] == place
            for name in _shown(network, node)
        ]
        words.append(f"{title}: {', '.join(dict.fromkeys(names)) or 'nothing'}")
    return f"{'; '.join(words)}; {chip_share(network):.1%} of multiply-accumulates on chip"


def _shown(network: Network, node: Node) -> tuple[str, ...]:
    """Model layers to name for a node: those that compute, and an encoder that was added."""
    if isinstance(node, ReLU) and not node.origin:
        return (f"{node.name} (added)",)
    return node.origin if network.macs(node.name) else ()


def chip_share(network: Network) -> float:
    """Share of the multiply-accumulates that runs on the chip, 0..1."""
    costs = {node.name: network.macs(node.name) for node in network}
    total = sum(costs.values())
    return sum(costs[n] for n, place in network.place.items() if place == "chip") / max(total, 1)


def _neurons(network: Network) -> list[str]:
    """Neuron layers in an order in which those that the input reaches come first."""
    names = [node.name for node in network if isinstance(node, (ReLU, Spiking))]
    start = network.inputs[0].name
    return sorted(names, key=lambda name: start not in _upstream(network, name))


def _upstream(network: Network, name: str) -> set[str]:
    found: set[str] = set()
    stack = list(network[name].inputs)
    while stack:
        source = stack.pop()
        if source not in found:
            found.add(source)
            stack.extend(network[source].inputs)
    return found


def without_ends(network: Network) -> Network:
    """The network without what only the host computes behind it: softmax and leaky voltages.

    Raises
    ------
    CompileError
        Anything but the output reads one of them.
    """
    for node in network:
        if isinstance(node, (Softmax, Leaky)):
            what = "a softmax" if isinstance(node, Softmax) else "a voltage that never fires"
            behind = [
                other.name
                for other in network
                if node.name in _upstream(network, other.name)
                and not isinstance(other, (*MOVES, Softmax, Leaky, Output))
            ]
            if behind:
                raise CompileError(
                    f"layer {node.name!r}: {what} is possible only at the end, where the host "
                    f"computes it, but {behind[0]!r} reads it; use ReLU"
                )
            return without_ends(network.rewire(node.name, node.inputs[0], {node.name: ()}))
    return network
