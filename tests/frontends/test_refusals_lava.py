"""What a network of lava-dl cannot bring to the chip is refused by name, all at once."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from lava_files import MODELS, conv, dense, neuron, source, write

from nmcompile.api import build
from nmcompile.errors import CompileError, UnsupportedError, UsageError
from nmcompile.frontends import check, load
from nmcompile.frontends.nir.write import write as write_nir


def bare(layer: dict[str, Any]) -> dict[str, Any]:
    """A layer without neurons."""
    return {key: value for key, value in layer.items() if not key.startswith("neuron")}


def obstacles(path: Path) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [f"{each.layer}: {each.why}; {each.remedy}" for each in check(path)]


@pytest.mark.parametrize("kind", ["average", "concat", "pool", "unpool", "convT", "dense_comp"])
def test_layers_that_netx_does_not_take_are_refused(kind: str, tmp_path: Path) -> None:
    (found,) = obstacles(write(tmp_path / "net.net", source(2), {"type": kind, "shape": [2]}))
    assert found.startswith(f"{kind}_1: ")
    assert "NetX does not take it" in found or "complex" in found


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"type": "SDNN"}, "sigma-delta"),
        ({"type": "RF_PHASE"}, "resonate-and-fire"),
        ({"type": "ALIF"}, "adaptive"),
        ({"type": "other"}, "unknown type 'other'"),
        ({"refDelay": 3}, "refDelay of 3"),
        ({"wgtExp": 1}, "wgtExp of 1 asks for a weight exponent"),
        ({"weight_exp": np.array([-2.0])}, "weight_exp of -2 asks for a weight exponent"),
        ({"gradedSpike": True}, "graded spikes"),
        ({"messageBits": 16}, "graded spikes"),
        ({"iDecay": 0}, "iDecay of 0 is outside 1..4096"),
        ({"vDecay": 4096}, "vDecay of 4096 is outside 0..4095"),
        ({"vThMant": 2**18 - 1}, "vThMant of 262143 is outside 1..131071"),
        ({"vThMant": 0}, "vThMant of 0 is outside"),
    ],
)
def test_neurons_that_the_chips_are_not_are_refused(
    changed: dict[str, Any], words: str, tmp_path: Path
) -> None:
    layer = {**dense([[3, 4]]), **neuron(**{"refDelay": 1, **_named(changed)})}
    (found,) = obstacles(write(tmp_path / "net.net", source(2), layer))
    assert words in found


def _named(changed: dict[str, Any]) -> dict[str, Any]:
    names = {"iDecay": "i_decay", "vDecay": "v_decay", "vThMant": "threshold"}
    return {names.get(key, key): value for key, value in changed.items()}


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([source(1, 4, 4), dense(np.ones((2, 16)))], "put a flatten layer between"),
        ([source(4), source(4), dense(np.ones((2, 4)))], "second input"),
        ([conv(np.ones((1, 1, 2, 2)), (1, 2, 2))], "no input layer says"),
        ([source(4)], "no layer of the network has neurons"),
        ([{**source(4), **neuron(type="SDNN")}, dense(np.ones((2, 4)))], "sigma-delta"),
        ([source(2), {**dense([[3, 4]]), "delay": 63.0}], "go from 63 to 63"),
        ([source(2), {**dense([[3, 4]]), "delay": -1.0}], "go from -1 to -1"),
        ([source(2), {**dense([[3, 4]]), "type": "dense_rec", "weight_rec": [[1.0]],
          "delay": [1.0]}], "recurrent layers with delays at another scale"),
        ([source(1, 3, 3), conv(np.ones((1, 1, 2, 2)), (1, 2, 2), delay=[1.0])],
         "leaves out of convolutions"),
        ([source(2), bare(dense([[3, 4]])), dense([[5]])], "names no neurons"),
        ([source(2), dense([[3, 4]]), {**bare(dense([[3]])), "delay": 2.0}], "delays, but no"),
    ],
)  # fmt: skip
def test_what_fits_no_layer_is_refused(
    layers: list[dict[str, Any]], words: str, tmp_path: Path
) -> None:
    assert words in obstacles(write(tmp_path / "net.net", *layers))[0]


def test_all_obstacles_are_listed_at_once(tmp_path: Path) -> None:
    layers = [source(2), {**dense([[3, 4]]), **neuron(refDelay=2)}, {"type": "average"},
              {"type": "strange"}]  # fmt: skip
    found = obstacles(write(tmp_path / "net.net", *layers))
    assert [each.partition(":")[0] for each in found] == ["dense_1", "average_2", "strange_3"]


@pytest.mark.parametrize(
    ("layer", "options", "words"),
    [
        (dense([[201, -4]]), {}, ("input", "dense_1", "201", "without rounding")),
        (dense([[100, -5]]), {"weight_bits": 4}, ("dense_1", "in 4 bits")),
        (dense([[9, 5]], bias=[90000.0]), {}, ("dense_1", "bias of 5760000")),
    ],
)
def test_numbers_that_no_register_holds_are_refused_and_not_rounded(
    layer: dict[str, Any], options: dict[str, Any], words: tuple[str, ...], tmp_path: Path
) -> None:
    path = write(tmp_path / "net.net", source(2), layer)
    with pytest.raises(CompileError) as error:
        build(path, steps=4, **options)
    for word in words[1:]:
        assert word in str(error.value)


def test_options_that_make_no_sense_are_refused() -> None:
    path = MODELS / "slayer_dense.net"
    with pytest.raises(UsageError, match="only NIR files have dialects"):
        load(path, dialect="lava")
    with pytest.raises(UsageError, match="trained for steps of 0.001 s"):
        build(path, dt=0.002)


def test_nir_holds_no_registers(tmp_path: Path) -> None:
    network = load(MODELS / "slayer_dense.net").network
    with pytest.raises(UnsupportedError, match="quantised already"):
        write_nir(network, tmp_path / "copy.nir")
