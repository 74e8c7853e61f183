"""Models whose first axis is time: what they do in one step is the network that the chip runs.

The input of such a model is (steps, …), and its spiking activations run along that axis. Every
other layer does the same in each step, so the axis is left out, and frames bring it back when
samples are run. A mean over the steps at the end is what the read-out does anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nmcompile.frontends.keras.builder import Converter, LayerStep, Parser
from nmcompile.frontends.keras.graph import Graph
from nmcompile.frontends.keras.layers import dense, dropped, input_layer
from nmcompile.frontends.keras.options import Options
from nmcompile.frontends.keras.spiking import neuron, noise, rounded
from nmcompile.frontends.layout import Refused, Tensor

#: Neurons that a spiking activation can hold, and whether they leak.
_NEURONS = {"ChipIF": False, "ChipLIF": True, "SoftLIF": True}


def runs_over_time(graph: Graph) -> bool:
    """Whether a model has spiking activations along a time axis."""
    return any(call.layer.kind == "SpikingActivation" for call in graph.calls.values())


def one_step(o: Options) -> Converter:
    """The input without its time axis."""
    shape = o.layer.config.get("batch_shape") or o.layer.config.get("batch_input_shape")
    if not isinstance(shape, list | tuple) or len(shape) < 3:
        raise o.bad("batch_shape", shape, "(samples, steps, …), for the model has a time axis")
    config = {**o.layer.config, "batch_shape": [shape[0], *shape[2:]]}
    return input_layer(Options(replace(o.layer, config=config), o.where, final=o.final))


def spiking_activation(o: Options) -> Converter:
    """The neuron that it holds."""
    held = o.get("neuron")
    o.get("spiking_aware_training")
    kind = held.get("class_name") if isinstance(held, Mapping) else None
    config = held.get("config") if isinstance(held, Mapping) else None
    if kind not in _NEURONS or not isinstance(config, Mapping):
        raise o.bad("neuron", held, "a ChipIF, ChipLIF or SoftLIF")
    inner = Options(replace(o.layer, kind=kind, config=config), o.where, final=o.final)
    found = neuron(leaky=_NEURONS[kind])(inner)
    o.obstacles.extend(inner.obstacles)
    return found


def mean_over_time(o: Options) -> Converter:
    """Nothing: the read-out is a mean over the steps."""
    for key in ("data_format", "keepdims"):
        o.get(key)
    if o.get("keepdims"):
        o.problem("it keeps the time axis", "use keepdims=False")

    def convert(step: LayerStep) -> Tensor:
        if len(step.x.shape) != 1:
            raise Refused("it averages over more than time", "flatten each step before it")
        return step.x

    return convert


#: Layers that do the same in every step.
OVER_TIME: dict[str, Parser] = {
    "InputLayer": one_step,
    "Dense": dense,
    "ChipDense": rounded(dense),
    "SpikingActivation": spiking_activation,
    "GlobalAveragePooling1D": mean_over_time,
    "Dropout": dropped,
    "GaussianNoise": dropped,
    "GaussianDropout": dropped,
    "SpikeNoise": noise,
}
#: What is said of any other layer.
REFUSAL = (
    "the model has a time axis, and this layer may look across steps",
    "use Dense layers, SpikingActivation, any layer within TimeDistributed, and a "
    "GlobalAveragePooling1D at the end",
)
#: What is said of TimeDistributed in a model without spiking activations.
NO_TIME = (
    "the model has no SpikingActivation, so nothing in it runs over time",
    "leave TimeDistributed out, and give samples as frames",
)
