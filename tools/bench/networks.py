"""Well-known networks with real shapes and random weights, for measuring the mapper."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from math import prod

import numpy as np

from nmcompile.chip.discrete import DiscreteConnection, DiscreteGraph, DiscreteLayer
from nmcompile.chip.program import Encoder
from nmcompile.hardware import HardwareModel
from nmcompile.ir import Network, nodes
from nmcompile.ir.layers import Connection, Window
from nmcompile.ir.nodes import Node
from nmcompile.passes.add_encoder import AddEncoder
from nmcompile.passes.base import NmcompileWarning
from nmcompile.passes.connect import Connect
from nmcompile.passes.discretise import Discretise
from nmcompile.passes.fold_affine import FoldAffine
from nmcompile.passes.merge_pooling import MergePooling
from nmcompile.passes.options import BuildOptions, checked_options
from nmcompile.passes.scale_rates import ScaleRates
from nmcompile.passes.spike import Spike
from nmcompile.passes.split import Split

#: Random inputs that rates are scaled by; what is measured here does not depend on them.
SAMPLES = 2


@dataclass
class Chain:
    """Layers one behind the other, from an input of (rows, columns, channels)."""

    name: str
    size: tuple[int, ...]
    seed: int = 0
    layers: list[Node] = field(default_factory=list)
    last: str = "image"
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.layers.append(nodes.Input(name="image", size=self.size))
        self.shape = self.size

    def add(self, node: Node) -> str:
        """Append a node whose inputs are known."""
        self.layers.append(node)
        shapes = [self.shape] * len(node.inputs)
        self.shape, self.last = node.shape(shapes), node.name
        return node.name

    def relu(self, name: str) -> str:
        """A ReLU."""
        return self.add(nodes.ReLU(name=name, inputs=(self.last,), origin=(name,)))

    def conv(
        self,
        name: str,
        size: int,
        channels: int,
        stride: int = 1,
        *,
        groups: int = 1,
        same: bool = True,
        relu: bool = True,
    ) -> str:
        """A convolution, padded as TensorFlow's "same" does, and a ReLU."""
        padding = [(0, 0), (0, 0)]
        if same:
            for axis in (0, 1):
                n = self.shape[axis]
                total = max((-(-n // stride) - 1) * stride + size - n, 0)
                padding[axis] = (total // 2, total - total // 2)
        shape = (size, size, self.shape[2] // groups, channels)
        weights = self.rng.normal(size=shape) * np.sqrt(2 / prod(shape[:3]))
        self.add(
            nodes.Conv2d(
                name=f"{name}/linear",
                inputs=(self.last,),
                origin=(name,),
                weights=weights.astype(np.float32),
                bias=(self.rng.normal(size=channels) * 0.1).astype(np.float32),
                stride=(stride, stride),
                padding=(padding[0], padding[1]),
                groups=groups,
            )
        )
        return self.relu(name) if relu else self.last

    def depthwise(self, name: str, stride: int = 1) -> str:
        """A depthwise 3x3 convolution and a ReLU."""
        return self.conv(name, 3, self.shape[2], stride, groups=self.shape[2])

    def pool(self, name: str, size: int) -> str:
        """Average pooling."""
        return self.add(
            nodes.AvgPool2d(
                name=name,
                inputs=(self.last,),
                origin=(name,),
                size=(size, size),
                stride=(size, size),
            )
        )

    def dense(self, name: str, outputs: int, *, relu: bool = True) -> str:
        """A dense layer on whatever came before, and a ReLU."""
        if len(self.shape) > 1:
            self.add(nodes.Flatten(name=f"{name}/flat", inputs=(self.last,)))
        inputs = self.shape[0]
        weights = self.rng.normal(size=(inputs, outputs)) * np.sqrt(2 / inputs)
        linear = f"{name}/linear" if relu else name
        self.add(
            nodes.Dense(
                name=linear,
                inputs=(self.last,),
                origin=(name,),
                weights=weights.astype(np.float32),
                bias=(self.rng.normal(size=outputs) * 0.1).astype(np.float32),
            )
        )
        return self.relu(name) if relu else self.last

    def network(self) -> Network:
        """The network, with its output."""
        self.layers.append(nodes.Output(name="output", inputs=(self.last,)))
        return Network.build(self.layers, name=self.name)


def keras_to_loihi() -> Network:
    """nengo-loihi's example: 1x1x3 encoder, two strided convolutions, dense 100."""
    chain = Chain("keras-to-loihi", (28, 28, 1))
    chain.conv("encoder", 1, 3)
    chain.conv("conv1", 3, 32, 2, same=False)
    chain.conv("conv2", 3, 64, 2, same=False)
    chain.dense("dense", 100)
    chain.dense("scores", 10, relu=False)
    return chain.network()


def mobilenet() -> Network:
    """MobileNet v1, alpha 1, 128x128 input, batch norm folded."""
    chain = Chain("mobilenet", (128, 128, 3))
    chain.conv("conv1", 3, 32, 2)
    plan = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)]
    plan += [(512, 1)] * 5 + [(1024, 2), (1024, 1)]
    for number, (channels, stride) in enumerate(plan, start=1):
        chain.depthwise(f"depthwise{number}", stride)
        chain.conv(f"pointwise{number}", 1, channels)
    chain.pool("pool", 4)
    chain.dense("scores", 1000, relu=False)
    return chain.network()


def cifar10_cnn() -> Network:
    """Three times convolution and average pooling, dense 512; a learnt 1x1x4 encoder."""
    chain = Chain("cifar10-cnn", (32, 32, 3))
    chain.conv("encoder", 1, 4)
    for number, channels in enumerate((32, 64, 128), start=1):
        chain.conv(f"conv{number}", 3, channels)
        chain.pool(f"pool{number}", 2)
    chain.dense("dense", 512)
    chain.dense("scores", 10, relu=False)
    return chain.network()


def vgg16() -> Network:
    """VGG-16 for CIFAR-10 with average pooling; its first layer is the encoder."""
    chain = Chain("vgg16", (32, 32, 3))
    for block, (count, channels) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))):
        for number in range(count):
            chain.conv(f"conv{block + 1}_{number + 1}", 3, channels)
        chain.pool(f"pool{block + 1}", 2)
    chain.dense("dense", 512)
    chain.dense("scores", 10, relu=False)
    return chain.network()


