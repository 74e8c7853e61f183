"""An ONNX model as a list of operators in order, with what it reads, returns and holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush
from typing import Any

from nmcompile.errors import ModelError

#: Versions of the operators that are understood (onnx 1.6 to 1.23).
OLDEST, NEWEST = 11, 28
#: Names under which ONNX' own operators stand.
OWN_DOMAINS = ("", "ai.onnx")
MAX_OPS = 100_000


@dataclass(frozen=True, eq=False)
class Op:
    """One use of an operator.

    Attributes
    ----------
    name : as the file has it, or that of its result where it has none
    kind : the operator, such as ``Conv``, with its domain where it is not ONNX' own
    inputs, outputs : names of values, empty where one is left out
    attributes : name -> `AttributeProto`
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Port:
    """An input or output of the model.

    Attributes
    ----------
    dtype : number of `TensorProto.DataType`, 0 where it does not say
    shape : lengths, None where one is open; None where it does not say
    """

    name: str
    dtype: int
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True, eq=False)
class Graph:
    """The operators that the outputs need, every one after those it reads.

    Attributes
    ----------
    opset : version of the operators
    held : name -> `TensorProto` of the numbers in the file
    """

    name: str
    opset: int
    ops: tuple[Op, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    held: Mapping[str, Any]

    @cached_property
    def makers(self) -> dict[str, Op]:
        """Value -> the operator that makes it."""
        return {name: op for op in self.ops for name in op.outputs if name}

    @cached_property
    def readers(self) -> dict[str, list[Op]]:
        """Value -> the operators that read it."""
        found: dict[str, list[Op]] = {}
        for op in self.ops:
            for name in op.inputs:
                found.setdefault(name, []).append(op)
        return found

    def sole_maker(self, value: str) -> Op | None:
        """The operator that makes a value which one operator reads and no output returns."""
        if len(self.readers.get(value, ())) != 1 or any(o.name == value for o in self.outputs):
            return None
        return self.makers.get(value)


def read_graph(model: Any, where: str) -> Graph:
    """Check a `ModelProto` and put its operators in order.

    Raises
    ------
    ModelError
        Names that occur twice or nowhere, a cycle, an unknown version, no operators.
    """
    graph, opset = model.graph, _opset(model, where)
    if not graph.node:
        raise ModelError(f"{where}: the model has no operators; export it again")
    if len(graph.node) > MAX_OPS:
        raise ModelError(f"{where}: the model has {len(graph.node)} operators, more than {MAX_OPS}")
    if graph.sparse_initializer:
        raise ModelError(f"{where}: the model holds sparse weights; export it with dense ones")
    held = _unique(((t.name, t) for t in graph.initializer), "weights", where)
    ports = _unique(((i.name, _port(i)) for i in graph.input), "inputs", where)
    inputs = {name: port for name, port in ports.items() if name not in held}
    outputs = _unique(((o.name, _port(o)) for o in graph.output), "outputs", where)
    if not outputs:
        raise ModelError(f"{where}: the model has no output; export it again")
    ops = [_op(node, k, where) for k, node in enumerate(graph.node)]
    results = [(name, op) for op in ops for name in op.outputs if name]
    makers = _unique((*results, *((name, None) for name in (*held, *inputs))), "values", where)
    order = _order(_needed(outputs, makers, where), ops, makers, where)
    read = {name for op in order for name in op.inputs} | set(outputs)
    return Graph(
        name=clean(graph.name) or "network",
        opset=opset,
        ops=order,
        inputs=tuple(port for name, port in inputs.items() if name in read),
        outputs=tuple(outputs.values()),
        held=held,
    )


def _opset(model: Any, where: str) -> int:
    found = [each.version for each in model.opset_import if each.domain in OWN_DOMAINS]
    if len(found) != 1:
        raise ModelError(
            f"{where}: the model names {len(found)} versions of ONNX' operators, not one; "
            "the file is cut short or damaged, so copy or export it again"
        )
    if not OLDEST <= found[0] <= NEWEST:
        raise ModelError(
            f"{where}: the model is written in opset {found[0]}; {OLDEST} to {NEWEST} are "
            "understood, so export it with opset_version=18"
        )
    return int(found[0])


def _op(node: Any, number: int, where: str) -> Op:
    kind = node.op_type if node.domain in OWN_DOMAINS else f"{node.domain}.{node.op_type}"
    outputs = tuple(node.output)
    name = clean(node.name) or clean(next(filter(None, outputs), "")) or f"{kind}_{number}"
    attributes = _unique(
        ((a.name, a) for a in node.attribute), f"attributes of node {name!r}", where
    )
    return Op(name, clean(kind), tuple(node.input), outputs, attributes)


def _port(info: Any) -> Port:
    tensor = info.type.tensor_type
    if not tensor.HasField("shape"):
        return Port(info.name, tensor.elem_type, None)
    shape = tuple(
        int(dim.dim_value) if dim.HasField("dim_value") else None for dim in tensor.shape.dim
    )
    return Port(info.name, tensor.elem_type, shape)


def _needed(outputs: Iterable[str], makers: Mapping[str, Op | None], where: str) -> set[int]:
    """Which operators the outputs depend on, by `id`."""
    found: set[int] = set()
    stack = list(outputs)
    readers = dict.fromkeys(stack, "an output")
    while stack:
        value = stack.pop()
        if value not in makers:
            raise ModelError(
                f"{where}: {readers[value]} reads {clean(value)!r}, which nothing in the model "
                "makes; the file is cut short or damaged, so copy or export it again"
            )
        op = makers[value]
        if op is not None and id(op) not in found:
            found.add(id(op))
            inputs = [name for name in op.inputs if name]
            readers.update(dict.fromkeys(inputs, f"node {op.name!r}"))
            stack.extend(inputs)
    return found


def _order(
    needed: set[int], ops: Sequence[Op], makers: Mapping[str, Op | None], where: str
) -> tuple[Op, ...]:
    """The needed operators in the order of the file where that can be, and sorted where not."""
    place = {id(op): k for k, op in enumerate(ops)}
    sorter: TopologicalSorter[int] = TopologicalSorter()
    for k, op in enumerate(ops):
        if id(op) in needed:
            sources = [makers[name] for name in op.inputs if name]
            sorter.add(k, *(place[id(source)] for source in sources if source is not None))
    try:
        sorter.prepare()
    except CycleError as error:
        names = [ops[k].name for k in error.args[1]]
        text = " -> ".join(names[:5]) + (" -> …" if len(names) > 5 else "")
        raise ModelError(f"{where}: the model's operators form a cycle: {text}") from None
    order: list[Op] = []
    ready: list[int] = []
    while sorter.is_active():
        for k in sorter.get_ready():
            heappush(ready, k)
        order.append(ops[ready[0]])
        sorter.done(heappop(ready))
    return tuple(order)


def _unique(items: Iterable[tuple[str, Any]], what: str, where: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in items:
        if name in found:
            raise ModelError(
                f"{where}: two {what} are called {clean(name)!r}; names must be unique, so "
                "export the model again"
            )
        found[name] = value
    return found


def clean(name: str) -> str:
    """A name that fits in a sentence."""
    text = "".join(char if char.isprintable() else " " for char in name[:200])
    return " ".join(text.split())
