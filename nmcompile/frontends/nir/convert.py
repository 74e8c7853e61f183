"""Turns a NIR graph into a Network, or lists every obstacle at once."""

from __future__ import annotations

from dataclasses import replace

from nmcompile.errors import ModelError, Obstacle, UnsupportedError
from nmcompile.frontends.layout import NodeBuilder, Refused, Tensor, plain
from nmcompile.frontends.nir.file import NirFile, NirGraph, NirNode
from nmcompile.frontends.nir.loops import Cut, NoNeurons, cut
from nmcompile.frontends.nir.parameters import Parameters
from nmcompile.frontends.nir.registry import CONVERTERS, UNKNOWN
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
        #: Neurons that are read back -> what is read of them.
        self.backs: dict[str, Tensor] = {}
        self.read = {name for sources in graph.sources.values() for name in sources}

    def run(self, name: str) -> Network:
        try:
            loops = cut(
                self.graph.sources, {name: node.kind for name, node in self.graph.nodes.items()}
            )
        except NoNeurons as error:
            self._refuse(self.graph.nodes[error.node], error.why, error.remedy)
            raise UnsupportedError(self.file.where, self.obstacles) from None
        except Refused as error:
            raise ModelError(f"{self.file.where}: {error.why}; {error.remedy}") from None
        for key in loops.order:
            node = self.graph.nodes[key]
            result: Tensor | None = None
            try:
                result = self._convert(node, loops)
            except Refused as error:
                self._refuse(node, error.why, error.remedy)
            self.done[key] = result
        if self.obstacles:
            raise UnsupportedError(self.file.where, self.obstacles)
        self._close()
        self._outputs()
        return Network.build(
            self.builder.nodes.values(), name=name, dt_s=self.context.step_s or 1e-3
        )

    def _convert(self, node: NirNode, loops: Cut) -> Tensor | None:
        parameters = Parameters(node, self.file)
        sources = loops.sources[node.name]
        back = loops.back.get(node.name, [])
        if node.kind == "Input" and not sources:
            return self._input(node, parameters)
        if node.kind not in (*CONVERTERS, "Input", "Output"):
            self._refuse(node, *UNKNOWN)
            return None
        if not sources and not back:
            raise ModelError(
                f"{self.file.where}: {parameters.place} reads nothing; write the file again"
            )
        found = [self.done.get(name) for name in sources]
        found += [self._back(name, loops) for name in back]
        inputs = tuple(tensor for tensor in found if tensor is not None)
        if len(inputs) < len(found):
            return None
        if len(inputs) > 1:
            joined = Step(f"{node.name}/sum", node.name, inputs, self.builder)
            inputs = (joined.sum(),)
        if node.name in self.backs:
            inputs = (self._laid(node, inputs[0]),)
        if node.kind in ("Input", "Output"):
            return inputs[0]
        step = NirStep(
            node.name, node.name, inputs, self.builder, parameters, self.context,
            final=self._is_final(node.name), looped=node.name in self.backs,
        )  # fmt: skip
        return CONVERTERS[node.kind](step)

    def _back(self, name: str, loops: Cut) -> Tensor | None:
        """The spikes of neurons, which are not converted yet, of the step before."""
        if name not in self.backs:
            if name in loops.like:
                like = self.done.get(loops.like[name])
                if like is None:
                    return None
                shape, layout = like.shape, like.layout
            else:
                node = self.graph.nodes[name]
                key = "threshold" if node.kind == "Threshold" else "v_threshold"
                shape = Parameters(node, self.file).numbers(key).shape
                if not shape:
                    raise Refused(
                        f"it reads back {name[:80]!r}, whose number of neurons nothing tells",
                        "write one threshold for each neuron",
                    )
                layout = plain(len(shape))
            size = Tensor("", shape, layout).physical
            made = self.builder.add(
                nodes.Back, f"{name}/back", [], name, source=name, size=size
            )  # fmt: skip
            self.backs[name] = Tensor(made, shape, layout)
        return self.backs[name]

    def _laid(self, node: NirNode, x: Tensor) -> Tensor:
        """The input of neurons that are read back, laid out as they were taken to be."""
        back = self.backs[node.name]
        if x.shape != back.shape:
            raise Refused(
                f"it has shape {x.shape}, but comes back with shape {back.shape}",
                "give the loop weights of that shape",
            )
        return replace(x, node=self.builder.lay(x, back.layout, node.name), layout=back.layout)

    def _close(self) -> None:
        """Tell recurrent connections which node their neurons have become."""
        for name, back in self.backs.items():
            tensor, node = self.done[name], self.builder.nodes[back.node]
            assert tensor is not None
            assert isinstance(node, nodes.Back)
            self.builder.nodes[back.node] = replace(node, source=tensor.node)

    def _is_final(self, name: str) -> bool:
        """Whether only Outputs read a node."""
        readers = [each for each, found in self.graph.sources.items() if name in found]
        return all(
            self.graph.nodes[each].kind == "Output" and self._is_final(each) for each in readers
        )

    def _input(self, node: NirNode, parameters: Parameters) -> Tensor:
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
