"""Records what snnTorch and Norse compute, and the NIR files that they write, for the tests.

    python tools/record_nir.py

It needs snntorch, norse, nir, nirtorch and torch, and writes for each network a file `.nir` and
one `.npz` with `x` (samples, steps, *input shape), `spikes` (samples, steps, neurons) of the last
layer and `voltages` of it after the reset. Recorded with snnTorch 1.0.0, Norse 1.1.0, nir 1.0.8.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import norse.torch as norse
import numpy as np
import snntorch
import torch
from snntorch.export_nir import export_to_nir
from torch import nn

OUT = Path(__file__).parents[1] / "tests" / "frontends" / "nir_models"
SAMPLES, STEPS = 4, 40


def leaky(*shape: int, beta: float = 0.9, threshold: float = 1.0) -> nn.Module:
    return snntorch.Leaky(
        beta=torch.full(shape, beta), threshold=torch.full(shape, threshold), init_hidden=True,
        reset_mechanism="zero", reset_delay=False,
    )  # fmt: skip


def synaptic(*shape: int, alpha: float = 0.8, beta: float = 0.7, delay: bool = False) -> nn.Module:
    return snntorch.Synaptic(
        alpha=torch.full(shape, alpha), beta=torch.full(shape, beta),
        threshold=torch.full(shape, 1.5), init_hidden=True, reset_mechanism="zero",
        reset_delay=delay,
    )  # fmt: skip


def recurrent(kind: type[nn.Module], size: int, **decays: float) -> nn.Module:
    """Neurons of snnTorch that read their own spikes, with the reset that is its default."""
    layer = kind(
        threshold=torch.full((size,), 1.2), linear_features=size, init_hidden=True,
        reset_mechanism="zero", **{key: torch.full((size,), each) for key, each in decays.items()},
    )  # fmt: skip
    nn.init.normal_(layer.recurrent.weight, 0, 0.3)
    return layer


def late(size: int) -> nn.Module:
    return snntorch.Leaky(
        beta=torch.full((size,), 0.8), threshold=torch.full((size,), 0.7), init_hidden=True,
        reset_mechanism="zero",
    )  # fmt: skip


def box(*shape: int, tau_mem_inv: float = 100.0, v_th: float = 0.2) -> nn.Module:
    return norse.LIFBoxCell(
        norse.LIFBoxParameters(
            tau_mem_inv=torch.full(shape, tau_mem_inv), v_leak=torch.zeros(shape),
            v_th=torch.full(shape, v_th), v_reset=torch.zeros(shape),
        ),
        dt=0.001,
    )  # fmt: skip


def iaf(*shape: int) -> nn.Module:
    return norse.IAFCell(
        norse.IAFParameters(v_th=torch.full(shape, 2.0), v_reset=torch.zeros(shape)), dt=0.001
    )


def dense(first: nn.Module, last: nn.Module) -> list[nn.Module]:
    return [nn.Linear(12, 20), first, nn.Linear(20, 6), last]


def image(first: nn.Module, last: nn.Module) -> list[nn.Module]:
    return [
        nn.Conv2d(2, 4, 3, padding=1), first, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(48, 6), last
    ]  # fmt: skip


def run_snntorch(layers: list[nn.Module], x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    net = nn.Sequential(*layers)
    spikes, voltages = [], []
    for step in range(x.shape[1]):
        fired = net(x[:, step])
        spikes.append(fired)
        # With a delayed reset, snnTorch shows the voltage before it.
        voltages.append(layers[-1].mem * (1 - fired))
    return torch.stack(spikes, 1), torch.stack(voltages, 1)


def run_norse(layers: list[nn.Module], x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    net, state = norse.SequentialState(*layers), None
    spikes, voltages = [], []
    for step in range(x.shape[1]):
        out, state = net(x[:, step], state)
        spikes.append(out)
        voltages.append(state[-1].v.clone())
    return torch.stack(spikes, 1), torch.stack(voltages, 1)


def numbers(node: Any) -> None:
    """Tensors as arrays, in every node: `nir.write` takes no others."""
    for inner in node.nodes.values() if isinstance(node, nir.NIRGraph) else ():
        numbers(inner)
    for key, value in vars(node).items():
        if isinstance(value, torch.Tensor):
            setattr(node, key, value.detach().numpy())


def snntorch_graph(layers: list[nn.Module], x: torch.Tensor) -> nir.NIRGraph:
    written = export_to_nir(nn.Sequential(*layers), x[:, 0], ignore_dims=[0])
    for node in written.nodes.values():
        numbers(node)
    return written


def norse_graph(layers: list[nn.Module], x: torch.Tensor) -> nir.NIRGraph:
    # Norse 1.1 multiplies time constants by its dt, and later versions by 1, the default.
    written = norse.to_nir(norse.SequentialState(*layers), x[:1, 0], dt=1.0)
    for node in written.nodes.values():
        numbers(node)
        if isinstance(node, nir.Conv2d):
            node.input_shape = x.shape[-2:]  # `nir.write` cannot leave it out, as Norse does.
    return written


def convolutions(first: nn.Module, last: nn.Module) -> list[nn.Module]:
    return [nn.Conv2d(2, 4, 3, padding=1), first, nn.Conv2d(4, 3, 3, stride=2), last]


Run = Callable[[list[nn.Module], torch.Tensor], Any]
NETWORKS: dict[str, tuple[list[nn.Module], tuple[int, ...], Run, Run]] = {}


def network(name: str, layers: list[nn.Module], shape: tuple[int, ...]) -> None:
    tools = (run_snntorch, snntorch_graph) if name.startswith("snn") else (run_norse, norse_graph)
    NETWORKS[name] = (layers, shape, *tools)


def main() -> None:
    torch.manual_seed(0)
    network("snntorch_dense", dense(leaky(20), leaky(6, beta=0.8, threshold=0.7)), (12,))
    network("snntorch_cuba", dense(synaptic(20), leaky(6)), (12,))
    network("snntorch_image", image(leaky(4, 6, 8), leaky(6, threshold=0.5)), (2, 6, 8))
    network("norse_dense", dense(box(20), iaf(6)), (12,))
    network("norse_image", convolutions(box(4, 6, 8), box(3, 2, 3, v_th=0.05)), (2, 6, 8))
    loops = (
        ("synaptic", recurrent(snntorch.RSynaptic, 20, alpha=0.7, beta=0.8)),
        ("leaky", recurrent(snntorch.RLeaky, 20, beta=0.9)),
    )
    for kind, layer in loops:
        network(f"snntorch-reset-delay_{kind}", dense(layer, late(6)), (12,))
    network("snntorch-reset-delay_feedforward", dense(synaptic(20, delay=True), late(6)), (12,))
    for name, (layers, shape, run, graph) in NETWORKS.items():
        with torch.no_grad():
            for layer in layers:
                for parameter in layer.parameters():
                    parameter.mul_(1.5)
            x = (torch.rand(SAMPLES, STEPS, *shape) < 0.4).float()
            written = graph(layers, x)
            for layer in layers:
                if hasattr(layer, "reset_mem"):
                    layer.reset_mem()
            spikes, voltages = run(layers, x)
        nir.write(OUT / f"{name}.nir", written)
        held = {"x": x.numpy().astype(np.uint8), "spikes": spikes.numpy().astype(np.uint8)}
        np.savez_compressed(OUT / f"{name}.npz", voltages=voltages.numpy(), **held)
        print(f"{name}: {spikes.mean():.3f} spikes per step")


if __name__ == "__main__":
    main()
