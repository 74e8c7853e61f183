"""Records ONNX models with their frameworks' outputs for tests/frontends/onnx_models.

    KERAS_BACKEND=torch python tools/record_onnx.py

Needs PyTorch, Keras 3, onnx and onnxscript. Each model becomes NAME.onnx, and NAME.npz with the
inputs `x` and what PyTorch or Keras itself makes of them, `y`. The models are written by both
exporters of PyTorch, by Keras, and by hand as tf2onnx writes them: channels last, with
Transposes around every convolution.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
import onnx
import torch
from keras import layers as kl
from onnx import TensorProto, helper, numpy_helper
from torch import nn

OUT = Path(__file__).resolve().parent.parent / "tests" / "frontends" / "onnx_models"
#: Samples that are recorded, and the opset of the older exporter.
SAMPLES, OPSET = 3, 17


def main() -> None:
    """Write all models."""
    warnings.simplefilter("ignore")
    OUT.mkdir(exist_ok=True)
    for name, (make, shape) in TORCH.items():
        torch.manual_seed(len(name))
        model = settled(make()).eval()
        x = torch.rand(SAMPLES, *shape)
        y = model(x).detach().numpy()
        for exporter in ("dynamo", "script"):
            label = f"torch_{exporter}_{name}"
            export_torch(model, x, OUT / f"{label}.onnx", dynamo=exporter == "dynamo")
            np.savez_compressed(OUT / f"{label}.npz", x=x.numpy(), y=y)
    for name, make in KERAS.items():
        keras.utils.set_random_seed(len(name))
        model = make()
        randomise(model)
        x = np.random.default_rng(5).random((SAMPLES, *model.input_shape[1:]), np.float32)
        y = np.asarray(model.predict(x, verbose=0))
        model.export(OUT / f"keras_{name}.onnx", format="onnx", verbose=False)
        onnx.save(as_tf2onnx(model), OUT / f"tf2onnx_{name}.onnx")
        for writer in ("keras", "tf2onnx"):
            np.savez_compressed(OUT / f"{writer}_{name}.npz", x=x, y=y)
    total = sum(path.stat().st_size for path in OUT.iterdir())
    print(f"{len(list(OUT.glob('*.onnx')))} models, {total} bytes in {OUT}")


def export_torch(model: nn.Module, x: torch.Tensor, path: Path, *, dynamo: bool) -> None:
    """One model by one of PyTorch's exporters, with an open number of samples."""
    options: dict[str, Any] = {"input_names": ["input"], "dynamo": dynamo}
    if dynamo:
        batch = torch.export.Dim("batch", max=1024)
        torch.onnx.export(
            model, (x,), path, external_data=False, dynamic_shapes=({0: batch},), **options
        )
        proto = onnx.load(path)
        for node in proto.graph.node:  # traces of the exporting machine
            del node.metadata_props[:]
        for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output):
            del value.metadata_props[:]
        del proto.graph.metadata_props[:], proto.metadata_props[:]
        onnx.save(proto, path)
    else:
        axes = {"input": {0: "batch"}}
        torch.onnx.export(model, (x,), path, dynamic_axes=axes, opset_version=OPSET, **options)


def settled(model: nn.Module) -> nn.Module:
    """Batch norms with statistics as after training."""
    for each in model.modules():
        if isinstance(each, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.normal_(each.running_mean, 0.0, 0.3)
            nn.init.uniform_(each.running_var, 0.5, 2.0)
            nn.init.uniform_(each.weight, 0.5, 1.5)
            nn.init.normal_(each.bias, 0.0, 0.2)
    return model


class Residual(nn.Module):
    """Skip connections, a concatenation, a mean over the image, and a computed view."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.a = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.b = nn.Conv2d(12, 5, (3, 2), stride=(2, 1), dilation=(1, 2))
        self.head = nn.Linear(5, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem((x - 0.5) / 0.25))
        y = torch.relu(x + self.norm(self.a(x)))
        z = torch.relu(self.b(torch.cat([x, y], 1))).mean((2, 3), keepdim=True)
        return self.head(z.view(z.size(0), -1))


class Series(nn.Module):
    """Convolutions over time, with dropout, and dense layers on each step."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv1d(2, 6, 3, padding=2, dilation=2)
        self.norm = nn.BatchNorm1d(6)
        self.pool = nn.AvgPool1d(3, 2, padding=1)
        self.steps = nn.Linear(6, 4)
        self.head = nn.Linear(4 * 8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(torch.relu(self.norm(self.a(x))))
        x = torch.relu(self.steps(nn.functional.dropout(x, 0.2, self.training).transpose(1, 2)))
        return torch.softmax(self.head(x.reshape(x.size(0), -1)), -1)


TORCH: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "cnn": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 6, 5, bias=False), nn.BatchNorm2d(6), nn.ReLU6(),
            nn.AvgPool2d(2, ceil_mode=True), nn.ZeroPad2d((1, 0, 2, 1)),
            nn.Conv2d(6, 8, 3, stride=2, groups=2), nn.ReLU(), nn.Dropout(0.3),
            nn.AvgPool2d(2, stride=1, padding=1), nn.Flatten(),
            nn.Linear(160, 20), nn.ReLU(), nn.Linear(20, 10),
        ),
        (1, 16, 15),
    ),
    "dense": (
        lambda: nn.Sequential(
            nn.Flatten(), nn.Linear(12, 9), nn.BatchNorm1d(9), nn.ReLU(),
            nn.Linear(9, 4, bias=False), nn.Softmax(1),
        ),
        (3, 4),
    ),
    "global": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3, padding="same"), nn.Hardtanh(0.0, 1.0), nn.Conv2d(4, 4, 3, groups=4),
            nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
        ),
        (2, 7, 9),
    ),
    "residual": (Residual, (3, 9, 8)),
    "series": (Series, (2, 16)),
}  # fmt: skip


