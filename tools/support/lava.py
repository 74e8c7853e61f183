"""Networks that lava-dl wrote for the tests, and layers of its files that are refused."""

from __future__ import annotations

from pathlib import Path

from tests.frontends.files import MODELS
from tools.support.probe import Made, Maker


def recorded(name: str) -> Maker:
    """A file that lava-dl wrote."""

    def make(folder: Path) -> Made:
        return Made(MODELS.with_name("lava_models") / f"{name}.net", None)

    return make


PROBES: dict[str, Maker | str] = {
    "dense": recorded("slayer_dense"),
    "conv2d": recorded("slayer_conv"),
    "transposed": "convT",
    "average": "average",
    "max": "pool",
    "reshape": "flatten",
    "concat": "concat",
    "lif": recorded("slayer_dense"),
    "current": recorded("slayer_cuba"),
    "recurrent": recorded("slayer_recurrent"),
    "delay": recorded("slayer_delays"),
    "over time": recorded("slayer_dense"),
}
