"""Train the CIFAR-10 network on with the spikes of the chip, and save it as `cifar10_tuned.keras`.

python -m examples.cifar10.fine_tune --data cifar10.npz
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras

from examples.cifar10.train import jitter
from examples.training import accuracy, load, split
from nmcompile.training import fine_tune

FOLDER = Path(__file__).parent
STEPS = 32


def main() -> None:
    """Fine-tune on images that training saw, and print the float accuracy before and after."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="cifar10.npz; default: download it")
    parser.add_argument("--images", type=int, default=8000)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--learning-rate", type=float, default=3e-5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=FOLDER / "cifar10_tuned.keras")
    options = parser.parse_args()

    train, test = load("cifar10", options.data)
    images, _ = split(train, options.seed)
    chosen = images.take(slice(options.images))
    model = keras.models.load_model(FOLDER / "cifar10.keras")
    tuned = fine_tune(
        model,
        (chosen.x, chosen.y),
        steps=STEPS,
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        augment=jitter,
        seed=options.seed,
        verbose=1,
    )
    tuned.save(options.out, include_optimizer=False)
    print(f"float accuracy {accuracy(model, test):.4f}, fine-tuned {accuracy(tuned, test):.4f}")


if __name__ == "__main__":
    main()
