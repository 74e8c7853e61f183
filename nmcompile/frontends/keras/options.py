"""Reads a layer's options: every one is understood, known to be harmless, or refused by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nmcompile.errors import ModelError, Obstacle
from nmcompile.frontends.keras.model import Layer
from nmcompile.frontends.keras.refusals import ACTIVATIONS, ANY_ACTIVATION

#: Options that say nothing about what a trained layer computes.
HARMLESS = frozenset({
    "name", "trainable", "dtype", "batch_shape", "batch_input_shape", "build_config", "seed",
    "noise_shape", "momentum", "synchronized", "implementation", "sparse", "ragged", "optional",
    "renorm_clipping", "renorm_momentum", "fused", "input_dtype",
    "input_dim", "input_length", "autocast", "lora_alpha",
    "activity_regularizer",
})  # fmt: skip
_HARMLESS_ENDINGS = ("_initializer", "_regularizer", "_constraint")
#: Options that are harmless only while they are off.
_OFF = ("lora_rank", "quantization_mode", "renorm", "quantization_config", "virtual_batch_size")
_FLOATS = ("float16", "bfloat16", "float32", "float64")


@dataclass(frozen=True)
class Activation:
    """What a layer applies to its result: "linear", "relu" (clipped at `max_value`), "softmax"."""

    kind: str = "linear"
    max_value: float | None = None


LINEAR = Activation()


class Options:
    """The options of one layer; `problem` collects what cannot be compiled."""

    def __init__(self, layer: Layer, where: str, *, final: bool) -> None:
        self.layer, self.final = layer, final
        self.obstacles: list[Obstacle] = []
        self.where = where
        self._read: set[str] = set()

    def problem(self, why: str, remedy: str) -> None:
        """Note an obstacle."""
        self.obstacles.append(Obstacle(self.layer.name, self.layer.kind, why, remedy))

    def bad(self, key: str, value: object, expected: str) -> ModelError:
        """An error for an option that no Keras would write."""
        return ModelError(
            f"{self.where}: layer {self.layer.name!r}: {key} is {str(value)[:60]!r}, "
            f"expected {expected}; save the model again"
        )

    def get(self, key: str, default: Any = None) -> Any:
        """An option as the file has it."""
        self._read.add(key)
        value = self.layer.config.get(key, default)
        return default if value is None else value

    def flag(self, key: str, default: bool) -> bool:
        value = self.get(key, default)
        if not isinstance(value, bool):
            raise self.bad(key, value, "true or false")
        return value

    def number(self, key: str, default: float) -> float:
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.bad(key, value, "a number")
        if not math.isfinite(value):
            raise self.bad(key, value, "a finite number")
        return float(value)

    def count(self, key: str, default: int | None = None) -> int:
        """A whole number of at least one."""
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.bad(key, value, "a whole number of at least 1")
        return value

    def counts(self, key: str, n: int, default: int | tuple[int, ...]) -> tuple[int, ...]:
        """`n` whole numbers of at least one; a single number stands for all."""
        value = self.get(key, default)
        values = (value,) * n if isinstance(value, int) else tuple(value)
        whole = all(isinstance(v, int) and not isinstance(v, bool) and v >= 1 for v in values)
        if len(values) != n or not whole:
            raise self.bad(key, value, f"{n} whole numbers of at least 1")
        return values

    def choice(self, key: str, allowed: tuple[str, ...]) -> str:
        """One of some words; the first is the default."""
        value = self.get(key, allowed[0])
        if not isinstance(value, str) or value.lower() not in allowed:
            raise self.bad(key, value, " or ".join(allowed))
        return value.lower()

    def channels_first(self) -> bool:
        return self.choice("data_format", ("channels_last", "channels_first")) == "channels_first"

    def activation(self) -> Activation:
        """The fused activation."""
        return self.parse_activation(self.get("activation"))

    def parse_activation(self, value: object) -> Activation:
        """An activation as Keras writes it: a name, or a dictionary with class and options."""
        config: Mapping[str, Any] = {}
        if isinstance(value, Mapping):
            inner = value.get("config")
            registered = value.get("registered_name")
            if isinstance(registered, str) and ">" in registered:
                name = registered
            elif isinstance(inner, str):
                module = str(value.get("module") or "builtins").split(".")[0]
                name = inner if module in ("builtins", "keras", "tensorflow") else module + inner
            else:
                name = str(value.get("class_name"))
                config = inner if isinstance(inner, Mapping) else {}
        elif value is None or isinstance(value, str):
            name = value or "linear"
        else:
            raise self.bad("activation", value, "the name of an activation")
        if name == "linear":
            return LINEAR
        if name == "relu":
            return Activation("relu")
        if name == "relu6":
            return Activation("relu", 6.0)
        if name == "ReLU":
            return self.relu(config)
        if name == "softmax" and self.final:
            return Activation("softmax")
        if name == "Softmax" and self.final and config.get("axis", -1) == -1:
            return Activation("softmax")
        remedy = ACTIVATIONS.get(name.lower(), ANY_ACTIVATION)
        if name.lower() == "sigmoid" and self.final:
            remedy = "drop it, the largest output stays the largest"
        self.problem(f"its activation is {name}, which spiking neurons cannot compute", remedy)
        return LINEAR

    def relu(self, config: Mapping[str, Any]) -> Activation:
        """A ReLU layer's options."""
        values: dict[str, float | None] = {}
        for key in ("max_value", "negative_slope", "alpha", "threshold"):
            value = config.get(key)
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, int | float)
            ):
                raise self.bad(key, value, "a number")
            values[key] = value
        slope = values["negative_slope"] or values["alpha"]
        if slope:
            self.problem(
                f"its negative slope is {slope:g}, but a firing rate cannot be negative",
                "use negative_slope=0 and train again",
            )
        if values["threshold"]:
            self.problem(
                f"its threshold is {values['threshold']:g}, so it jumps there",
                "use threshold=0 and train again",
            )
        top = values["max_value"]
        if top is not None and not 0 < top < math.inf:
            self.problem(f"its max_value is {top:g}", "use a max_value above 0, or none")
            top = None
        return Activation("relu", None if top is None else float(top))

    def finish(self) -> None:
        """Note every option that was neither read nor is harmless, and the number type."""
        for key, value in self.layer.config.items():
            if key in _OFF:
                if value:
                    self.problem(
                        f"its option {key}={str(value)[:60]} is not supported", "turn it off"
                    )
            elif key not in self._read and not _harmless(key) and value is not None:
                self.problem(
                    f"its option {key}={str(value)[:60]} is not known", "leave it at its default"
                )
        self._check_dtype(self.layer.config.get("dtype"))

    def _check_dtype(self, dtype: object) -> None:
        name: object = dtype
        if isinstance(dtype, Mapping):
            config = dtype.get("config")
            name = config.get("name") if isinstance(config, Mapping) else None
            if dtype.get("class_name") not in ("DTypePolicy", "Policy", "FloatDTypePolicy"):
                name = dtype.get("class_name")
        if name is None or (isinstance(name, str) and name.removeprefix("mixed_") in _FLOATS):
            return
        if self.layer.kind == "InputLayer" and isinstance(name, str) and "int" in name:
            return
        self.problem(f"its dtype is {str(name)[:60]}, not a float type", "save the float model")


def _harmless(key: str) -> bool:
    return key in HARMLESS or key.endswith(_HARMLESS_ENDINGS)
