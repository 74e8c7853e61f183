"""Replace ReLUs by spiking neurons with the chosen time constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from nmcompile.errors import CompileError, UsageError
from nmcompile.ir import Network
from nmcompile.ir.nodes import Integrator, Node, Output, ReLU, Spiking
from nmcompile.passes.network_pass import NetworkPass
from nmcompile.passes.options import BuildOptions, NeuronOptions


@dataclass(frozen=True)
class Spike(NetworkPass):
    """Reads ReLU nodes and the options; changes ReLUs on the chip, and the encoder's, to Spiking.

    A layer's own options may be given by the name of any model layer between the neurons
    before it and its own, such as the convolution or its batch norm.
    """

    name: ClassVar[str] = "spike"
    purpose: ClassVar[str] = "replace ReLUs by spiking neurons"

    options: BuildOptions

    def run(self, value: Network) -> Network:
        changes = {}
        used: set[str] = set()
        known: set[str] = set()
        for node in value:
            on_chip = value.place[node.name] == "chip"
            if isinstance(node, ReLU) and (on_chip or _is_encoder(value, node)):
                names = layer_names(value, node.name)
                neuron = None
                if on_chip:
                    used |= names & set(self.options.layers)
                    known |= names
                    neuron = self._options_of(node.name, names)
                spiking = Spiking(
                    name=node.name,
                    inputs=node.inputs,
                    origin=node.origin,
                    max_value=node.max_value,
                    dt_s=value.dt_s,
                    tau_rc_s=neuron.tau_rc if neuron else None,
                    refractory_s=neuron.refractory if neuron else 0.0,
                    synapse_s=neuron.synapse if neuron else 0.0,
                )
                changes[node.name] = (spiking,)
        unknown = sorted(set(self.options.layers) - used)
        if unknown:
            raise UsageError(
                f"--layer {unknown[0]}: no layer of that name has neurons on the chip; "
                f"there are {', '.join(sorted(known))}"
            )
        network = value.edit(changes)
        output = network.outputs[0]
        source = network[output.inputs[0]]
        if network.place[source.name] == "chip" and not isinstance(source, Spiking):
            return _with_integrator(network, output)
        return network

    def _options_of(self, name: str, names: set[str]) -> NeuronOptions:
        chosen: dict[str, tuple[str, float]] = {}
        for layer, settings in self.options.layers.items():
            if layer not in names:
                continue
            for option, number in settings.items():
                if option in chosen and chosen[option][1] != number:
                    other, before = chosen[option]
                    raise CompileError(
                        f"layers {other!r} and {layer!r} both feed the neurons of {name!r} but "
                        f"ask for {option} {before:g} and {number:g}: a compartment has one "
                        f"{option}, so give both the same or put neurons between them"
                    )
                chosen[option] = (layer, number)
        return self.options.neuron_for({option: number for option, (_, number) in chosen.items()})

    def changes(self, before: Network, after: Network) -> str:
        made = [node.name for node in after if isinstance(node, (Spiking, Integrator))]
        return "spiking: " + ", ".join(made)


def _with_integrator(network: Network, output: Output) -> Network:
    """Read the last linear layer on the chip, as the voltage of neurons that never fire."""
    source = output.inputs[0]
    neuron = Integrator(name=f"{source}/voltage", inputs=(source,), origin=network[source].origin)
    changed = network.edit({output.name: (neuron, replace(output, inputs=(neuron.name,)))})
    return replace(changed, place={**changed.place, neuron.name: "chip"})


def layer_names(network: Network, name: str) -> set[str]:
    """Model layers between a neuron layer and the neurons before it, its own included."""
    found = {name, *network[name].origin}
    stack = list(network[name].inputs)
    while stack:
        node = network[stack.pop()]
        if not isinstance(node, (ReLU, Spiking)):
            found.update(node.origin)
            stack.extend(node.inputs)
    return found


def layer_options(options: Mapping[str, Mapping[str, float]], names: set[str]) -> dict[str, float]:
    """The options given for any of the names, merged."""
    merged: dict[str, float] = {}
    for layer in names & set(options):
        merged.update(options[layer])
    return merged


def _is_encoder(network: Network, node: Node) -> bool:
    """A neuron layer on the host that feeds the chip."""
    stack = list(network.consumers[node.name])
    while stack:
        reader = stack.pop()
        if network.place[reader] != "host_in":
            return True
        if not isinstance(network[reader], ReLU):
            stack.extend(network.consumers[reader])
    return False
