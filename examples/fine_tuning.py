"""What the scripts share that train a network on with the spikes of the chip."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

from examples.training import Jitter, accuracy, load, split
from nmcompile.training import fine_tune


@dataclass(frozen=True)
class FineTuning:
    """How a trained network is trained on.

    Attributes
    ----------
    model : file of the network; the result lies beside it, with `_tuned` behind its name
    data : name of the data set in `keras.datasets`
    jitter : moves images about, for augmentation
    steps, options : of the build
    images, epochs, learning_rate, label_weight : of the training
    """

    model: Path
    data: str
    jitter: Jitter
    steps: int
    images: int
    epochs: int = 1
    learning_rate: float = 1e-4
    label_weight: float = 0.5
    options: Mapping[str, Any] = field(default_factory=dict)


def run(recipe: FineTuning, description: str) -> None:
    """Train on images that training saw, save the network, and print float accuracies."""
    result = recipe.model.with_stem(f"{recipe.model.stem}_tuned")
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--data", type=Path, help=f"{recipe.data}.npz; default: download it")
    parser.add_argument("--model", type=Path, default=recipe.model, help="network to begin with")
    parser.add_argument("--images", type=int, default=recipe.images)
    parser.add_argument("--epochs", type=int, default=recipe.epochs)
    parser.add_argument("--learning-rate", type=float, default=recipe.learning_rate)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=result, help="file to write")
    options = parser.parse_args()

    train, test = load(recipe.data, options.data)
    images, _ = split(train, options.seed)
    chosen = images.take(slice(options.images))
    model = keras.models.load_model(options.model)
    tuned = fine_tune(
        model,
        (chosen.x, chosen.y),
        steps=recipe.steps,
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        label_weight=recipe.label_weight,
        augment=recipe.jitter,
        seed=options.seed,
        verbose=2,
        **recipe.options,
    )
    tuned.save(options.out, include_optimizer=False)
    print(f"float accuracy {accuracy(model, test):.4f}, fine-tuned {accuracy(tuned, test):.4f}")
