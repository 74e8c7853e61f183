"""Train the CIFAR-10 network on with the spikes of the chip, and save it as `cifar10_tuned.keras`.

python -m examples.cifar10.fine_tune --data cifar10.npz
"""

from __future__ import annotations

from pathlib import Path

from examples.cifar10.train import jitter
from examples.fine_tuning import FineTuning, run

RECIPE = FineTuning(
    model=Path(__file__).with_name("cifar10.keras"),
    data="cifar10",
    jitter=jitter,
    steps=32,
    images=16_000,
    options={"neuron": {"max_rate": 400.0}},
)

if __name__ == "__main__":
    run(RECIPE, __doc__)
