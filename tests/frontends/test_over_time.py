"""Models with a time axis are read as what they do in one step."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from files import MODELS, layer, sequential, write_keras

from nmcompile.errors import Obstacle
from nmcompile.frontends import check, load
from nmcompile.ir.nodes import Spiking

SPIKES = layer(
    "SpikingActivation",
    "spikes",
    registered_name="nmcompile>SpikingActivation",
    module="nmcompile.training.spikes",
    neuron={"class_name": "ChipIF", "config": {"name": "neuron", "tau_ref": 0.0, "dt": 0.001}},
    spiking_aware_training=True,
)


def obstacles(tmp_path: Path, *layers: Any, shape: tuple[int, ...]) -> list[Obstacle]:
    return check(write_keras(tmp_path / "model.keras", sequential(*layers, shape=shape)))


def test_the_time_axis_is_left_out_and_neurons_are_the_models_own() -> None:
    network = load(MODELS / "over_time.keras").network
    assert network.inputs[0].size == (6,)
    neurons = [node for node in network if isinstance(node, Spiking)]
    assert [node.tau_rc_s for node in neurons] == [0.005, None]
    assert all(node.own for node in neurons)


def test_a_layer_that_looks_across_steps_is_refused_by_name(tmp_path: Path) -> None:
    across = layer("Conv1D", "across", filters=2, kernel_size=[3])
    (found,) = obstacles(tmp_path, SPIKES, across, shape=(12, 6))
    assert found.layer == "across"
    assert "time axis" in found.why
    assert "SpikingActivation" in found.remedy


def test_images_over_time_are_not_averaged_over_more_than_time(tmp_path: Path) -> None:
    mean = layer("GlobalAveragePooling1D", "mean")
    (found,) = obstacles(tmp_path, SPIKES, mean, shape=(12, 6, 2))
    assert found.layer == "mean"


def test_time_distributed_layers_without_spikes_are_refused(tmp_path: Path) -> None:
    held = {"class_name": "Dense", "config": {"name": "dense", "units": 2}}
    (found,) = obstacles(tmp_path, layer("TimeDistributed", "each", layer=held), shape=(12, 6))
    assert (found.layer, found.kind) == ("each", "TimeDistributed")
    assert "frames" in found.remedy
