"""Records what Lava computes for networks of lava-dl, and their `.net` files, for the tests.

    python tools/record_lava_dl.py

It needs lava-dl (which needs Python 3.10) and writes for each network a file `.net` and one `.npz`:
`x` (samples, steps, *input shape), and for each layer with neurons `spikes/NAME` and
`voltages/NAME` (samples, steps, *shape), voltages after the reset, shapes as in the `.net` file.
Where the input has neurons there is the `bias` (samples, *input shape) of each, and `x` are spikes.
Networks called `slayer_...` are written by lava-dl's own blocks, `hand_...` here, to the same
layout. Lava runs its fixed-point models, bit-accurate with the chip, step by step.
Recorded with lava-dl 0.6.0 and lava-nc 0.10.0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from lava.lib.dl import netx, slayer
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc import io
from lava.proc.conv import utils

OUT = Path(__file__).parents[1] / "tests" / "frontends" / "lava_models"
SAMPLES, STEPS = 2, 40
block = slayer.block.cuba
#: Torch's threads do not survive the processes that Lava starts.
utils.TORCH_IS_AVAILABLE = False

Layers = Sequence[Mapping[str, Any]]


def neuron(current_decay: float = 1.0, voltage_decay: float = 0.1, threshold: float = 1.25) -> Any:
    return {
        "threshold": threshold, "current_decay": current_decay, "voltage_decay": voltage_decay,
        "requires_grad": False,
    }  # fmt: skip


def mean_norm(num_features: int | None = None, **options: Any) -> torch.nn.Module:
    """Batch norm of means only, quantised; its means become biases."""
    return slayer.neuron.norm.MeanOnlyBatchNorm(
        num_features, pre_hook_fx=slayer.utils.quantize_hook_fx, **options
    )


def trained(blocks: list[torch.nn.Module], inputs: int, classes: int) -> list[torch.nn.Module]:
    """Blocks after some steps of training on patterns of spikes."""
    net = torch.nn.Sequential(*blocks)
    patterns = torch.rand(classes, inputs, 1) * 0.8
    optimiser = torch.optim.Adam(net.parameters(), lr=0.02)
    loss_of = slayer.loss.SpikeRate(true_rate=0.4, false_rate=0.05)
    for _ in range(60):
        labels = torch.randint(classes, (16,))
        x = (torch.rand(16, inputs, STEPS) < patterns[labels]).float()
        loss = loss_of(net(x), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    print(f"  trained to a loss of {loss.item():.4f}")
    return blocks


def exported(path: Path, blocks: Iterable[torch.nn.Module], shape: tuple[int, ...]) -> None:
    """Write blocks as lava-dl's tutorials do, after a run that fixes their shapes."""
    blocks = list(blocks)
    net = torch.nn.Sequential(*blocks)
    with torch.no_grad():
        net(torch.zeros(1, *shape, 2))
    with h5py.File(path, "w") as file:
        layers = file.create_group("layer")
        if not isinstance(blocks[0], block.Input):
            group = layers.create_group("0")
            group.create_dataset("type", (1,), "S10", [b"input"])
            group.create_dataset("shape", data=np.array(shape))
        for each in blocks:
            each.export_hdf5(layers.create_group(f"{len(layers)}"))


def by_hand(path: Path, layers: Layers) -> None:
    """Write layers in the layout of lava-dl's blocks."""
    with h5py.File(path, "w") as file:
        for k, fields in enumerate(layers):
            group = file.create_group(f"layer/{k}")
            for key, value in fields.items():
                if key == "type":
                    group.create_dataset(key, (1,), "S10", [value.encode()])
                else:
                    group[key] = value


def hand_neuron(i_decay: int = 4096, v_decay: int = 128, threshold: int = 80) -> dict[str, Any]:
    return {
        "neuron/type": "CUBA", "neuron/iDecay": i_decay, "neuron/vDecay": v_decay,
        "neuron/vThMant": threshold, "neuron/refDelay": 1, "neuron/gradedSpike": False,
    }  # fmt: skip


def neuron_layers(path: Path) -> list[str]:
    """Names of the layers with neurons, the input's included where it has some."""
    with h5py.File(path) as file:
        groups = {k: file[f"layer/{k}"] for k in range(len(file["layer"]))}
        return [f"{g['type'][0].decode()}_{k}" for k, g in groups.items() if "neuron" in g]


