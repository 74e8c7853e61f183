"""What is searched: every build option has its place, and every setting its command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nmcompile.cli.app import main
from nmcompile.errors import UsageError
from nmcompile.passes.options import BuildOptions, NeuronOptions, checked_options
from nmcompile.tuning.space import (
    KNOWN_GOOD,
    LEFT_OUT,
    SEARCHED,
    Choice,
    Space,
    build_options,
    command_words,
    fixed_options,
    floored,
)

ALL = {*BuildOptions.model_fields, *NeuronOptions.model_fields} - {"neuron"}


def space(objective: str = "cores", dt_s: float = 0.001, **fixed: Any) -> Space:
    return Space.of(objective, ["conv1", "fc:2"], fixed, dt_s, per_layer=True)


class Dice:
    """A trial that draws by itself."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def suggest_categorical(self, name: str, choices: list[str]) -> str:
        return choices[self.rng.integers(len(choices))]

    def suggest_int(self, name: str, low: int, high: int, log: bool) -> int:
        return int(self.rng.integers(low, high + 1))

    def suggest_float(self, name: str, low: float, high: float, log: bool) -> float:
        return float(self.rng.choice([low, high, self.rng.uniform(low, high)]))


class Given:
    """A trial with parameters that are given."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        self.parameters = parameters

    def suggest_categorical(self, name: str, choices: list[str]) -> str:
        assert self.parameters[name] in choices
        return str(self.parameters[name])

    def suggest_int(self, name: str, low: float, high: float, log: bool) -> Any:
        assert low <= self.parameters[name] <= high
        return self.parameters[name]

    suggest_float = suggest_int


def test_every_build_option_is_searched_or_left_out_for_a_reason() -> None:
    assert not set(SEARCHED) & set(LEFT_OUT)
    assert {*SEARCHED, *LEFT_OUT} == ALL
    assert all(LEFT_OUT.values())


@pytest.mark.parametrize("dt_s", [0.001, 0.01])
def test_the_first_trial_is_what_build_does_by_itself(dt_s: float) -> None:
    own = space(dt_s=dt_s)
    settings = own.suggest(Given(own.first()[0]))
    if dt_s == 0.001:
        assert build_options(settings) == BuildOptions()
        assert command_words(build_options(settings)) == []
    else:  # 800 Hz are more than the highest rate there
        assert settings["max_rate"] == 100


def test_known_good_settings_are_tried_as_they_stand() -> None:
    own = space()
    for settings, parameters in zip(KNOWN_GOOD, own.first()[1:], strict=True):
        found = own.suggest(Given(parameters))
        for name, value in settings.items():
            assert found[name] == (1000 * value if name == "max_rate" else value)


@pytest.mark.parametrize("seed", range(25))
def test_a_command_builds_its_settings(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = space().suggest(Dice(seed))
    taken: dict[str, Any] = {}

    def build(model: object, target: object, **options: Any) -> None:
        known = {*BuildOptions.model_fields}
        taken.update({name: value for name, value in options.items() if name in known})
        raise UsageError("enough")

    monkeypatch.setattr("nmcompile.api.build", build)
    options = build_options(settings)
    words = ["build", "net.keras", "-o", str(tmp_path / "net.nmc"), *command_words(options)]
    assert main(words) == 2
    assert checked_options(**taken) == options


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("fixed", [{}, {"max_rate": 600.0}])
def test_no_neuron_is_asked_for_more_than_a_spike_a_step(seed: int, fixed: Any) -> None:
    settings = space(**fixed).suggest(Dice(seed))
    highest = max(
        each["rate_scale"] for each in settings.get("layers", {"": {"rate_scale": 1}}).values()
    )
    assert settings["max_rate"] * max(highest, 1) <= 1000 * (1 + 1e-9)
    assert floored(1.6666) == 1.66


def test_what_is_fixed_is_not_searched() -> None:
    own = space(steps=16, gain="layer")
    assert not {"steps", "gain"} & set(own.ranges)
    for seed in range(3):
        settings = own.suggest(Dice(seed))
        assert (settings["steps"], settings["gain"]) == (16, "layer")


def test_an_objective_has_its_own_options() -> None:
    assert "weight_bits" in space("cores").ranges
    assert "weight_bits" not in space("spikes").ranges


def test_rates_of_neurons_that_were_trained_as_such_are_left_alone() -> None:
    own = Space.of("spikes", [], {}, 0.001, per_layer=True)
    assert "max_rate" not in own.ranges
    assert "steps" in own.ranges


def test_text_becomes_fixed_options() -> None:
    texts = [
        "steps=16",
        "max-rate=500",
        "correct-bias=false",
        "threshold_factors=0.8,1",
        "dt=0.002",
    ]
    assert fixed_options(texts) == {
        "steps": 16,
        "max_rate": 500.0,
        "correct_bias": False,
        "threshold_factors": (0.8, 1.0),
        "dt": 0.002,
    }


@pytest.mark.parametrize("text", ["steps", "colour=red", "layers=x", "steps=many", "steps=0", "="])
def test_text_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        fixed_options([text])


def test_choices_begin_with_what_build_does() -> None:
    own = space()
    for name, each in own.ranges.items():
        if isinstance(each, Choice):
            default = {**BuildOptions().model_dump(), **NeuronOptions().model_dump()}[name]
            assert next(iter(own.choices(name).values())) == default


def test_what_bears_on_nothing_is_not_searched() -> None:
    assert {"window", "read_synapse"} <= set(space().ranges)
    assert not {"window", "read_synapse"} & set(space(readout="chip").ranges)
    assert not {"gain", "rounding", "correct_bias"} & set(space(gain_samples=0).ranges)
    with pytest.raises(UsageError, match="--fix early-exit"):
        space(early_exit=0.01)


def test_held_options_of_neurons_and_layers_stay() -> None:
    held = space(neuron={"synapse": 0.002}, layers={"conv1": {"tau_rc": 0.02}})
    assert "synapse" not in held.ranges
    for seed in range(20):
        options = build_options(held.suggest(Dice(seed)))
        assert options.neuron.synapse == 0.002
        assert options.layers["conv1"]["tau_rc"] == 0.02
    assert any("rate_scale" in held.suggest(Dice(seed))["layers"]["conv1"] for seed in range(20))


@pytest.mark.parametrize("dt_s", [0.001, 0.002])
def test_the_first_setting_is_known_as_the_usual_one(dt_s: float) -> None:
    each = space(dt_s=dt_s, percentile=98.0)
    first, second = (each.suggest(Given(parameters)) for parameters in each.first()[:2])
    assert each.is_usual(first)
    assert not each.is_usual(second)
