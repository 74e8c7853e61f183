"""A Keras model as a flat list of layer calls: nested models inlined, shared layers unrolled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, NamedTuple

from nmcompile.errors import ModelError, Obstacle
from nmcompile.frontends.keras.model import Layer, Model

#: Arguments of a call that change nothing when they are off.
_QUIET_ARGUMENTS = ("mask", "training", "initial_state", "return_attention_scores")


class Reference(NamedTuple):
    """A tensor as the configuration names it.

    Attributes
    ----------
    layer : name of the layer within its model
    call : number of the call
    tensor : number of the result
    listed : whether it stands as a list (Keras 2, and all models' outputs) or as a tensor
    """

    layer: str
    call: int
    tensor: int
    listed: bool


@dataclass(frozen=True, eq=False)
class Call:
    """One use of a layer.

    Attributes
    ----------
    name : the layer's name, with ``@k`` for its k-th further call
    inputs : names of the calls whose results it reads
    """

    name: str
    layer: Layer
    inputs: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Graph:
    """All calls of a model, every call after those it reads.

    Attributes
    ----------
    calls : name -> call
    outputs : names of the calls whose results the model returns
    obstacles : calls that cannot be followed
    """

    calls: Mapping[str, Call]
    outputs: tuple[str, ...]
    obstacles: tuple[Obstacle, ...]


def build_graph(model: Model, where: str) -> Graph:
    """Unroll a model.

    Raises
    ------
    ModelError
        No layers, no known input shape, or a malformed graph.
    """
    if not any(layer.kind != "InputLayer" for layer in model.leaves()):
        raise ModelError(f"{where}: the model has no layers; add at least one with weights")
    builder = _Unroller(where)
    outputs = builder.model(model, None, "")
    return Graph(builder.calls, tuple(outputs), tuple(builder.obstacles))


class _Unroller:
    def __init__(self, where: str) -> None:
        self.where = where
        self.calls: dict[str, Call] = {}
        self.obstacles: list[Obstacle] = []

    def model(self, model: Model, inputs: Sequence[str] | None, prefix: str) -> list[str]:
        """Unroll one call of a model; `inputs` is None for the outermost."""
        if model.sequential:
            return [self._sequential(model, inputs, prefix)]
        return self._functional(model, inputs, prefix)

    def _sequential(self, model: Model, inputs: Sequence[str] | None, prefix: str) -> str:
        layers = list(model.layers)
        if inputs is None:
            layer = layers.pop(0) if layers[0].kind == "InputLayer" else _made_input(model)
            if layer is None:
                raise ModelError(
                    f"{self.where}: the model has no input shape, so its layers have no weights; "
                    "put keras.Input(shape) first or call the model once before saving"
                )
            inputs = [self._add(layer, layer.short, ())]
        elif layers and layers[0].kind == "InputLayer":
            del layers[0]
        if len(inputs) != 1:
            raise ModelError(
                f"{self.where}: Sequential model {model.name!r} is called on {len(inputs)} "
                "tensors, but takes one"
            )
        here = inputs[0]
        for layer in layers:
            results = self._call(layer, prefix + layer.short, [here])
            if len(results) != 1:
                raise ModelError(
                    f"{self.where}: layer {layer.name!r} has {len(results)} outputs, "
                    "but a Sequential model passes on one"
                )
            here = results[0]
        return here

    def _functional(self, model: Model, inputs: Sequence[str] | None, prefix: str) -> list[str]:
        by_name = {layer.short: layer for layer in model.layers}
        entries = [entry.layer for entry in _references(model.config.get("input_layers"))]
        results: dict[tuple[str, int], list[str]] = {}
        for position, name in enumerate(entries):
            if name not in by_name or by_name[name].kind != "InputLayer":
                raise ModelError(f"{self.where}: the model's input {name!r} is not in its layers")
            if inputs is None:
                results[name, 0] = [self._add(by_name[name], prefix + name, ())]
            elif position < len(inputs):
                results[name, 0] = [inputs[position]]
        if not entries or (inputs is not None and len(inputs) != len(entries)):
            raise ModelError(
                f"{self.where}: model {model.name!r} takes {len(entries)} inputs, "
                f"but gets {len(inputs or ())}"
            )
        nodes = {
            (layer.short, k): (node, _references(node))
            for layer in model.layers
            if layer.kind != "InputLayer"
            for k, node in enumerate(layer.inbound)
        }

        def target(reference: Reference) -> tuple[str, int]:
            name = reference.layer
            if name not in by_name:
                raise ModelError(f"{self.where}: the model refers to a layer {name!r} it lacks")
            key = (name, reference.call - _offset(by_name[name], reference))
            if key not in nodes and key not in results:
                raise ModelError(
                    f"{self.where}: the model refers to call {reference.call} of layer {name!r}, "
                    "which it lacks; save the model again"
                )
            return key

        sorter: TopologicalSorter[tuple[str, int]] = TopologicalSorter()
        for key, (_, references) in nodes.items():
            sorter.add(key, *map(target, references))
        try:
            order = list(sorter.static_order())
        except CycleError as error:
            names = " -> ".join(str(name) for name, _ in error.args[1])
            raise ModelError(f"{self.where}: the model's layers form a cycle: {names}") from None

        def pick(reference: Reference) -> str:
            found = results[target(reference)]
            # Of single layers, only those that are refused, such as an LSTM, have several results.
            return found[reference.tensor] if 0 <= reference.tensor < len(found) else found[0]

        for key in order:
            if key in results:
                continue
            node, references = nodes[key]
            layer = by_name[key[0]]
            name = prefix + layer.short + (f"@{key[1]}" if key[1] else "")
            self._check_arguments(layer, node)
            results[key] = self._call(layer, name, [pick(each) for each in references])
        outputs = [pick(each) for each in _references(model.config.get("output_layers"))]
        if not outputs:
            raise ModelError(f"{self.where}: model {model.name!r} has no output")
        return outputs

    def _call(self, layer: Layer, name: str, inputs: list[str]) -> list[str]:
        if layer.inner is None:
            return [self._add(layer, name, tuple(inputs))]
        if not layer.inner.layers:
            raise ModelError(f"{self.where}: model {layer.name!r} has no layers")
        return self.model(layer.inner, inputs, name + "/")

    def _add(self, layer: Layer, name: str, inputs: tuple[str, ...]) -> str:
        if name in self.calls:
            raise ModelError(f"{self.where}: two layers are called {name!r}; rename one of them")
        if len(self.calls) >= 100_000:
            raise ModelError(f"{self.where}: the model makes more than 100000 layer calls")
        self.calls[name] = Call(name, layer, inputs)
        return name

    def _check_arguments(self, layer: Layer, node: object) -> None:
        for key, value in _arguments(node):
            if not (_is_off(value) if key in _QUIET_ARGUMENTS else _only_tensors(value)):
                self.obstacles.append(
                    Obstacle(
                        layer.name,
                        layer.kind,
                        f"it is called with the argument {key or 'constant'}={str(value)[:60]}",
                        "call it on tensors only, in inference mode",
                    )
                )


def _made_input(model: Model) -> Layer | None:
    """An input layer for a Sequential model whose shape stands elsewhere."""
    first: Layer | None = model.layers[0]
    config = model.config
    build = config.get("build_config")
    options: list[object] = [config.get("build_input_shape")]
    if isinstance(build, Mapping):
        options.append(build.get("input_shape"))
    name = first.short if first else "network"
    while first is not None:
        options[:0] = [first.config.get("batch_shape"), first.config.get("batch_input_shape")]
        if first.inner is None or not first.inner.layers:
            break
        first = first.inner.layers[0]
    shape = next((each for each in options if isinstance(each, list)), None)
    if shape is None:
        return None
    label = f"{name}_input"
    return Layer(
        name=label, short=label, kind="InputLayer", custom="", is_op=False,
        config={"batch_shape": shape, "name": label}, inbound=(), folder="", index=(-1,),
        inner=None,
    )  # fmt: skip


def _offset(layer: Layer, reference: Reference) -> int:
    """Number that the first call of a layer has.

    Where calls are listed, Keras gives the number 0 to a functional model's own graph;
    Keras 2 does so for a Sequential model, too.
    """
    if layer.inner is None:
        return 0
    if reference.listed:
        keras2 = bool(layer.inbound) and isinstance(layer.inbound[0], list)
        return int(keras2 or not layer.inner.sequential)
    return int(reference.call >= len(layer.inbound))


def _references(value: object) -> list[Reference]:
    """All tensors in a node or in a list of inputs or outputs, in order."""
    return list(_walk(value, 0))


def _walk(value: object, depth: int) -> Iterator[Reference]:
    if depth > 20:
        raise ModelError("a layer's inputs are nested more than 20 deep")
    inner: Iterable[object] = ()
    if isinstance(value, Mapping):
        if value.get("class_name") == "__keras_tensor__":
            name, node, tensor = value["config"]["keras_history"]
            yield Reference(str(name), int(node), int(tensor), listed=False)
        else:
            inner = value.values()
    elif isinstance(value, list | tuple):
        inner = value
        if len(value) >= 3 and isinstance(value[0], str) and _is_index(value[1], value[2]):
            yield Reference(value[0], value[1], value[2], listed=True)
            inner = value[3:]
    for each in inner:
        yield from _walk(each, depth + 1)


def _is_off(value: object) -> bool:
    """None or false, or lists of these, such as the masks of several inputs."""
    if isinstance(value, list | tuple):
        return all(_is_off(each) for each in value)
    return value is None or value is False


def _only_tensors(value: object) -> bool:
    """Whether an argument is tensors and nothing else."""
    if isinstance(value, Mapping):
        tensor = value.get("class_name") == "__keras_tensor__"
        return tensor or (bool(value) and all(_only_tensors(each) for each in value.values()))
    if isinstance(value, list | tuple):
        listed = len(value) == 3 and isinstance(value[0], str) and _is_index(*value[1:])
        return listed or (bool(value) and all(_only_tensors(each) for each in value))
    return value is None


def _is_index(*values: object) -> bool:
    return all(isinstance(value, int) and not isinstance(value, bool) for value in values)


def _arguments(node: object) -> Iterator[tuple[str, Any]]:
    """Everything a layer is called with that is not one of its tensors' places."""
    if isinstance(node, Mapping):  # Keras 3
        args = node.get("args", ())
        for value in args:
            yield "", value
        yield from node.get("kwargs", {}).items()
    elif isinstance(node, list):  # Keras 2: [[layer, call, tensor, {arguments}], ...]
        flat = [node] if len(node) >= 3 and isinstance(node[0], str) else node
        for entry in flat:
            if isinstance(entry, list) and len(entry) > 3 and isinstance(entry[3], Mapping):
                yield from entry[3].items()
