"""The PyTorch side: dense float passes of the network; runs in its own environment.

Reads one JSON object a line, {"batch": images, "last": channels last or not}; answers with the
seconds that a forward pass takes.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import torch
from torch import nn

THREADS = 2
#: A measurement runs passes for so long.
SECONDS = 0.5


def network(weights: dict[str, np.ndarray]) -> nn.Module:
    """The CNN with the weights that were trained."""

    def conv(name: str, stride: int) -> nn.Module:
        kernel = torch.tensor(weights[f"{name}.weights"]).permute(3, 2, 0, 1).contiguous()
        made = nn.Conv2d(kernel.shape[1], kernel.shape[0], kernel.shape[2:], stride)
        made.weight.data, made.bias.data = kernel, torch.tensor(weights[f"{name}.bias"])
        return made

    def dense(name: str, kernel: np.ndarray) -> nn.Module:
        made = nn.Linear(*kernel.shape)
        made.weight.data = torch.tensor(kernel).T.contiguous()
        made.bias.data = torch.tensor(weights[f"{name}.bias"])
        return made

    channels = weights["conv2.weights"].shape[3]
    hidden = weights["dense.weights"]
    # PyTorch flattens channels first.
    rows = hidden.reshape(-1, channels, hidden.shape[1]).transpose(1, 0, 2).reshape(hidden.shape)
    return nn.Sequential(
        *(conv("encoder", 1), nn.ReLU(), conv("conv1", 2), nn.ReLU(), conv("conv2", 2), nn.ReLU()),
        *(nn.Flatten(), dense("dense", rows), nn.ReLU()),
        dense("readout", weights["readout.weights"]),
    ).eval()


def main() -> None:
    """Answer until the input ends."""
    torch.set_num_threads(THREADS)
    with np.load(sys.argv[1]) as file:
        given = dict(file)
    images = torch.tensor(given.pop("x")).permute(0, 3, 1, 2).contiguous()
    model = network(given)
    with torch.inference_mode():
        scores = model(images).numpy()
        print(json.dumps({"version": torch.__version__, "scores": scores.tolist()}), flush=True)
        for line in sys.stdin:
            asked = json.loads(line)
            order = torch.channels_last if asked["last"] else torch.contiguous_format
            model = model.to(memory_format=order)
            batch = images.repeat(asked["batch"] // len(images) + 1, 1, 1, 1)[: asked["batch"]]
            batch = batch.contiguous(memory_format=order)
            for _ in range(3):
                model(batch)
            times, end = [], time.perf_counter() + SECONDS
            while time.perf_counter() < end or len(times) < 3:
                begin = time.perf_counter()
                model(batch)
                times.append(time.perf_counter() - begin)
            print(json.dumps({"seconds": min(times)}), flush=True)


if __name__ == "__main__":
    main()
