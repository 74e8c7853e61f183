"""What the tests of training share: gradients with either backend, and a small problem."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops


def gradient(function: Callable[[Any], Any], x: np.ndarray) -> np.ndarray:
    """d sum(function(x)) / dx."""
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.grad(lambda v: ops.sum(function(v)))(ops.convert_to_tensor(x)))
    import torch

    with torch.enable_grad():
        v = torch.tensor(x, requires_grad=True)
        function(v).sum().backward()
        assert v.grad is not None
        return v.grad.numpy()


def numbers(x: Any) -> np.ndarray:
    """A tensor as an array."""
    return np.asarray(ops.convert_to_numpy(x))


def blobs(samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy 8x8 images, each with a bright patch in one of six places, and the number of it."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 6, samples)
    x = rng.random((samples, 8, 8, 1)) * 0.9
    for k, (row, col) in enumerate([(0, 0), (0, 3), (0, 5), (5, 0), (5, 3), (5, 5)]):
        x[y == k, row : row + 3, col : col + 3] += 0.25
    return x.astype(np.float32), y
