"""Turns the layers of a `.net` file into a Network, or lists every obstacle at once."""

from __future__ import annotations

from collections.abc import Sequence

from nmcompile.errors import Obstacle, UnsupportedError
from nmcompile.frontends.lava.file import LavaLayer
from nmcompile.frontends.lava.registry import CONVERTERS, REFUSED, UNKNOWN
from nmcompile.frontends.lava.step import LavaStep
from nmcompile.frontends.layout import NodeBuilder, Refused, Tensor, plain
from nmcompile.ir import Network, nodes


def convert(layers: Sequence[LavaLayer], where: str, name: str) -> tuple[Network, list[str]]:
    """The Network that computes one time step, and what was assumed.

    Raises
    ------
    UnsupportedError
        With every layer that cannot be compiled.
    ModelError, VerifyError
        Weights or shapes that do not fit each other.
    """
    builder, notes, obstacles = NodeBuilder(), dict[str, None](), list[Obstacle]()

    def refuse(layer: LavaLayer, why: str, remedy: str) -> None:
        obstacles.append(Obstacle(layer.name, layer.kind[:40], why, remedy))

    last = layers[-1]
    x: Tensor | None = None
    if layers[0].kind != "input":
        x = _without_input(layers[0], builder)
        if x is None:
            refuse(layers[0], "no input layer says what shape its input has", "export one before")
    for k, layer in enumerate(layers):
        converter = CONVERTERS.get(layer.kind)
        if converter is None:
            refuse(layer, *REFUSED.get(layer.kind, UNKNOWN))
            x = None
        elif layer.kind == "input" and k:
            refuse(layer, "the network has a second input", "use one, as its first layer")
            x = None
        elif x is not None or layer.kind == "input":
            inputs = () if x is None else (x,)
            step = LavaStep(
                layer.name, layer.name, inputs, builder, layer, notes, final=layer is last
            )
            try:
                x = converter(step)
            except Refused as error:
                refuse(layer, error.why, error.remedy)
                x = None
    if x is not None and not any(isinstance(n, nodes.Spiking) for n in builder.nodes.values()):
        refuse(last, "no layer of the network has neurons that fire", "export a whole network")
    if obstacles:
        raise UnsupportedError(where, obstacles)
    assert x is not None
    source = builder.lay(x, plain(len(x.shape)), last.name)
    builder.add(nodes.Output, "output", [source], last.name)
    return Network.build(builder.nodes.values(), name=name), list(notes)


def _without_input(first: LavaLayer, builder: NodeBuilder) -> Tensor | None:
    """The input that a file without one must have; None where that cannot be told."""
    if first.kind not in ("dense", "dense_rec"):
        return None
    weights = first.integers("weight")
    size = (int(weights.shape[1]) if weights.ndim == 2 else weights.size,)
    return Tensor(builder.add(nodes.Input, "input", [], "", size=size), size, (0,))
