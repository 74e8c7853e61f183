"""Turns a parsed Keras model into a Network, or lists every obstacle at once."""

from __future__ import annotations

from nmcompile.errors import ModelError, Obstacle, UnsupportedError
from nmcompile.frontends.keras.builder import Converter, LayerStep
from nmcompile.frontends.keras.graph import Call, Graph, build_graph
from nmcompile.frontends.keras.model import Layer, Model
from nmcompile.frontends.keras.options import Options
from nmcompile.frontends.keras.over_time import NO_TIME, OVER_TIME, REFUSAL, runs_over_time
from nmcompile.frontends.keras.refusals import refusal
from nmcompile.frontends.keras.registry import DROPPED, LAYERS, OPERATIONS
from nmcompile.frontends.keras.weights import WeightStore
from nmcompile.frontends.layout import NodeBuilder, Refused, Tensor, plain
from nmcompile.ir import Network, nodes

#: Layers through which a softmax may still be the last one that computes.
_TRANSPARENT = frozenset({*DROPPED, "Flatten", "Reshape"})


def convert(model: Model, store: WeightStore, where: str) -> Network:
    """The Network that computes what the model computes.

    Raises
    ------
    UnsupportedError
        With every layer that cannot be compiled.
    ModelError, VerifyError
        Weights or options that do not fit each other.
    """
    graph = build_graph(model, where)
    obstacles = list(graph.obstacles)
    converters = _converters(graph, where, obstacles)
    builder = NodeBuilder()
    done: dict[str, Tensor | None] = {}
    for name, call in graph.calls.items():
        converter = converters.get(id(call.layer))
        sources = [done[each] for each in call.inputs]
        inputs = tuple(tensor for tensor in sources if tensor is not None)
        done[name] = None
        if converter is None or len(inputs) != len(sources):
            continue
        try:
            step = LayerStep(call.name, call.layer.name, inputs, builder, call, store)
            done[name] = converter(step)
        except Refused as error:
            obstacles.append(Obstacle(call.layer.name, call.layer.kind, error.why, error.remedy))
    if obstacles:
        raise UnsupportedError(where, _unique(obstacles))
    for k, name in enumerate(graph.outputs):
        tensor = done[name]
        if tensor is None:
            raise ModelError(f"{where}: output {name!r} could not be converted")
        label = "output" if len(graph.outputs) == 1 else f"output_{k}"
        node = builder.lay(tensor, plain(len(tensor.shape)), graph.calls[name].layer.name)
        builder.add(nodes.Output, label, [node], graph.calls[name].layer.name)
    return Network.build(builder.nodes.values(), name=model.name)


def _converters(graph: Graph, where: str, obstacles: list[Obstacle]) -> dict[int, Converter]:
    """Read every layer's options once; note what cannot be compiled."""
    final = _final_calls(graph)
    last: dict[int, bool] = {}
    used: dict[int, Layer] = {}
    timed = runs_over_time(graph)
    for name, call in graph.calls.items():
        key = id(call.layer)
        used[key] = call.layer
        last[key] = last.get(key, True) and name in final
    found: dict[int, Converter] = {}
    for key, layer in used.items():
        if layer.in_each_step and not timed:
            obstacles.append(Obstacle(layer.name, "TimeDistributed", *NO_TIME))
            continue
        in_steps = timed and not layer.in_each_step
        table = OPERATIONS if layer.is_op else OVER_TIME if in_steps else LAYERS
        parse = None if layer.custom else table.get(layer.kind)
        if parse is None and in_steps and layer.kind in LAYERS:
            obstacles.append(Obstacle(layer.name, layer.kind, *REFUSAL))
            continue
        if parse is None:
            obstacles.append(Obstacle(layer.name, layer.kind, *refusal(layer.kind, layer.custom)))
            continue
        options = Options(layer, where, final=last[key])
        converter = parse(options)
        options.finish()
        obstacles.extend(options.obstacles)
        if not options.obstacles:
            found[key] = converter
    return found


def _final_calls(graph: Graph) -> set[str]:
    """Calls after which nothing computes any more."""
    readers: dict[str, list[Call]] = {name: [] for name in graph.calls}
    for call in graph.calls.values():
        for source in call.inputs:
            readers[source].append(call)
    final: set[str] = set()
    for name in reversed(tuple(graph.calls)):
        if all(
            reader.layer.kind in _TRANSPARENT and reader.name in final for reader in readers[name]
        ):
            final.add(name)
    return final


def _unique(obstacles: list[Obstacle]) -> list[Obstacle]:
    """Each obstacle once, in the order of the model."""
    return list(dict.fromkeys(obstacles))
