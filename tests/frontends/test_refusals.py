"""What cannot be compiled is refused by name, all of it at once, and never executed."""

from __future__ import annotations

import base64
import marshal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from files import layer, sequential, weights_file, write_keras

from nmcompile.errors import ModelError, Obstacle, UnsupportedError
from nmcompile.frontends import check, load
from nmcompile.frontends.keras.refusals import REFUSED
from nmcompile.frontends.keras.registry import LAYERS
from nmcompile.ir import evaluate


def obstacles(tmp_path: Path, *layers: Any, **options: Any) -> list[Obstacle]:
    return check(write_keras(tmp_path / "model.keras", sequential(*layers, **options)))


def one(tmp_path: Path, *layers: Any, **options: Any) -> Obstacle:
    (found,) = obstacles(tmp_path, *layers, **options)
    return found


def dense(name: str, **config: Any) -> dict[str, Any]:
    return layer("Dense", name, units=3, **config)


def test_every_obstacle_is_listed_at_once_in_the_order_of_the_model(tmp_path: Path) -> None:
    found = obstacles(
        tmp_path,
        layer("Conv2D", "first", filters=4, kernel_size=[3, 3], activation="tanh"),
        layer("MaxPooling2D", "pool", pool_size=[2, 2]),
        layer("LeakyReLU", "leak", negative_slope=0.3),
        layer("LSTM", "memory", units=3),
        layer("Teleport", "unheard_of"),
        dense("last", activation="sigmoid"),
    )
    assert [each.layer for each in found] == [
        "first", "pool", "leak", "memory", "unheard_of", "last",
    ]  # fmt: skip
    assert all(each.why and each.remedy for each in found)
    assert "AveragePooling2D" in found[1].remedy
    assert "drop it" in found[5].remedy


def test_load_raises_with_all_obstacles_and_names_the_file(tmp_path: Path) -> None:
    path = write_keras(tmp_path / "m.keras", sequential(layer("LSTM", "a"), layer("GRU", "b")))
    with pytest.raises(UnsupportedError) as caught:
        load(path)
    assert [each.layer for each in caught.value.obstacles] == ["a", "b"]
    assert str(path) in str(caught.value)
    assert "2 layers" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_layer_is_both_taken_and_refused() -> None:
    assert not set(REFUSED) & set(LAYERS)


@pytest.mark.parametrize("kind", sorted(REFUSED))
def test_a_refused_layer_says_why_and_what_to_do(kind: str, tmp_path: Path) -> None:
    found = one(tmp_path, layer(kind, "it"))
    assert (found.layer, found.kind) == ("it", kind)
    assert (found.why, found.remedy) == REFUSED[kind]


