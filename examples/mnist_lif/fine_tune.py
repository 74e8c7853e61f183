"""Train the LIF network on with the spikes of the chip, and save it as `mnist_lif_tuned.keras`.

python -m examples.mnist_lif.fine_tune --data mnist.npz
"""

from __future__ import annotations

from pathlib import Path

from examples.fine_tuning import FineTuning, run
from examples.mnist_lif.train import jitter

RECIPE = FineTuning(
    model=Path(__file__).with_name("mnist_lif.keras"),
    data="mnist",
    jitter=jitter,
    steps=30,
    images=16_000,
    learning_rate=3e-4,
    label_weight=0.8,
)

if __name__ == "__main__":
    run(RECIPE, __doc__)
