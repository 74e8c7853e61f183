"""Turns a NIR graph into a Network, or lists every obstacle at once."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

from nmcompile.errors import ModelError, Obstacle, UnsupportedError
from nmcompile.frontends.layout import NodeBuilder, Refused, Tensor, plain
from nmcompile.frontends.nir.file import NirFile, NirGraph, NirNode
from nmcompile.frontends.nir.parameters import Parameters
from nmcompile.frontends.nir.registry import CONVERTERS, RECURRENT, REFUSED, UNKNOWN
from nmcompile.frontends.nir.step import Context, NirStep
from nmcompile.frontends.step import Step
from nmcompile.ir import Network, nodes


def convert(graph: NirGraph, file: NirFile, context: Context, name: str) -> Network:
    """The Network that computes one time step of the graph.

    Raises
    ------
    UnsupportedError
        With every node that cannot be compiled.
    ModelError, VerifyError
        Weights or shapes that do not fit each other.
    """
    return _Conversion(graph, file, context).run(name)


class _Conversion:
    """The tensors of a graph while its nodes are converted one after the other."""

    def __init__(self, graph: NirGraph, file: NirFile, context: Context) -> None:
        self.graph, self.file, self.context = graph, file, context
        self.builder = NodeBuilder()
        self.obstacles: list[Obstacle] = []
        #: Node -> its result; None where an obstacle lies before it.
        self.done: dict[str, Tensor | None] = {}
        self.read = {name for sources in graph.sources.values() for name in sources}

    def run(self, name: str) -> Network:
        for key in self._order():
            node = self.graph.nodes[key]
            result: Tensor | None = None
            try:
                result = self._convert(node)
            except Refused as error:
                self._refuse(node, error.why, error.remedy)
            self.done[key] = result
        if self.obstacles:
            raise UnsupportedError(self.file.where, self.obstacles)
        self._outputs()
        return Network.build(
            self.builder.nodes.values(), name=name, dt_s=self.context.step_s or 1e-3
        )

    def _order(self) -> list[str]:
        """Nodes after those that they read; those on a cycle are refused, and left out."""
        sources = {name: list(found) for name, found in self.graph.sources.items()}
        while True:
            try:
                return list(TopologicalSorter(sources).static_order())
            except CycleError as error:
                cycle = error.args[1][:-1]
                kinds = {name: self.graph.nodes[name] for name in cycle}
                fires = next((name for name in cycle if "LI" in kinds[name].kind), cycle[0])
                self._refuse(kinds[fires], *RECURRENT)
                for each in cycle:
                    sources[each] = [s for s in sources[each] if s not in cycle]
                    self.done[each] = None

    def _convert(self, node: NirNode) -> Tensor | None:
        if node.name in self.done:
            return None
        parameters = Parameters(node, self.file)
        sources = self.graph.sources[node.name]
        if node.kind == "Input" and not sources:
            return self._input(node, parameters)
        if node.kind not in (*CONVERTERS, "Input", "Output"):
            self._refuse(node, *REFUSED.get(node.kind, UNKNOWN))
            return None
        if not sources:
            raise ModelError(
                f"{self.file.where}: {parameters.place} reads nothing; write the file again"
            )
        found = [self.done.get(name) for name in sources]
        inputs = tuple(tensor for tensor in found if tensor is not None)
        if len(inputs) < len(found):
            return None
        if len(inputs) > 1:
            joined = Step(f"{node.name}/sum", node.name, inputs, self.builder)
            inputs = (joined.sum(),)
        if node.kind in ("Input", "Output"):
            return inputs[0]
        step = NirStep(
            node.name, node.name, inputs, self.builder, parameters, self.context,
            final=self._is_final(node.name),
        )  # fmt: skip
        return CONVERTERS[node.kind](step)

    def _is_final(self, name: str) -> bool:
        """Whether only Outputs read a node."""
        readers = [each for each, found in self.graph.sources.items() if name in found]
        return all(
            self.graph.nodes[each].kind == "Output" and self._is_final(each) for each in readers
        )

    def _input(self, node: NirNode, parameters: Parameters) -> Tensor | None:
        if any(isinstance(each, nodes.Input) for each in self.builder.nodes.values()):
            self._refuse(node, "the graph has more than one input", "join them before the network")
            return None
        shape = parameters.shape()
        if len(shape) in (2, 4) and shape[0] == 1:
            self.context.note(
                f"the first axis of the input of shape {shape} counts samples, so one has shape "
                f"{shape[1:]}"
            )
            shape = shape[1:]
        name = self.builder.add(nodes.Input, node.name, [], node.name, size=shape)
        return Tensor(name, shape, plain(len(shape)))

    def _outputs(self) -> None:
        """Add the outputs: the nodes of that type that nothing reads."""
        ends = [
            node for node in self.graph.nodes.values()
            if node.kind == "Output" and node.name not in self.read
        ]  # fmt: skip
        if not ends:
            raise ModelError(f"{self.file.where}: the graph has no Output; write the file again")
        for k, node in enumerate(ends):
            tensor = self.done[node.name]
            if tensor is None:
                raise ModelError(f"{self.file.where}: output {node.name[:80]!r} reads nothing")
            label = "output" if len(ends) == 1 else f"output_{k}"
            source = self.builder.lay(tensor, plain(len(tensor.shape)), node.name)
            self.builder.add(nodes.Output, label, [source], node.name)

    def _refuse(self, node: NirNode, why: str, remedy: str) -> None:
        self.obstacles.append(Obstacle(node.name[:80], node.kind[:40], why, remedy))