def keras_cnn() -> Any:
    return keras.Sequential([
        kl.Input((11, 10, 3)), kl.Conv2D(5, 3, strides=2, padding="same"), kl.BatchNormalization(),
        kl.ReLU(), kl.DepthwiseConv2D(3, padding="same", use_bias=False), kl.ReLU(),
        kl.AveragePooling2D(2), kl.Flatten(), kl.Dense(7, activation="relu"), kl.Dropout(0.2),
        kl.Dense(4, activation="softmax"),
    ])  # fmt: skip


def keras_global() -> Any:
    return keras.Sequential([
        kl.Input((8, 9, 2)), kl.Conv2D(4, (3, 2), activation="relu"),
        kl.Conv2D(5, 2, dilation_rate=2), kl.ReLU(), kl.GlobalAveragePooling2D(), kl.Dense(3),
    ])  # fmt: skip


KERAS: dict[str, Callable[[], Any]] = {"cnn": keras_cnn, "global": keras_global}


def randomise(model: Any) -> None:
    """Weights as after training, batch norms' included."""
    rng = np.random.default_rng(4)
    for weight in model.weights:
        low, high = (0.5, 1.5) if "var" in weight.path or "gamma" in weight.path else (-0.5, 0.5)
        weight.assign(rng.uniform(low, high, weight.shape))


def as_tf2onnx(model: Any) -> onnx.ModelProto:
    """A Sequential Keras model in the words of tf2onnx 1.16."""
    writer = Tf2Onnx(model.name)
    here = "input_1"
    for layer in model.layers:
        here = writer.layer(layer, here)
    shapes = {"input_1": model.input_shape, here: model.output_shape}
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["unk__1", *shape[1:]])
        for name, shape in shapes.items()
    ]
    graph = helper.make_graph(
        writer.nodes, "tf2onnx", [ports[0]], [ports[1]], initializer=writer.held
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    made.producer_name = "written as by tf2onnx"
    return made


class Tf2Onnx:
    """Collects operators, named as TensorFlow's operations are."""

    def __init__(self, model: str) -> None:
        self.scope = f"StatefulPartitionedCall/{model}"
        self.nodes: list[onnx.NodeProto] = []
        self.held: list[onnx.TensorProto] = []

    def add(self, kind: str, inputs: list[str], name: str, **options: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [f"{name}:0"], name=name, **options))
        return f"{name}:0"

    def constant(self, value: Any, name: str) -> str:
        self.held.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def layer(self, layer: Any, x: str) -> str:
        name, kind = f"{self.scope}/{layer.name}", type(layer).__name__
        weights = [np.asarray(each) for each in layer.get_weights()]
        if kind in ("Conv2D", "DepthwiseConv2D", "AveragePooling2D"):
            x = self.add("Transpose", [x], f"{name}__6", perm=[0, 3, 1, 2])
            x = self.window(layer, kind, x, name, weights)
            x = self.add("Transpose", [x], f"{name}__8", perm=[0, 2, 3, 1])
        elif kind == "BatchNormalization":
            x = self.add("Transpose", [x], f"{name}__12", perm=[0, 3, 1, 2])
            parts = [self.constant(w, f"{name}/{k}") for k, w in enumerate(weights)]
            x = self.add("BatchNormalization", [x, *parts], f"{name}/FusedBatchNormV3",
                         epsilon=layer.epsilon)  # fmt: skip
            x = self.add("Transpose", [x], f"{name}__14", perm=[0, 2, 3, 1])
        elif kind == "Flatten":
            size = int(np.prod(layer.input.shape[1:]))
            target = self.constant(np.array([-1, size], np.int64), f"{name}/const")
            x = self.add("Reshape", [x, target], f"{name}/Reshape")
        elif kind == "GlobalAveragePooling2D":
            x = self.add("ReduceMean", [x], f"{name}/Mean", axes=[1, 2], keepdims=0)
        elif kind == "Dense":
            x = self.add("MatMul", [x, self.constant(weights[0], f"{name}/w")], f"{name}/MatMul")
            x = self.add("Add", [x, self.constant(weights[1], f"{name}/b")], f"{name}/BiasAdd")
        activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
        if kind == "ReLU" or activation == "relu":
            x = self.add("Relu", [x], f"{name}/Relu")
        elif activation == "softmax":
            x = self.add("Softmax", [x], f"{name}/Softmax", axis=-1)
        return x

    def window(self, layer: Any, kind: str, x: str, name: str, weights: list[Any]) -> str:
        auto = "SAME_UPPER" if layer.padding == "same" else "VALID"
        strides = list(layer.strides)
        if kind == "AveragePooling2D":
            return self.add("AveragePool", [x], f"{name}/AvgPool", auto_pad=auto, strides=strides,
                            kernel_shape=list(layer.pool_size))  # fmt: skip
        kernel, groups = weights[0].transpose(3, 2, 0, 1), 1
        if kind == "DepthwiseConv2D":
            kernel, groups = weights[0].transpose(2, 3, 0, 1), weights[0].shape[2]
        parts = [self.constant(kernel, f"{name}/kernel")]
        if layer.use_bias:
            parts.append(self.constant(weights[1], f"{name}/bias"))
        return self.add(
            "Conv", [x, *parts], f"{name}/Conv2D", auto_pad=auto, strides=strides, group=groups,
            dilations=list(layer.dilation_rate), kernel_shape=list(kernel.shape[2:]),
        )  # fmt: skip


if __name__ == "__main__":
    main()
