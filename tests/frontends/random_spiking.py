"""Random networks of snnTorch and Norse, and what these compute, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nir
import norse.torch as norse
import numpy as np
import snntorch
import torch
from snntorch.export_nir import export_to_nir
from torch import nn

from nmcompile.ir.nodes import FloatArray

STEPS = 20


class Dice:
    """Draws layers from a seed."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        torch.manual_seed(seed)

    def number(self, low: float, high: float) -> float:
        """Between two bounds."""
        return float(self.rng.uniform(low, high))

    def whole(self, low: int, high: int) -> int:
        """From `low` to before `high`."""
        return int(self.rng.integers(low, high))

    def chance(self) -> bool:
        """Heads or tails."""
        return bool(self.rng.random() < 0.5)


def snn_neurons(dice: Dice, shape: tuple[int, ...], late: bool) -> nn.Module:
    """Neurons of snnTorch with a reset to zero; some read their own spikes."""
    common: dict[str, Any] = {
        "threshold": torch.full(shape, dice.number(0.3, 1.2)), "init_hidden": True,
        "reset_mechanism": "zero", "reset_delay": late,
    }  # fmt: skip
    beta = torch.full(shape, dice.number(0.4, 0.95))
    alpha = torch.full(shape, dice.number(0.3, 0.9))
    kind = dice.whole(0, 4) if late and len(shape) == 1 else dice.whole(0, 2)
    if kind == 0:
        return snntorch.Leaky(beta=beta, **common)
    if kind == 1:
        return snntorch.Synaptic(alpha=alpha, beta=beta, **common)
    if kind == 2:
        return snntorch.RLeaky(beta=beta, linear_features=shape[0], **common)
    return snntorch.RSynaptic(alpha=alpha, beta=beta, linear_features=shape[0], **common)


def norse_neurons(dice: Dice, shape: tuple[int, ...], late: bool) -> nn.Module:
    """Box or integrate-and-fire neurons of Norse."""
    limit = torch.full(shape, dice.number(0.1, 0.4))
    if dice.chance():
        return norse.IAFCell(
            norse.IAFParameters(v_th=4 * limit, v_reset=torch.zeros(shape)), dt=0.001
        )
    return norse.LIFBoxCell(
        norse.LIFBoxParameters(
            tau_mem_inv=torch.full(shape, dice.number(50, 400)), v_leak=torch.zeros(shape),
            v_th=limit, v_reset=torch.zeros(shape),
        ),
        dt=0.001,
    )  # fmt: skip


def random_layers(dice: Dice, tool: str, late: bool) -> tuple[list[nn.Module], tuple[int, ...]]:
    """Dense layers, or some convolutions and pooling before them; and the shape of a sample."""

    def neurons(shape: tuple[int, ...]) -> nn.Module:
        return (snn_neurons if tool == "snntorch" else norse_neurons)(dice, shape, late)

    layers: list[nn.Module] = []
    shape: tuple[int, ...] = (dice.whole(2, 14),)
    if dice.chance():
        shape = (dice.whole(1, 4), dice.whole(6, 10), dice.whole(6, 10))
    now = shape
    while len(shape) == 3 and min(now[1:]) > 2 and len(layers) < 4:
        conv = nn.Conv2d(
            now[0], dice.whole(1, 5), 3, stride=dice.whole(1, 3), padding=dice.whole(0, 2),
            bias=dice.chance() or tool == "norse",
        )  # fmt: skip
        now = tuple(conv(torch.zeros(1, *now)).shape[1:])
        layers += [conv, neurons(now)]
    if len(shape) == 3 and tool == "norse":
        return strong(dice, layers), shape  # Norse writes no Flatten.
    if len(shape) == 3:
        if min(now[1:]) > 1 and dice.chance():
            layers.append(nn.AvgPool2d(2))
            now = tuple(layers[-1](torch.zeros(1, *now)).shape[1:])
        layers.append(nn.Flatten())
    size = int(np.prod(now))
    for _ in range(dice.whole(1, 3)):
        width = dice.whole(2, 12)
        layers += [nn.Linear(size, width, bias=dice.chance() or tool == "norse"), neurons((width,))]
        size = width
    return strong(dice, layers), shape


def strong(dice: Dice, layers: list[nn.Module]) -> list[nn.Module]:
    """The layers with weights large enough for neurons to fire."""
    with torch.no_grad():
        for layer in layers:
            for parameter in layer.parameters():
                parameter.mul_(dice.number(1.0, 2.5))
    return layers


def run(layers: list[nn.Module], x: torch.Tensor, tool: str) -> FloatArray:
    """(samples, steps, neurons) spikes of the last layer."""
    net = nn.Sequential(*layers) if tool == "snntorch" else norse.SequentialState(*layers)
    state, spikes = None, []
    for layer in layers:
        if hasattr(layer, "reset_mem"):
            layer.reset_mem()
    for step in range(x.shape[1]):
        if tool == "snntorch":
            spikes.append(net(x[:, step]))
        else:
            fired, state = net(x[:, step], state)
            spikes.append(fired)
    return torch.stack(spikes, 1).numpy()


def write(layers: list[nn.Module], x: torch.Tensor, tool: str, path: Path) -> None:
    """The NIR file that the tool makes of the layers."""
    if tool == "snntorch":
        graph = export_to_nir(nn.Sequential(*layers), x[:, 0], ignore_dims=[0])
    else:
        # Norse 1.1 multiplies time constants by its dt, and later versions by 1, the default.
        graph = norse.to_nir(norse.SequentialState(*layers), x[:1, 0], dt=1.0)
    shape = tuple(x.shape[2:])
    todo = list(graph.nodes.values())
    for module in layers:
        if isinstance(module, nn.Conv2d):
            for node in todo:
                if isinstance(node, nir.Conv2d) and node.input_shape is None:
                    node.input_shape = shape[1:]  # `nir.write` cannot leave it out.
                    break
            shape = tuple(module(torch.zeros(1, *shape)).shape[1:])
    while todo:
        node = todo.pop()
        todo += list(node.nodes.values()) if isinstance(node, nir.NIRGraph) else []
        for key, value in vars(node).items():
            if isinstance(value, torch.Tensor):
                setattr(node, key, value.detach().numpy())
    nir.write(path, graph)


def random_case(seed: int, path: Path) -> tuple[str, FloatArray, FloatArray]:
    """Write a random network; its dialect, inputs and spikes."""
    dice = Dice(seed)
    tool = "norse" if seed % 3 == 0 else "snntorch"
    late = tool == "snntorch" and dice.chance()
    layers, shape = random_layers(dice, tool, late)
    with torch.no_grad():
        x = (torch.rand(3, STEPS, *shape) < 0.5).float()
        write(layers, x, tool, path)
        spikes = run(layers, x, tool)
    return ("snntorch-reset-delay" if late else tool), x.numpy(), spikes
