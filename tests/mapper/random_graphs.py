"""Random discretised layers and chips, odder than any trained network."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from nmcompile.chip.discrete import DiscreteConnection, DiscreteGraph, DiscreteLayer
from nmcompile.chip.program import Encoder
from nmcompile.hardware import HardwareModel, load_hardware
from nmcompile.ir.layers import Connection, Window
from tests.passes.stages import LOIHI1, small_core

#: Neurons of a layer, at most.
LARGEST = 400
CHIPS = (
    LOIHI1,
    small_core(compartments=60),
    small_core(compartments=400, memory_words=900),
    small_core(memory_words=3000, input_axons=300),
    load_hardware("loihi2"),
)
#: Limits of axons that a chip may have instead of its own.
AXONS = {
    "base_max": (15, 31, 63, 100),
    "pop16_atoms": (2, 4, 8),
    "pop16_base_multiple": (1, 2, 3, 8),
    "pop16_target_bits": (2, 4, 6),
    "pop32_atoms": (4, 32, 64),
}


class Dice:
    """Draws graphs from a seed."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def below(self, low: int, high: int) -> int:
        """A number from `low` to before `high`."""
        return int(self.rng.integers(low, high))

    def view(self, shape: tuple[int, ...]) -> np.ndarray:
        """Numbers of a layer's neurons, as they are or moved about, some left out."""
        view = np.arange(prod(shape), dtype=np.int32)
        view = view.reshape(shape if len(shape) == 3 else (1, 1, -1))
        moves = (
            lambda v: v,
            lambda v: v[:, :, self.rng.permutation(v.shape[2])],
            lambda v: np.pad(v, ((0, 0), (0, 0), (1, 2)), constant_values=-1),
            lambda v: np.where(self.rng.random(v.shape) < 0.2, -1, v),
            lambda v: np.repeat(v, 2, 0),
            lambda v: v[::-1],
            lambda v: v.transpose(1, 0, 2),
        )
        return np.ascontiguousarray(moves[self.below(0, len(moves))](view), dtype=np.int32)

    def weights(self, *shape: int) -> np.ndarray:
        """Mantissas, some rows, columns or channels of them zero."""
        found = 2 * self.rng.integers(-60, 60, shape)
        dead = self.below(0, 6)
        if dead == 0:
            found[..., self.rng.random(shape[-1]) < 0.5] = 0
        elif dead == 1:
            found[:, :, self.rng.random(shape[2]) < 0.5] = 0
        elif dead == 2:
            found[0] = 0
        elif dead == 3:
            found[..., : shape[-1] // 2] = 0
        elif dead == 4:
            found[self.rng.random(shape) < 0.8] = 0
        return found.astype(np.int16)

    def dense(self, source: str, target: str, view: np.ndarray, outputs: int) -> Connection:
        """One place that sees everything."""
        flat = view.reshape(1, 1, -1)
        weights = self.weights(1, 1, flat.shape[2], outputs)
        return Connection(source, target, flat, weights, Window((1, 1)))

    def convolution(self, source: str, target: str, view: np.ndarray) -> Connection | None:
        """Any kernel, stride, dilation, padding, cropping and groups that leave something."""
        channels = view.shape[2]
        groups = int(self.rng.choice([n for n in range(1, channels + 1) if channels % n == 0]))
        kernel = (self.below(1, 4), self.below(1, 4))
        window = Window(
            kernel,
            stride=(self.below(1, 3), self.below(1, 3)),
            padding=(
                (self.below(-1, 3), self.below(-1, 3)),
                (self.below(-1, 3), self.below(-1, 3)),
            ),
            dilation=(self.below(1, 3), self.below(1, 3)),
            groups=groups,
        )
        if min(window.positions(*view.shape[:2])) < 1:
            return None
        weights = self.weights(*kernel, channels // groups, groups * self.below(1, 4))
        return Connection(source, target, view, weights, window)

    def layer(self, name: str, shape: tuple[int, ...]) -> DiscreteLayer:
        """Neurons; of a network some share a profile, a threshold and voltage limits."""
        size = prod(shape)
        return DiscreteLayer(
            name=name,
            shape=shape,
            decay_u=int(self.rng.choice([1024, 512])),
            decay_v=256,
            refractory=1,
            threshold_mantissa=self.below(300, 303),
            bias_mantissa=np.full(size, 40, np.int16),
            bias_exponent=np.full(size, 5, np.uint8),
            initial_voltage=np.zeros(size, np.int32),
            vmin_exponent=23,
            vmax_exponent=int(self.rng.choice([7, 7, 6])),
            voltage_scale=1.0,
            amplitude=1.0,
            depth=1,
        )


def random_graph(seed: int) -> DiscreteGraph | None:
    """Up to four layers, several connections into one, recurrent ones, delays; or None."""
    dice = Dice(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "input": (dice.below(1, 7), dice.below(1, 7), dice.below(1, 4))
    }
    layers, links = [], []
    for number in range(dice.below(1, 5)):
        name, source = f"layer{number}", str(dice.rng.choice(list(shapes)))
        first: Connection | None
        if dice.below(0, 4):
            first = dice.convolution(source, name, dice.view(shapes[source]))
            shape: tuple[int, ...] = first.out_shape if first is not None else ()
        else:
            shape = (dice.below(1, 30),)
            first = dice.dense(source, name, dice.view(shapes[source]), shape[0])
        size = prod(shape)
        if first is None or size > LARGEST:
            return None
        made = [first]
        for _ in range(dice.below(0, 3)):
            kind = dice.below(0, 3)
            if kind == 0:
                made.append(replace(first, weights=dice.weights(*first.weights.shape)))
            elif kind == 1:
                other = str(dice.rng.choice(list(shapes)))
                made.append(dice.dense(other, name, dice.view(shapes[other]), size))
            else:
                view = np.arange(size, dtype=np.int32).reshape(1, 1, -1)
                made.append(dice.dense(name, name, view, size))
        shapes[name] = shape
        layers.append(dice.layer(name, shape))
        links += [made[k] for k in dice.rng.permutation(len(made))]
    encoder = Encoder.passing("input", prod(shapes["input"]), input_scale=1000.0, threshold=1000)
    return DiscreteGraph(
        name="random",
        dt_s=0.001,
        encoder=replace(encoder, shape=shapes["input"], input_shape=shapes["input"]),
        layers=tuple(layers),
        connections=tuple(
            DiscreteConnection(
                exponent=int(dice.rng.choice([0, 1])),
                weight_bits=8,
                sign_mode=1,
                link=replace(link, delay=int(dice.rng.choice([0, 0, 1, 3]))),
            )
            for link in links
        ),
        read_kind="counts",
        read_layers=(layers[-1].name,),
        read_weights=np.ones((layers[-1].size, 1), np.float32),
        read_bias=np.zeros(1, np.float32),
    )


def random_chip(seed: int) -> HardwareModel:
    """A chip, half of them with other limits of axons."""
    rng = np.random.default_rng(seed)
    chip = CHIPS[int(rng.integers(len(CHIPS)))]
    if rng.random() < 0.5:
        return chip
    changed = {
        name: getattr(chip.axon, name).model_copy(update={"value": int(rng.choice(values))})
        for name, values in AXONS.items()
        if rng.random() < 0.5
    }
    return chip.model_copy(update={"axon": chip.axon.model_copy(update=changed)})