def recorded(path: Path, x: np.ndarray) -> dict[str, np.ndarray]:
    """Spikes and voltages of all layers for samples (samples, steps, *input shape).

    Where the input has neurons, `x` are their biases, (samples, *input shape).
    """
    names = neuron_layers(path)
    found: dict[str, list[np.ndarray]] = {}
    for sample in x:
        net = netx.hdf5.Network(net_config=str(path))
        turned = np.ascontiguousarray(sample.T.astype(np.int32))  # columns, rows, channels, steps
        if names[0].startswith("input"):
            net.in_layer.neuron.bias_mant.init = turned
        else:
            source = io.source.RingBuffer(data=turned)
            source.s_out.connect(net.inp)
        sinks = []
        for layer in net.layers:
            sinks.append(io.sink.RingBuffer(shape=layer.out.shape, buffer=STEPS))
            layer.out.connect(sinks[-1].a_in)
        voltages: list[list[np.ndarray]] = [[] for _ in names]
        for _ in range(STEPS):
            net.run(RunSteps(num_steps=1), Loihi2SimCfg(select_tag="fixed_pt"))
            for k, layer in enumerate(net.layers):
                voltages[k].append(layer.neuron.v.get().T)
        for name, sink, each in zip(names, sinks, voltages, strict=True):
            found.setdefault(f"spikes/{name}", []).append(sink.data.get().T.astype(np.uint8))
            found.setdefault(f"voltages/{name}", []).append(np.stack(each).astype(np.int32))
        net.stop()
    return {key: np.stack(values) for key, values in found.items()}


def scaled(blocks: list[torch.nn.Module], factor: float) -> list[torch.nn.Module]:
    """Blocks with all weights times a factor."""
    with torch.no_grad():
        for each in blocks:
            for parameter in each.parameters():
                parameter.mul_(factor)
    return blocks


def spread(blocks: list[torch.nn.Module], most: int) -> list[torch.nn.Module]:
    """Blocks whose delays, where they have some, go up to so many steps."""
    for each in blocks:
        if getattr(each, "delay", None) is not None:
            each.delay.init = True
            size = each.synapse.out_channels
            each.delay.delay.data = torch.rand(size) * most
    return blocks


def means(blocks: list[torch.nn.Module]) -> list[torch.nn.Module]:
    """Blocks whose norms have seen some means."""
    for each in blocks:
        if each.neuron.norm is not None:
            size = each.synapse.out_channels
            each.neuron.norm.num_features = size
            each.neuron.norm.running_mean = torch.randn(size) * 0.3
    return [each.eval() for each in blocks]


Write = Callable[[Path], None]


