"""The benchmark measures, and the shipped network reaches its goals on the shipped images."""

from __future__ import annotations

import pytest


def test_the_shipped_mnist_network_reaches_its_goals() -> None:
    pytest.importorskip("packaging")
    from tools.bench.__main__ import network

    figures = {f.name: f for f in network("mnist", None, steps=32, lost=0.3)}
    lost = figures["mnist: 1000 test images, 32 steps, lost"]
    assert lost.met
    assert figures["mnist: 1000 test images, 32 steps, chip accuracy"].value > 98.5
