"""Training for the chip in Keras 3: neurons, quantised weights, rates, and fine-tuning.

Needs the extra ``keras``; works with the backends JAX and PyTorch.
"""

from __future__ import annotations

from nmcompile.errors import UsageError

try:
    import keras  # noqa: F401
except ImportError as error:
    raise UsageError(
        f"nmcompile.training needs Keras 3 and a backend for it ({error}); install them with: "
        "pip install 'nmcompile[keras]', and choose the backend with KERAS_BACKEND"
    ) from None

from nmcompile.training.encoder import ChipEncoder
from nmcompile.training.fine_tune import fine_tune
from nmcompile.training.neurons import ChipIF, ChipLIF, SoftLIF
from nmcompile.training.noise import SpikeNoise
from nmcompile.training.quantise import ChipConv2D, ChipDense
from nmcompile.training.rates import RateRange
from nmcompile.training.spikes import SpikingActivation

__all__ = [
    "ChipConv2D",
    "ChipDense",
    "ChipEncoder",
    "ChipIF",
    "ChipLIF",
    "RateRange",
    "SoftLIF",
    "SpikeNoise",
    "SpikingActivation",
    "fine_tune",
]
