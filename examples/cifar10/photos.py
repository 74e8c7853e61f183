"""Cut small pictures from photographs in the public domain, in the size of CIFAR-10's.

    pip install scikit-image
    python -m examples.cifar10.photos

CIFAR-10's own images have no clear licence and are not shipped. These have no labels: they show
whether the chip answers as the float network does.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import skimage.data

SIZE = 32
#: Crops are squares of so many times that size, and are then scaled down by it.
SHRINK = (2, 3, 4, 6, 8)
PER_PHOTO = 40
#: Of scikit-image, whose documentation states the licence of each: public domain or CC0.
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")


def crops(seed: int = 1) -> np.ndarray:
    """(n, 32, 32, 3) uint8, in an order that mixes the photographs."""
    rng = np.random.default_rng(seed)
    made = []
    for name in PHOTOS:
        photo = getattr(skimage.data, name)()
        for number in range(PER_PHOTO):
            shrink = SHRINK[number % len(SHRINK)]
            side = SIZE * shrink
            top, left = (int(rng.integers(0, room - side + 1)) for room in photo.shape[:2])
            square = photo[top : top + side, left : left + side, :3].astype(np.float64)
            small = square.reshape(SIZE, shrink, SIZE, shrink, 3).mean(axis=(1, 3))
            made.append(small.round().astype(np.uint8))
    return np.stack(made)[rng.permutation(len(made))]


if __name__ == "__main__":
    path = Path(__file__).with_name("photos.npz")
    np.savez_compressed(path, x=crops())
    print(f"wrote {path.name}, {path.stat().st_size / 1024:.0f} KB")
