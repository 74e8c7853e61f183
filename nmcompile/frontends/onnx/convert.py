"""Turns an ONNX graph into a Network, or lists every obstacle at once."""

from __future__ import annotations

from nmcompile.errors import ModelError, Obstacle, UnsupportedError
from nmcompile.frontends.budget import Budget
from nmcompile.frontends.layout import NodeBuilder, Refused, Tensor, plain
from nmcompile.frontends.onnx.attributes import Attributes
from nmcompile.frontends.onnx.constants import FOLDS, Fold, fold, shape_of
from nmcompile.frontends.onnx.graph import Graph, Op, Port, clean
from nmcompile.frontends.onnx.refusals import refusal
from nmcompile.frontends.onnx.registry import OPERATORS, ROUNDED, TRANSPARENT
from nmcompile.frontends.onnx.step import Constant, Context, OpStep, Rounded, Value
from nmcompile.frontends.onnx.tensors import TYPES, TensorReader, type_name
from nmcompile.ir import Network, nodes


def convert(graph: Graph, reader: TensorReader, kept: Budget) -> Network:
    """The Network that computes what the graph computes.

    Parameters
    ----------
    reader : of the numbers in the file
    kept : bytes that computed constants and the network's weights may take

    Raises
    ------
    UnsupportedError
        With every operator that cannot be compiled.
    ModelError, VerifyError
        Weights or attributes that do not fit each other.
    """
    return _Conversion(graph, reader, kept).run()


class _Conversion:
    """The values of a graph while its operators are converted one after the other."""

    def __init__(self, graph: Graph, reader: TensorReader, kept: Budget) -> None:
        self.graph, self.reader, self.kept, self.where = graph, reader, kept, reader.where
        self.builder = NodeBuilder()
        self.obstacles: list[Obstacle] = []
        #: Value -> what it is; None where an obstacle lies before it.
        self.done: dict[str, Value | None] = {}
        self.final = _final(graph)

    def run(self) -> Network:
        samples = self._inputs()
        self.context = Context(self.where, self.graph, self.kept, samples)
        for op in self.graph.ops:
            result: Value | None = None
            try:
                result = self._convert(op)
            except Refused as error:
                self._refuse(op.name, op.kind, error.why, error.remedy)
            self.done.update(dict.fromkeys(op.outputs[:1], result))
        self._outputs()
        return Network.build(self.builder.nodes.values(), name=self.graph.name)

    def _inputs(self) -> int | None:
        """Add the input; the number of samples that it fixes."""
        ports = self.graph.inputs
        if not ports:
            raise ModelError(f"{self.where}: no output depends on an input; export it again")
        for port in ports:
            self.done[port.name] = self._input(port)
        return ports[0].shape[0] if ports[0].shape else None

    def _input(self, port: Port) -> Tensor | None:
        if port.dtype not in TYPES:
            self._refuse(
                port.name, "Input", f"it takes {type_name(port.dtype)}", "feed it float32 numbers"
            )
            return None
        size = () if port.shape is None else port.shape[1:]
        text = "x".join("?" if n is None else str(n) for n in size)[:60] or "unknown"
        if not size or any(n is None for n in size):
            self._refuse(
                port.name, "Input",
                f"the shape of one sample is not fixed ({text}; the first axis counts samples)",
                "export the model with every axis but the first given as a number",
            )  # fmt: skip
            return None
        shape = tuple(n for n in size if n is not None)
        if min(shape) < 1 or len(shape) > 8:
            raise ModelError(
                f"{self.where}: input {port.name[:60]!r}: its shape is {text}, expected a few "
                "whole numbers of at least 1; export the model again"
            )
        node = self.builder.add(nodes.Input, clean(port.name), [], clean(port.name), size=shape)
        return Tensor(node, shape, plain(len(shape)))

    def _convert(self, op: Op) -> Value | None:
        values = [self._value(name, op) if name else None for name in op.inputs]
        lost = any(v is None and name for v, name in zip(values, op.inputs, strict=True))
        attributes = Attributes(op, self.where, self.graph.opset, final=op in self.final)
        tensors = tuple(value for value in values if isinstance(value, Tensor))
        if op.kind == "Shape" and not lost and tensors:
            return shape_of(tensors[0], attributes)
        if op.kind in FOLDS and not tensors and not lost:
            arrays = [value.array if isinstance(value, Constant) else None for value in values]
            result = fold(Fold(attributes, arrays, self.context, self.reader))
            self.obstacles.extend(attributes.obstacles)
            return None if attributes.obstacles else result
        parse = OPERATORS.get(op.kind)
        if parse is None:
            if not (lost and op.kind in FOLDS):
                raise Refused(*refusal(op.kind))
            return None
        converter = parse(attributes)
        attributes.finish()
        used = [name for name in op.outputs[1:] if name and self.graph.readers.get(name)]
        if used or any(each.name in op.outputs[1:] for each in self.graph.outputs):
            attributes.problem("its second result is read", "export in inference mode")
        self.obstacles.extend(attributes.obstacles)
        if lost or attributes.obstacles:
            return None
        if op.kind not in ROUNDED and any(isinstance(tensor, Rounded) for tensor in tensors):
            raise Refused(
                "it computes with the whole numbers of a QuantizeLinear",
                "put a DequantizeLinear before it, or export the float model",
            )
        step = OpStep(op.name, op.name, tensors, self.builder, op, tuple(values), self.context)
        return converter(step)

    def _value(self, name: str, op: Op) -> Value | None:
        """A value by name; numbers of the file are read each time, and not kept."""
        if name in self.graph.held:
            return Constant(self.reader.read(self.graph.held[name], self.context.place(op)))
        return self.done.get(name)

    def _outputs(self) -> None:
        ends = [(port, self.done.get(port.name)) for port in self.graph.outputs]
        for port, value in ends:
            if isinstance(value, Rounded):
                self._refuse(port.name, "Output", "it holds whole numbers", "dequantise it")
        if self.obstacles:
            raise UnsupportedError(self.where, list(dict.fromkeys(self.obstacles)))
        for k, (port, value) in enumerate(ends):
            if not isinstance(value, Tensor):
                raise ModelError(f"{self.where}: output {port.name[:60]!r} is constant")
            self._check_shape(port, value)
            label = "output" if len(ends) == 1 else f"output_{k}"
            node = self.builder.lay(value, plain(len(value.shape)), clean(port.name))
            self.builder.add(nodes.Output, label, [node], clean(port.name))

    def _check_shape(self, port: Port, value: Tensor) -> None:
        """Compare a result with what the file says of it."""
        if port.shape is None:
            return
        said = port.shape[1:]
        fits = len(said) == len(value.shape) and all(
            n is None or n == m for n, m in zip(said, value.shape, strict=True)
        )
        if not fits:
            raise ModelError(
                f"{self.where}: output {port.name[:60]!r} has shape {value.shape} for a sample, "
                f"but the file says {said}; export the model again"
            )

    def _refuse(self, name: str, kind: str, why: str, remedy: str) -> None:
        self.obstacles.append(Obstacle(clean(name), kind, why, remedy))


def _final(graph: Graph) -> set[Op]:
    """Operators behind which nothing computes any more."""
    final: set[Op] = set()
    for op in reversed(graph.ops):
        readers = [reader for name in op.outputs for reader in graph.readers.get(name, ())]
        if all(each.kind in TRANSPARENT and each in final for each in readers):
            final.add(op)
    return final