def test_a_lambda_is_refused_without_its_code_being_read(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    code = marshal.dumps(compile(f"open({str(mark)!r}, 'w').close()", "<evil>", "exec"))
    payload = {
        "class_name": "__lambda__",
        "config": {"code": base64.b64encode(code).decode(), "defaults": None, "closure": None},
    }
    found = one(tmp_path, layer("Lambda", "evil", function=payload))
    assert "never run" in found.why
    assert not mark.exists()


def test_a_lambda_as_activation_is_refused(tmp_path: Path) -> None:
    found = one(
        tmp_path, dense("d", activation={"class_name": "__lambda__", "config": {"code": "x"}})
    )
    assert "__lambda__" in found.why


def test_a_custom_class_with_the_name_of_a_layer_is_refused(tmp_path: Path) -> None:
    for option in ({"module": "evil"}, {"registered_name": "evil>Dense"}):
        found = one(tmp_path, dense("d", **option))
        assert "custom class" in found.why


@pytest.mark.parametrize(
    ("made", "word"),
    [
        (layer("ReLU", "x", negative_slope=0.1), "slope"),
        (layer("ReLU", "x", threshold=1.0), "threshold"),
        (layer("ReLU", "x", max_value=0.0), "max_value"),
        (layer("Activation", "x", activation="gelu"), "gelu"),
        (layer("Activation", "x", activation="my_module>swish"), "swish"),
        (layer("Permute", "x", dims=[1, 2, 3], twist=3), "twist"),
        (layer("Flatten", "x", dtype="float8"), "float8"),
        (layer("Flatten", "x", dtype={"class_name": "QuantizedDTypePolicy", "config": {}}), "Qu"),
        (layer("BatchNormalization", "x", renorm=True), "renorm"),
        (layer("Conv2D", "x", filters=2, kernel_size=[1, 1], lora_rank=2), "lora"),
        (layer("BatchNormalization", "x", axis=0), "axis"),
        (layer("Reshape", "x", target_shape=[5, -1]), "shape"),
        (layer("Conv1D", "x", filters=2, kernel_size=[1]), "axes"),
        (layer("Conv2D", "x", filters=3, kernel_size=[1, 1], groups=3), "groups"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_an_option_that_changes_the_result_is_refused(made: Any, word: str, tmp_path: Path) -> None:
    found = one(tmp_path, made)
    assert found.layer == "x"
    assert word in found.why


def test_softmax_is_possible_only_at_the_end(tmp_path: Path) -> None:
    found = one(tmp_path, layer("Softmax", "mid"), layer("ReLU", "after"))
    assert found.layer == "mid"
    assert "last layer" in found.why
    assert obstacles(tmp_path, layer("Softmax", "end"), layer("Dropout", "d", rate=0.1)) == []


def test_an_input_of_open_shape_is_refused(tmp_path: Path) -> None:
    found = one(tmp_path, layer("ReLU", "r"), shape=(None, None, 3))
    assert found.layer == "input"
    assert "None, None, 3" in found.why


def test_a_model_with_two_inputs_is_taken(tmp_path: Path) -> None:
    def reference(name: str) -> dict[str, Any]:
        return {
            "class_name": "__keras_tensor__",
            "config": {"shape": [None, 3], "dtype": "float32", "keras_history": [name, 0, 0]},
        }

    layers = [
        {**layer("InputLayer", name, batch_shape=[None, 3]), "name": name, "inbound_nodes": []}
        for name in "ab"
    ]
    call = {"args": [[reference("a"), reference("b")]], "kwargs": {}}
    layers.append({**layer("Add", "sum"), "name": "sum", "inbound_nodes": [call]})
    config = {
        "class_name": "Functional",
        "config": {"name": "net", "layers": layers, "input_layers": [["a", 0, 0], ["b", 0, 0]],
                   "output_layers": [["sum", 0, 0]]},
    }  # fmt: skip
    network = load(write_keras(tmp_path / "m.keras", config)).network
    assert [node.name for node in network.inputs] == ["a", "b"]
    x = np.arange(6, dtype=np.float32)[None]
    np.testing.assert_array_equal(evaluate(network, x)["output"], [[3, 5, 7]])


def test_a_subclassed_model_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = write_keras(tmp_path / "m.keras", {"module": "mine", "class_name": "Net", "config": {}})
    with pytest.raises(ModelError, match="Net"):
        load(path)


def test_a_model_without_layers_is_refused(tmp_path: Path) -> None:
    for config in (sequential(), {"class_name": "Sequential", "config": {"layers": []}}):
        with pytest.raises(ModelError, match="no layers"):
            load(write_keras(tmp_path / "m.keras", config))


def test_a_model_that_was_never_built_is_refused(tmp_path: Path) -> None:
    config = sequential(dense("d"))
    del config["config"]["layers"][0]
    with pytest.raises(ModelError, match="no input shape"):
        load(write_keras(tmp_path / "m.keras", config))


def test_a_very_wide_input_is_read(tmp_path: Path) -> None:
    weights = weights_file(
        {"layers/conv2d/vars/0": [[[[0.5]] * 10]], "layers/conv2d/vars/1": [0.1]}
    )
    config = sequential(
        layer("Conv2D", "c", filters=1, kernel_size=[1, 1]),
        layer("ReLU", "r"),
        shape=(1, 10**5, 10),
    )
    network = load(write_keras(tmp_path / "m.keras", config, weights)).network
    assert network.shapes["r"] == (1, 10**5, 1)
    config = sequential(layer("ReLU", "r"), shape=(1, 1, 10**6))
    assert load(write_keras(tmp_path / "m.keras", config)).network.shapes["r"] == (1, 1, 10**6)


def test_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="type int"):
        load(3)
