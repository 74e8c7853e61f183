"""What NIR means and the chip cannot have is refused by name, all of it at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from nir_files import MODELS, affine, chain, lif, node, write

from nmcompile.errors import UnsupportedError, UsageError
from nmcompile.frontends import check, load
from nmcompile.frontends.nir.dialects import DIALECTS, REFUSED


def obstacles(tmp_path: Path, graph: dict[str, Any], **options: Any) -> dict[str, str]:
    found = check(write(tmp_path / "net.nir", graph), **options)
    return {each.layer: f"{each.why}; {each.remedy}" for each in found}


def test_without_a_dialect_neurons_are_refused_with_a_list_of_dialects(tmp_path: Path) -> None:
    found = obstacles(tmp_path, chain(lif(4), lif(4)))
    assert set(found) == {"a"}
    for dialect in DIALECTS:
        assert dialect in found["a"]
    assert "--dt" in obstacles(tmp_path, chain(lif(4)), dialect="nir")["a"]


@pytest.mark.parametrize("dialect", sorted(REFUSED))
def test_tools_whose_neurons_the_chip_lacks_are_refused_with_a_reason(
    dialect: str, tmp_path: Path
) -> None:
    found = obstacles(tmp_path, chain(lif(4)), dialect=dialect)
    assert found == {"a": "; ".join(REFUSED[dialect])}
    weights = chain(affine(np.random.default_rng(0), 4, 4))
    assert obstacles(tmp_path, weights, dialect=dialect) == {}


CUBA = {
    "tau_syn": np.full(4, 0.01), "tau_mem": np.full(4, 0.01), "r": np.ones(4),
    "v_leak": np.zeros(4), "v_threshold": np.ones(4), "w_in": np.ones(4),
}  # fmt: skip


@pytest.mark.parametrize(
    ("neurons", "dialect", "words"),
    [
        (lif(4, v_leak=0.1), "norse", "starts at v_leak"),
        (lif(4, v_reset=0.2), "norse", "starts at v_leak"),
        (lif(4, r=2.0), "norse", "r is not 1"),
        (lif(4, tau=np.array([1, 2, 3, 4.0])), "norse", "different tau"),
        (lif(4, v_threshold=-0.1), "nir", "fires without input"),
        (lif(4, v_leak=0.1), "snntorch", "v_leak is not 0"),
        (lif(4, tau=1e-5), "norse", "shorter than the step"),
        (lif(4, tau=-1.0), "nir", "not positive"),
        (lif(4, r=0.0), "nir", "does nothing"),
        (node("CubaLIF", **CUBA), "norse", "names no rule"),
        (node("IF", r=np.ones(4), v_threshold=np.ones(4)), "snntorch", "snn.Leaky"),
        (node("Threshold", threshold=np.zeros(4)), "nir", "not positive"),
        (node("LI", tau=np.ones(4), r=np.ones(4), v_leak=np.ones(4)), "nir", "v_leak is not 0"),
        (node("LI", tau=np.arange(1, 5), r=np.ones(4), v_leak=np.zeros(4)), "nir", "different tau"),
        (node("Delay", delay=np.full(4, 0.0015)), "nir", "no whole steps"),
        (node("Delay", delay=np.full(4, -0.001)), "nir", "no whole steps"),
        (node("Izhikevich"), "nir", "no node of NIR"),
    ],
)
def test_a_neuron_that_the_chip_cannot_have_is_refused(
    neurons: dict[str, Any], dialect: str, words: str, tmp_path: Path
) -> None:
    found = obstacles(tmp_path, chain(neurons), dialect=dialect, dt=0.001)
    assert set(found) == {"a"}
    assert words in found["a"]


def test_all_obstacles_are_named_at_once(tmp_path: Path) -> None:
    graph = chain(node("Delay", delay=np.full(4, 0.0004)), lif(4, v_threshold=-1.0), lif(4))
    graph["nodes"]["d"] = node("I", r=np.ones(4))
    graph["nodes"]["e"] = lif(4, r=0.0)
    graph["edges"] += [("input", "d"), ("d", "b"), ("input", "e"), ("e", "c")]
    found = obstacles(tmp_path, graph, dialect="nir", dt=0.001)
    assert set(found) == {"a", "d", "e"}


def test_a_loop_without_neurons_is_refused(tmp_path: Path) -> None:
    weight = np.eye(4, dtype=np.float32)
    graph = chain(node("Linear", weight=weight), node("Linear", weight=weight), lif(4))
    graph["edges"].append(("b", "a"))
    found = obstacles(tmp_path, graph, dialect="norse")
    assert len(found) == 1
    assert "no neurons between" in next(iter(found.values()))


def test_a_loop_of_another_shape_is_refused(tmp_path: Path) -> None:
    graph = chain(lif(4), node("Linear", weight=np.ones((3, 4), np.float32)), shape=(4,))
    graph["edges"] = [("input", "a"), ("a", "b"), ("b", "a"), ("a", "output")]
    assert "add" in obstacles(tmp_path, graph, dialect="norse")["a"]


def test_options_are_checked(tmp_path: Path) -> None:
    path = write(tmp_path / "net.nir", chain(lif(4)))
    with pytest.raises(UsageError, match="there are nir, snntorch"):
        load(path, dialect="brian")
    with pytest.raises(UsageError, match="above 0"):
        load(path, dialect="nir", dt=0.0)
    keras = MODELS.parent / "models" / "cnn.keras"
    with pytest.raises(UsageError, match="only NIR files have dialects"):
        load(keras, dialect="nir")


def test_the_error_lists_every_obstacle(tmp_path: Path) -> None:
    path = write(tmp_path / "net.nir", chain(node("Izhikevich")))
    with pytest.raises(
        UnsupportedError, match=r"net\.nir: 1 layer cannot be compiled: a \(Izhikevich\)"
    ):
        load(path)
