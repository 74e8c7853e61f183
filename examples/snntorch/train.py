"""Train two spiking networks with snnTorch, and write them as NIR files.

    pip install torch snntorch nir nirtorch
    python examples/snntorch/train.py rows MNIST.npz examples/snntorch
    python examples/snntorch/train.py image MNIST.npz examples/snntorch

`rows` sees one row of a digit a step and remembers the rows before in recurrent neurons with a
synaptic current; `image` sees the whole digit in every step, and has convolutions. Pixels are 0 or
1, so that each is a spike. Each run writes the network (`.nir`) and, as `.npz`, snnTorch's accuracy
on all test digits and the spikes of its last layer for the first of them. Trained with snnTorch
1.0.0, torch 2.13.0 and nir 1.0.8.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import nir
import numpy as np
import snntorch
import torch
from snntorch import surrogate
from snntorch.export_nir import export_to_nir
from torch import Tensor, nn

BATCH, RATE = 128, 2e-3
STEPS = {"rows": 28, "image": 12}
EPOCHS = {"rows": 20, "image": 6}
#: Test digits whose spikes are kept.
KEPT = 1000


def rows() -> nn.Sequential:
    """28 inputs, 128 recurrent neurons with a current, 10 neurons whose spikes are counted."""
    options = {"reset_mechanism": "zero", "init_hidden": True, "surrogate_disable": False}
    hidden = snntorch.RSynaptic(
        alpha=torch.full((128,), 0.7), beta=torch.full((128,), 0.9),
        threshold=torch.full((128,), 1.0), linear_features=128,
        spike_grad=surrogate.fast_sigmoid(10), **options,
    )  # fmt: skip
    hidden.recurrent = nn.Linear(128, 128, bias=False)
    nn.init.normal_(hidden.recurrent.weight, 0, 0.05)
    out = snntorch.Leaky(
        beta=torch.full((10,), 0.9), threshold=torch.full((10,), 1.0),
        spike_grad=surrogate.fast_sigmoid(10), **options,
    )  # fmt: skip
    return nn.Sequential(
        nn.Linear(28, 128, bias=False), hidden, nn.Linear(128, 10, bias=False), out
    )


def image() -> nn.Sequential:
    """Two convolutions of stride 2 and a dense layer."""

    def leaky(*shape: int) -> nn.Module:
        return snntorch.Leaky(
            beta=torch.full(shape, 0.8), threshold=torch.full(shape, 1.0), init_hidden=True,
            reset_mechanism="zero", reset_delay=False, spike_grad=surrogate.fast_sigmoid(10),
        )  # fmt: skip

    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False), leaky(8, 14, 14),
        nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False), leaky(16, 7, 7),
        nn.Flatten(), nn.Linear(784, 10, bias=False), leaky(10),
    )  # fmt: skip


def frames(kind: str, x: Tensor) -> Iterator[Tensor]:
    """What the network sees in each step of (samples, 28, 28) pixels."""
    for step in range(STEPS[kind]):
        yield x[:, step] if kind == "rows" else x[:, None]


def counts(kind: str, net: nn.Sequential, x: Tensor) -> tuple[Tensor, Tensor]:
    """(samples, 10) spikes of the last layer, and spikes per neuron and step of the others."""
    for layer in net:
        if hasattr(layer, "reset_mem"):
            layer.reset_mem()
    total: Tensor | None = None
    busy = torch.zeros(())
    for frame in frames(kind, x):
        value = frame
        for layer in net:
            value = layer(value)
            if isinstance(layer, snntorch.SpikingNeuron):
                busy = busy + value.mean() / STEPS[kind]
        total = value if total is None else total + value
    assert total is not None
    return total, busy


def train(kind: str, net: nn.Sequential, x: Tensor, y: Tensor) -> None:
    """Cross-entropy of the spike counts."""
    epochs = EPOCHS[kind]
    optimiser = torch.optim.Adam(net.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * (len(x) // BATCH))
    loss_of = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        order, right = torch.randperm(len(x)), 0
        for k in range(0, len(x) - BATCH + 1, BATCH):
            chosen = order[k : k + BATCH]
            found, busy = counts(kind, net, x[chosen])
            loss = loss_of(found, y[chosen]) + 0.1 * busy
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            right += int((found.argmax(1) == y[chosen]).sum())
        print(f"epoch {epoch}: {right / len(x):.4f}, {float(busy):.3f} spikes", flush=True)


def write(kind: str, net: nn.Sequential, path: Path) -> None:
    """The NIR file; `nir.write` takes arrays, not tensors."""
    first = next(frames(kind, torch.zeros(1, 28, 28)))
    counts(kind, net, torch.zeros(1, 28, 28))
    with torch.no_grad():
        written = export_to_nir(net, first, ignore_dims=[0])
    todo = [written]
    while todo:
        for node in todo.pop().nodes.values():
            todo += [node] if isinstance(node, nir.NIRGraph) else []
            for key, value in vars(node).items():
                if isinstance(value, Tensor):
                    setattr(node, key, value.detach().numpy())
    nir.write(path, written)


def main(kind: str, data: str, out: str) -> None:
    """Train one network, write it and its answers."""
    torch.manual_seed(0)
    with np.load(data) as held:
        pixels = {name: torch.tensor(held[name] > 127).float() for name in ("x_train", "x_test")}
        labels = {name: torch.tensor(held[name]).long() for name in ("y_train", "y_test")}
    pixels = {name: each.reshape(-1, 28, 28) for name, each in pixels.items()}
    net = rows() if kind == "rows" else image()
    train(kind, net, pixels["x_train"], labels["y_train"])
    with torch.no_grad():
        parts = [counts(kind, net, part)[0] for part in pixels["x_test"].split(500)]
    spikes = torch.cat(parts)
    accuracy = float((spikes.argmax(1) == labels["y_test"]).float().mean())
    print(f"{kind}: {accuracy:.4f} on the test digits")
    write(kind, net, Path(out) / f"{kind}.nir")
    first = spikes[:KEPT].numpy().astype(np.uint8)
    np.savez_compressed(Path(out) / f"{kind}.npz", accuracy=np.float64(accuracy), spikes=first)


if __name__ == "__main__":
    main(*sys.argv[1:4])
