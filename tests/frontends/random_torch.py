"""Random PyTorch modules in the ways that people write them, for comparison with their outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


class RandomNet(nn.Module):
    """Images or series through random layers, some as modules and some as functions.

    Attributes
    ----------
    example : one batch of inputs
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.rng = np.random.default_rng(seed)
        torch.manual_seed(seed)
        self.spatial = int(self.rng.integers(1, 3))
        size = [int(n) for n in self.rng.integers(9, 14, self.spatial)]
        batch, channels = (int(n) for n in self.rng.integers(1, 4, 2))
        self.example = torch.randn(batch, channels, *size)
        self.blocks = nn.ModuleList()
        x = self.example
        with torch.no_grad():
            for _ in range(int(self.rng.integers(1, 4))):
                block = self._block(x)
                self.blocks.append(block)
                x = block.eval()(x)
            self.head = self._head(x)
            for part in self.modules():
                if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
                    _settle(part)
        self.train()

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.head(x)

    def pick(self, *values: Any) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def _of(self, one: Any, two: Any) -> Any:
        return one if self.spatial == 1 else two

    def _block(self, x: Tensor) -> nn.Module:
        channels, least = x.shape[1], min(x.shape[2:])
        kind = self.pick("plain", "plain", "residual", "joined", "depthwise")
        if least < 5:
            kind = "residual"
        relu = self.pick(nn.ReLU, nn.ReLU6)()
        if kind == "residual":
            return Residual(self._conv(channels, channels, 3, padding=1), self._norm(channels))
        if kind == "joined":
            return Joined(self._conv(channels, 3, 1), self._conv(channels, 2, 3, padding=1))
        if kind == "depthwise":
            parts = (self._conv(channels, 2 * channels, 3, groups=channels),
                     self._conv(2 * channels, 4, 1), self._norm(4))  # fmt: skip
            return nn.Sequential(*parts, relu)
        conv = self._conv(
            channels, int(self.rng.integers(2, 6)), int(self.pick(2, 3)),
            stride=int(self.pick(1, 1, 2)), padding=self.pick(0, 1),
            dilation=int(self.pick(1, 1, 2)), bias=bool(self.pick(True, False)),
        )  # fmt: skip
        pool = self._of(nn.AvgPool1d, nn.AvgPool2d)
        tail = self.pick(
            nn.Identity(), nn.Dropout(0.3), pool(2), pool(2, stride=1),
            pool(3, stride=2, padding=1, count_include_pad=False), pool(3, padding=1),
        )  # fmt: skip
        first = self.pick(nn.Identity(), self._of(nn.ConstantPad1d(1, 0.0), nn.ZeroPad2d(1)))
        return nn.Sequential(first, conv, self._norm(conv.out_channels), relu, tail)

    def _conv(self, inputs: int, outputs: int, kernel: int, **options: Any) -> Any:
        return self._of(nn.Conv1d, nn.Conv2d)(inputs, outputs, kernel, **options)

    def _norm(self, channels: int) -> nn.Module:
        norm = self._of(nn.BatchNorm1d, nn.BatchNorm2d)
        return norm(channels) if self.pick(True, False) else nn.Identity()

    def _head(self, x: Tensor) -> nn.Module:
        kind = self.pick("flatten", "view", "mean", "pooled")
        width = x[0].numel() if kind in ("flatten", "view") else x.shape[1]
        return Head(kind, width, self.pick(None, 8), softmax=bool(self.pick(True, False, False)))


class Residual(nn.Module):
    """Adds what goes in."""

    def __init__(self, conv: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.conv, self.norm = conv, norm

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.norm(self.conv(x)))


class Joined(nn.Module):
    """Two convolutions side by side."""

    def __init__(self, one: nn.Module, other: nn.Module) -> None:
        super().__init__()
        self.one, self.other = one, other

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.one(x), self.other(x)], dim=1).relu()


class Head(nn.Module):
    """From channels to classes."""

    def __init__(self, kind: str, width: int, hidden: int | None, *, softmax: bool) -> None:
        super().__init__()
        self.kind, self.softmax = kind, softmax
        self.hidden = nn.Linear(width, hidden) if hidden else None
        self.last = nn.Linear(hidden or width, 4)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "flatten":
            x = torch.flatten(x, 1)
        elif self.kind == "view":
            x = x.view(x.size(0), -1)
        elif self.kind == "mean":
            x = x.mean(dim=tuple(range(2, x.dim())))
        else:
            pooled = (functional.adaptive_avg_pool1d if x.dim() == 3
                      else functional.adaptive_avg_pool2d)  # fmt: skip
            x = pooled(x, 1).flatten(1)
        if self.hidden is not None:
            x = functional.relu(self.hidden(x))
        x = self.last(x)
        return functional.softmax(x, dim=-1) if self.softmax else x


def _settle(norm: Any) -> None:
    """Statistics and factors as after some training."""
    nn.init.uniform_(norm.running_mean, -0.3, 0.3)
    nn.init.uniform_(norm.running_var, 0.5, 2.0)
    nn.init.uniform_(norm.weight, 0.5, 1.5)
    nn.init.uniform_(norm.bias, -0.3, 0.3)
