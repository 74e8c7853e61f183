"""The deepest example answers on the chip as its float network does."""

from __future__ import annotations

from pathlib import Path

import nmcompile
from examples.cifar10.cifar10 import PHOTOS, with_answers
from examples.shared import images

MODEL = Path(nmcompile.__file__).parents[1] / "examples" / "cifar10_deep" / "cifar10_deep.keras"


def test_six_convolutions_on_the_chip_answer_as_in_floats() -> None:
    photos = images(PHOTOS)
    program = nmcompile.build(MODEL, calibrate=photos.x, steps=64, gain_samples=16)
    assert [layer.shape[-1] for layer in program.layers] == [32, 64, 64, 128, 128, 256]
    data = with_answers(program, images(PHOTOS, 40))
    assert data.y is not None
    assert len(set(data.y.tolist())) >= 5
    assert nmcompile.evaluate(program, data).accuracy >= 0.7