def networks(rng: np.random.Generator) -> dict[str, tuple[tuple[int, ...], Write]]:
    """Name -> input shape, and what writes the file."""

    def whole(low: int, high: int, *shape: int) -> np.ndarray:
        return rng.integers(low, high + 1, shape).astype(np.float32)

    def slayer_file(shape: tuple[int, ...], blocks: list[torch.nn.Module]) -> Any:
        return shape, lambda path: exported(path, blocks, shape)

    def hand_file(*layers: Mapping[str, Any]) -> Any:
        return tuple(layers[0]["shape"]), lambda path: by_hand(path, layers)

    lif, cuba, slow = neuron(), neuron(0.25, 0.03), neuron(0.5, 0.0, 2.0)
    image = (2, 7, 9)
    return {
        "slayer_dense": slayer_file(
            (12,),
            trained(
                [block.Dense(lif, 12, 20), block.Dense(lif, 20, 10), block.Dense(lif, 10, 4)], 12, 4
            ),
        ),
        "slayer_cuba": slayer_file(
            (12,),
            means([
                block.Dense({**cuba, "norm": mean_norm}, 12, 16, weight_scale=2),
                block.Dense({**slow, "norm": mean_norm}, 16, 8, weight_scale=3),
                block.Dense(cuba, 8, 4, weight_scale=3).eval(),
            ]),
        ),
        "slayer_small_weights": slayer_file(
            (12,),
            scaled([block.Dense(neuron(threshold=0.1), 12, 20),
                    block.Dense(neuron(threshold=0.05), 20, 6)], 0.1),
        ),
        "slayer_conv": slayer_file(
            image,
            [
                block.Conv({**cuba, "norm": None}, 2, 4, (3, 2), stride=(2, 1), padding=(1, 0),
                           weight_scale=3),
                block.Conv(lif, 4, 6, 3, padding=1, groups=2, weight_scale=4),
                block.Flatten(),
                block.Dense(lif, 6 * 4 * 8, 5, weight_scale=2),
            ],
        ),
        "slayer_recurrent": slayer_file(
            (10,),
            [
                block.Recurrent(cuba, 10, 12, weight_scale=2, pre_hook_fx=None),
                block.Recurrent(neuron(), 12, 6, weight_scale=3, pre_hook_fx=None),
            ],
        ),
        "slayer_input": slayer_file(
            (2, 4, 5),
            [
                block.Input(lif, weight=1, bias=0),
                block.Conv(lif, 2, 3, 3, weight_scale=4),
                block.Flatten(),
                block.Dense(lif, 18, 4, weight_scale=4),
            ],
        ),
        "slayer_delays": slayer_file(
            (10,),
            spread([
                block.Dense(cuba, 10, 14, delay=True, weight_scale=3),
                block.Dense(lif, 14, 8, delay=True, weight_scale=6),
                block.Dense(neuron(threshold=0.5), 8, 4, weight_scale=6),
            ], 12),
        ),
        "hand_signs": hand_file(
            {"type": "input", "shape": [8]},
            {"type": "dense", "shape": [9], "weight": whole(0, 255, 9, 8),
             "bias": whole(-60, 60, 9), **hand_neuron(1024, 200, 900)},
            {"type": "dense", "shape": [7], "weight": whole(-255, -1, 7, 9),
             "bias": whole(100, 4095, 7), **hand_neuron(4096, 0, 700)},
            {"type": "dense", "shape": [6], "weight": whole(-127, 127, 6, 7),
             "bias": whole(-4095, 300, 6), **hand_neuron(3000, 4095, 60)},
            {"type": "dense", "shape": [5], "weight": 2 * whole(-128, 127, 5, 6),
             "bias": whole(0, 9, 5), **hand_neuron(1, 1, 20)},
        ),
        "hand_delays": hand_file(
            {"type": "input", "shape": [6]},
            {"type": "dense", "shape": [8], "weight": whole(-40, 100, 8, 6),
             "delay": whole(0, 9, 8, 6), **hand_neuron(1024)},
            {"type": "dense", "shape": [5], "weight": whole(-60, 100, 5, 8),
             "delay": whole(0, 20, 8), **hand_neuron()},
            {"type": "dense", "shape": [4], "weight": whole(-60, 100, 4, 5), "delay": 3.0,
             **hand_neuron()},
        ),
        "hand_conv": hand_file(
            {"type": "input", "shape": [2, 8, 11]},
            {"type": "conv", "shape": [4, 4, 7], "weight": whole(-127, 127, 4, 1, 2, 3, 1),
             "stride": [2, 1], "padding": [1, 0], "dilation": [2, 2], "groups": 2,
             "bias": whole(-50, 80, 4), **hand_neuron(2048)},
            {"type": "conv", "shape": [3, 2, 4], "weight": 2 * whole(-128, 127, 3, 4, 3, 2),
             "stride": [1, 2], "padding": [0, 1], "dilation": [1, 1], "groups": 1,
             **hand_neuron(4096, 300, 200)},
        ),
    }  # fmt: skip


def main() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    OUT.mkdir(exist_ok=True)
    for name, (shape, write) in networks(rng).items():
        path = OUT / f"{name}.net"
        write(path)
        if neuron_layers(path)[0] == "input_0":
            bias = rng.integers(-20, 80, (SAMPLES, *shape)).astype(np.int16)
            held = recorded(path, bias)
            held["bias"], held["x"] = bias, held.pop("spikes/input_0")
            del held["voltages/input_0"]
        else:
            held = {"x": (rng.random((SAMPLES, STEPS, *shape)) < 0.3).astype(np.uint8)}
            held.update(recorded(path, held["x"]))
        np.savez_compressed(OUT / f"{name}.npz", **held)
        rates = {key[7:]: round(float(v.mean()), 3) for key, v in held.items() if "spikes" in key}
        print(f"{name}: spikes per step {rates}")


if __name__ == "__main__":
    main()
