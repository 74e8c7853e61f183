"""Records Keras models with their predictions for tests/frontends/models.

    python tools/record_keras_models.py [NAME ...]

Needs Keras 3. Each model becomes NAME.keras (some NAME.h5, too) and NAME.npz with the inputs
`x` and Keras' predictions `y`. Files called NAME.keras2.h5 are written as tf.keras 2 lays them out.
"""

from __future__ import annotations

import io
import json
import os
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "tests" / "frontends" / "models"
#: Models that are also saved as whole-model .h5 by Keras 3, and as by tf.keras 2.
OLD = ("cnn", "depthwise_separable", "nested", "nested_sequential", "frozen", "normalization")
OLDEST = (
    "cnn",
    "cnn_channels_first",
    "depthwise_separable",
    "residual_plain",
    "nested",
    "deferred",
)
RANDOM = range(100, 106)


def main() -> None:
    """Write all models."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    sys.path.insert(0, str(ROOT / "tests" / "frontends"))
    import random_models

    OUT.mkdir(exist_ok=True)
    makers = dict(random_models.covering_models())
    makers |= {f"random_{k}": (lambda k=k: random_models.random_model(k)) for k in RANDOM}
    chosen = sys.argv[1:] or list(makers)
    for name in chosen:
        model = makers[name]()
        random_models.randomise(model, seed=len(name))
        x = random_models.samples(model, 2, seed=11)
        y = np.asarray(model(x))
        np.savez_compressed(OUT / f"{name}.npz", x=x, y=y)
        write_keras(model, OUT / f"{name}.keras", compress=name != "cnn")
        if name in OLD:
            model.save(OUT / f"{name}.h5")
        if name in OLDEST:
            write_keras2(model, OUT / f"{name}.keras2.h5")
    total = sum(path.stat().st_size for path in OUT.iterdir())
    print(f"{len(chosen)} models written, {total} bytes in {OUT}")


def write_keras(model: Any, path: Path, *, compress: bool) -> None:
    """Save a `.keras` file; compressed ones are smaller and just as valid."""
    model.save(path)
    if not compress:
        return
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as source:
        parts = {info.filename: source.read(info) for info in source.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target:
        for name, data in parts.items():
            info = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            target.writestr(info, data, zipfile.ZIP_DEFLATED)


def write_keras2(model: Any, path: Path) -> None:
    """Save a model as the `save(path)` of tf.keras 2.11 does."""
    entry = json.loads(model.to_json())
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = "2.11.0"
        file.attrs["backend"] = "tensorflow"
        file.attrs["model_config"] = json.dumps(keras2_entry(entry))
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        group.attrs["backend"], group.attrs["keras_version"] = b"tensorflow", b"2.11.0"
        for layer in model.layers:
            folder = group.create_group(layer.name)
            weights = layer.trainable_weights + layer.non_trainable_weights
            names = [f"{'/'.join(each.path.split('/')[-2:])}:0" for each in weights]
            folder.attrs["weight_names"] = [name.encode() for name in names]
            for name, weight in zip(names, weights, strict=True):
                folder.create_dataset(name, data=np.asarray(weight))


def keras2_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A layer or model of a Keras 3 configuration in the words of Keras 2."""
    config = dict(entry["config"])
    kind = entry["class_name"]
    if isinstance(config.get("dtype"), dict):
        config["dtype"] = config["dtype"]["config"]["name"]
    if "batch_shape" in config:
        config["batch_input_shape"] = config.pop("batch_shape")
    for key in ("optional", "quantization_config", "synchronized", "build_config"):
        config.pop(key, None)
    for key in [key for key in config if key.startswith("renorm")]:
        del config[key]
    for key, value in config.items():
        if key.endswith("_initializer") and value:
            config[key] = {"class_name": value["class_name"], "config": value["config"]}
    if kind == "BatchNormalization":
        rank = len(entry["build_config"]["input_shape"])
        config["axis"] = [config["axis"] % rank]
    if kind == "ReLU":
        config["max_value"] = np.array(config["max_value"]).tolist()
    if kind in ("Sequential", "Functional"):
        models = {each["config"]["name"] for each in config["layers"] if "layers" in each["config"]}
        sequential = {
            each["config"]["name"]
            for each in config["layers"]
            if each["class_name"] == "Sequential"
        }
        layers = []
        for each in config["layers"]:
            layer = keras2_entry(each)
            if "inbound_nodes" in each:
                layer["name"] = each["name"]
                layer["inbound_nodes"] = [
                    [
                        [name, call + (name in models), tensor, {}]
                        for name, call, tensor in tensors(node)
                    ]
                    for node in each["inbound_nodes"]
                ]
            layers.append(layer)
        config["layers"] = layers
        for key in ("input_layers", "output_layers"):
            if key in config:
                given = config[key]
                given = [given] if isinstance(given[0], str) else given
                config[key] = [[n, c + (n in sequential), t] for n, c, t in given]
    return {"class_name": kind, "config": config}


def tensors(value: Any) -> Iterator[tuple[str, int, int]]:
    """All tensors in a Keras 3 call."""
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            yield tuple(value["config"]["keras_history"])
        else:
            yield from tensors(list(value.values()))
    elif isinstance(value, list):
        for each in value:
            yield from tensors(each)


if __name__ == "__main__":
    main()