def resnet20() -> Network:
    """ResNet-20 for CIFAR-10, with 1x1 convolutions where shapes change."""
    chain = Chain("resnet20", (32, 32, 3))
    chain.conv("conv1", 3, 16)
    for stage, channels in enumerate((16, 32, 64), start=1):
        for block in range(1, 4):
            name = f"block{stage}_{block}"
            stride = 2 if stage > 1 and block == 1 else 1
            start, shape = chain.last, chain.shape
            chain.conv(f"{name}/a", 3, channels, stride)
            left = chain.conv(f"{name}/b", 3, channels, relu=False)
            right = start
            if stride != 1:
                chain.last, chain.shape = start, shape
                right = chain.conv(f"{name}/skip", 1, channels, stride, relu=False)
            chain.add(nodes.Add(name=f"{name}/sum", inputs=(left, right)))
            chain.relu(name)
    chain.pool("pool", 8)
    chain.dense("scores", 10, relu=False)
    return chain.network()


def pilotnet() -> Network:
    """PilotNet: five convolutions, dense 1164, 100, 50, 10; its first layer is the encoder."""
    chain = Chain("pilotnet", (66, 200, 3))
    for number, (size, channels, stride) in enumerate(
        ((5, 24, 2), (5, 36, 2), (5, 48, 2), (3, 64, 1), (3, 64, 1)), start=1
    ):
        chain.conv(f"conv{number}", size, channels, stride, same=False)
    for number, outputs in enumerate((1164, 100, 50, 10), start=1):
        chain.dense(f"dense{number}", outputs)
    chain.dense("angle", 1, relu=False)
    return chain.network()


def mlp() -> Network:
    """784-500-500-10, an encoder neuron for each input."""
    chain = Chain("mlp", (784,))
    chain.dense("dense1", 500)
    chain.dense("dense2", 500)
    chain.dense("scores", 10, relu=False)
    return chain.network()


def discrete(
    network: Network, hardware: HardwareModel, *, host_layers: int | None = None
) -> DiscreteGraph:
    """A network's discretised layers, with rates scaled on a few random inputs."""
    options = checked_options(gain_samples=0, host_layers=host_layers)
    x = np.random.default_rng(0).random((SAMPLES, *network.inputs[0].size), dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NmcompileWarning)
        return _discrete(network, hardware, options, x)


def _discrete(
    network: Network, hardware: HardwareModel, options: BuildOptions, x: np.ndarray
) -> DiscreteGraph:
    value = FoldAffine().run(network)
    value = AddEncoder(options.encoder, options.host_layers, x).run(value)
    value = MergePooling().run(value)
    value = Split(options.host_layers or 1, options.readout).run(value)
    value = ScaleRates(options, x).run(Spike(options).run(value))
    step = Discretise(hardware, options.weight_bits, options.steps, (0.0, 1.0))
    return step.run(Connect().run(value))


def reservoir(neurons: int = 10_000, share: float = 0.01, seed: int = 0) -> DiscreteGraph:
    """Neurons with random connections to each other, driven by one input each."""
    rng = np.random.default_rng(seed)
    weights = np.zeros((neurons, neurons), np.int16)
    per_neuron = round(neurons * share)
    for target in range(neurons):
        sources = rng.choice(neurons, per_neuron, replace=False)
        weights[sources, target] = (
            2 * rng.integers(1, 64, per_neuron) * rng.choice([-1, 1], per_neuron)
        )
    view = np.arange(neurons, dtype=np.int32).reshape(1, 1, -1)
    inputs = 100
    fan = 2 * rng.integers(1, 64, (inputs, neurons)).astype(np.int16)
    feed = np.where(rng.random(fan.shape) < 1 / inputs, fan, 0).astype(np.int16)
    layer = DiscreteLayer(
        name="reservoir",
        shape=(neurons,),
        decay_u=1024,
        decay_v=256,
        refractory=2,
        threshold_mantissa=400,
        bias_mantissa=rng.integers(0, 60, neurons).astype(np.int16),
        bias_exponent=np.full(neurons, 5, np.uint8),
        initial_voltage=np.zeros(neurons, np.int32),
        vmin_exponent=23,
        vmax_exponent=7,
        voltage_scale=1.0,
        amplitude=1.0,
        depth=1,
    )
    return DiscreteGraph(
        name="reservoir",
        dt_s=0.001,
        encoder=Encoder.passing("input", inputs, input_scale=1000.0, threshold=1000),
        layers=(layer,),
        connections=(
            DiscreteConnection(
                Connection(
                    "input", "reservoir", view[..., :inputs], feed[None, None], Window((1, 1))
                ),
                exponent=0,
                weight_bits=8,
                sign_mode=1,
            ),
            DiscreteConnection(
                Connection("reservoir", "reservoir", view, weights[None, None], Window((1, 1))),
                exponent=0,
                weight_bits=8,
                sign_mode=1,
            ),
        ),
        read_kind="counts",
        read_layers=("reservoir",),
        read_weights=np.full((neurons, 1), 1 / neurons, np.float32),
        read_bias=np.zeros(1, np.float32),
    )
