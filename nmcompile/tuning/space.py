"""The search space: one table of the build options that are searched, and those that are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import floor, log10
from typing import Any, Literal

from nmcompile.errors import UsageError
from nmcompile.passes.options import BuildOptions, NeuronOptions, checked_options

#: Significant digits that a setting keeps, so that the command that builds it is short and exact.
DIGITS = 3
Unit = Literal["", "steps", "spikes per step"]
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Range:
    """Numbers from a low to a high one.

    Attributes
    ----------
    low, high : both included
    log : whether factors, not differences, are alike
    whole : whether only whole numbers make sense
    unit : what the bounds are in; the build takes seconds and Hz
    objectives : that search it; all where empty
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False
    unit: Unit = ""
    objectives: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """A few values; the build's own comes first, listed or not."""

    values: tuple[Any, ...]
    unit: Unit = ""
    objectives: tuple[str, ...] = ()


#: Build option -> where it is searched. The command line's flag is the name with dashes.
SEARCHED: Mapping[str, Range | Choice] = {
    "steps": Range(4, 128, log=True, whole=True),
    "max_rate": Range(0.15, 1.0, log=True, unit="spikes per step"),
    "percentile": Range(95, 100),
    "threshold_gain": Range(0.6, 1.2),
    "synapse": Choice((0.0, 0.5, 1.0, 2.0), unit="steps"),
    "equalise": Choice((0.0, 0.5, 1.0)),
    "rounding": Choice(("nearest", "output")),
    "gain": Choice(("channel", "layer", "none")),
    "correct_bias": Choice((True, False)),
    "threshold_factors": Choice(((1.0,), (0.8, 0.9, 1.0, 1.1))),
    "initial_voltage": Choice(("aligned", "zero")),
    "window": Range(0.4, 1.0),
    "read_synapse": Choice((0.0, 10.0, 30.0), unit="steps"),
    "weight_bits": Choice((8, 6, 5, 4), objectives=("cores",)),
}
#: Neuron option that is searched for each layer, beside the network's own.
LAYER_OPTION = "rate_scale"
LAYER_RANGE = Range(0.4, 1.6, log=True)

#: Build option -> why it is not searched; `--fix` sets any of them.
LEFT_OUT: Mapping[str, str] = {
    "dt": "rates are searched in spikes per step, so its length changes nothing",
    "tau_rc": "a leak loses what a ReLU keeps",
    "refractory": "it lowers the highest rate, as max_rate does",
    "rate_scale": "for the whole network it does what max_rate does; it is searched for each layer",
    "layers": "searched as rate_scale of each layer",
    "encoder": "the default takes the network's own, or what the signs of the input ask for",
    "host_layers": "what runs on the chip is for you to decide",
    "readout": "what runs on the chip is for you to decide",
    "early_exit": "it ends samples whose answer is safe, which any setting can do; add it after",
    "gain_samples": "more are better, and take longer",
    "optimise": "maps the same integers to other cores, and the default takes fewest",
    "seed": "luck is no setting",
}
#: Options that say how often neurons fire, which neurons that were trained as such bring along.
OF_RATES = ("max_rate", "percentile", "threshold_gain", "threshold_factors")

#: Options that bear on nothing where the read-out is on the chip, and without samples to calibrate.
IDLE_WITH_CHIP_READOUT = ("window", "read_synapse")
IDLE_WITHOUT_SAMPLES = ("rounding", "gain", "correct_bias", "threshold_factors", "initial_voltage")

#: Settings that often do well, tried first; the build's own come before them.
KNOWN_GOOD: Sequence[Settings] = (
    {"max_rate": 0.4},
    {"steps": 16},
    {"steps": 24, "max_rate": 0.6, "threshold_factors": (0.8, 0.9, 1.0, 1.1)},
    {"steps": 16, "max_rate": 0.6, "threshold_factors": (0.8, 0.9, 1.0, 1.1)},
    {"steps": 12, "max_rate": 0.8},
    {"steps": 64},
    {"steps": 64, "max_rate": 0.5, "threshold_factors": (0.8, 0.9, 1.0, 1.1)},
    {"steps": 8, "max_rate": 1.0},
)


@dataclass(frozen=True)
class Space:
    """What is searched for one network and objective.

    Attributes
    ----------
    ranges : parameter -> its values; those of layers are named ``rate_scale:LAYER``
    fixed : build options that are held
    dt_s : length of a step in seconds
    """

    ranges: Mapping[str, Range | Choice]
    fixed: Settings
    dt_s: float

    @classmethod
    def of(
        cls,
        objective: str,
        layers: Sequence[str],
        fixed: Settings,
        dt_s: float,
        per_layer: bool,
        frames: int = 1,
    ) -> Space:
        """The space for an objective.

        Parameters
        ----------
        layers : names of the layers on the chip whose rates can be chosen
        fixed : build options that are held
        per_layer : whether each layer's rate is searched
        frames : of a sample, which needs a step for each at least
        """
        fixed = flat(fixed)
        if fixed.get("early_exit"):
            raise UsageError(
                "--fix early-exit: a search judges the answers of the last step; give "
                "--early-exit to the build that you choose from it"
            )
        idle = IDLE_WITH_CHIP_READOUT if fixed.get("readout") == "chip" else ()
        if fixed.get("gain_samples") == 0:
            idle = (*idle, *IDLE_WITHOUT_SAMPLES)
        ranges = {
            name: each
            for name, each in SEARCHED.items()
            if name not in fixed
            and name not in idle
            and (not each.objectives or objective in each.objectives)
            and (layers or name not in OF_RATES)
        }
        if per_layer and len(layers) > 1 and LAYER_OPTION not in fixed:
            ranges |= {f"{LAYER_OPTION}:{name}": LAYER_RANGE for name in layers}
        steps = ranges.get("steps")
        if isinstance(steps, Range) and frames > steps.low:
            high = max(steps.high, 4 * frames)
            ranges["steps"] = replace(steps, low=frames, high=high)
        return cls(ranges, fixed, dt_s)

    def is_usual(self, settings: Settings) -> bool:
        """Whether settings are the build's own, as far as ranges have them, and those held."""
        usual = self.suggest(_Given(self.parameters({})))
        return build_options(settings) == build_options(usual)

    def choices(self, name: str) -> dict[str, Any]:
        """Text -> value of a `Choice`, in its own unit, the build's own first."""
        choice = self.ranges[name]
        assert isinstance(choice, Choice)
        return {option_text(value): value for value in (self._own(name), *choice.values)}

    def suggest(self, trial: Any) -> dict[str, Any]:
        """Build options of an Optuna trial."""
        settings: dict[str, Any] = {}
        for name, each in self.ranges.items():
            if isinstance(each, Choice):
                choices = self.choices(name)
                value = choices[trial.suggest_categorical(name, list(choices))]
            elif each.whole:
                value = trial.suggest_int(name, int(each.low), int(each.high), log=each.log)
            else:
                value = trial.suggest_float(name, each.low, each.high, log=each.log)
            if isinstance(value, float):
                value = rounded(value * self._unit(each.unit))
            option, _, layer = name.partition(":")
            if not layer:
                settings[option] = value
                continue
            # No neuron fires more than once a step.
            rate = {**settings, **self.fixed}.get("max_rate", _default("max_rate"))
            value = min(value, floored(max(1.0, 1 / (rate * self.dt_s))))
            if value != 1:
                settings.setdefault("layers", {})[layer] = {option: value}
        held = self.fixed.get("layers", {})
        drawn = settings.get("layers", {})
        if held or drawn:
            names = dict.fromkeys([*held, *drawn])
            both = {name: {**drawn.get(name, {}), **held.get(name, {})} for name in names}
            settings["layers"] = both
        return {**self.fixed, **settings}

    def parameters(self, settings: Settings) -> dict[str, Any]:
        """An Optuna trial's parameters for settings in the table's units, else the build's own."""
        found: dict[str, Any] = {}
        for name, each in self.ranges.items():
            value = settings.get(name, self._own(name))
            if isinstance(each, Choice):
                found[name] = option_text(value)
            else:
                number = min(max(value, each.low), each.high)
                found[name] = int(number) if each.whole else float(number)
        return found

    def first(self) -> list[dict[str, Any]]:
        """Parameters of the trials that come first."""
        return [self.parameters(settings) for settings in ({}, *KNOWN_GOOD)]

    def _own(self, name: str) -> Any:
        """The build's own value of a parameter, in its range's unit."""
        default = _default(name.partition(":")[0])
        unit = self.ranges[name].unit
        return default / self._unit(unit) if unit else default

    def _unit(self, unit: Unit) -> float:
        return {"": 1.0, "steps": self.dt_s, "spikes per step": 1 / self.dt_s}[unit]


@dataclass(frozen=True)
class _Given:
    """In place of an Optuna trial, parameters that are known."""

    parameters: Mapping[str, Any]

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> Any:
        return self.parameters[name]

    def suggest_int(self, name: str, low: int, high: int, log: bool) -> Any:
        return self.parameters[name]

    def suggest_float(self, name: str, low: float, high: float, log: bool) -> Any:
        return self.parameters[name]


def build_options(settings: Settings) -> BuildOptions:
    """Checked build options, from those of neurons and those of builds in one mapping.

    Raises
    ------
    UsageError
        An unknown option or a value out of range.
    """
    settings = flat(settings)
    neuron = {name: value for name, value in settings.items() if name in NeuronOptions.model_fields}
    others = {name: value for name, value in settings.items() if name not in neuron}
    return checked_options(**others, neuron=neuron)


def flat(settings: Settings) -> Settings:
    """Settings with the options of neurons beside the others, as a search has them."""
    if "neuron" not in settings:
        return settings
    neuron = settings["neuron"]
    options = checked_options(neuron=neuron).neuron.model_dump(exclude_unset=True)
    return {**options, **{name: each for name, each in settings.items() if name != "neuron"}}


def command_words(options: BuildOptions) -> list[str]:
    """Options of `nmcompile build` that make these; none for those that it takes anyway."""
    words: list[str] = []
    rows = [(name, getattr(options.neuron, name)) for name in NeuronOptions.model_fields]
    rows += [
        (name, getattr(options, name))
        for name in BuildOptions.model_fields
        if name not in ("neuron", "layers")
    ]
    for name, value in rows:
        if value == _default(name):
            continue
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", option_text(value)]
    for layer, changed in options.layers.items():
        pairs = ",".join(f"{n.replace('_', '-')}={option_text(v)}" for n, v in changed.items())
        words += ["--layer", f"{layer}:{pairs}"]
    return words


def fixed_options(texts: Sequence[str]) -> dict[str, Any]:
    """From ``NAME=VALUE`` to build options.

    Raises
    ------
    UsageError
        Text of another form, an unknown option, or a value out of range.
    """
    found: dict[str, Any] = {}
    known = {*NeuronOptions.model_fields, *BuildOptions.model_fields} - {"neuron", "layers"}
    for text in texts:
        name, equals, value = text.partition("=")
        key = name.strip().replace("-", "_")
        if not equals or key not in known:
            names = ", ".join(sorted(each.replace("_", "-") for each in known))
            raise UsageError(f"--fix {text}: the form is NAME=VALUE, with NAME of {names}")
        found[key] = value.split(",") if isinstance(_default(key), tuple) else value.strip()
    options = build_options(found)
    return {
        key: getattr(options.neuron if key in NeuronOptions.model_fields else options, key)
        for key in found
    }


def option_text(value: Any) -> str:
    """A value as the command line takes it."""
    if isinstance(value, tuple | list):
        return ",".join(option_text(each) for each in value)
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def rounded(value: float) -> float:
    """A number with `DIGITS` significant digits."""
    return float(f"{value:.{DIGITS}g}")


def floored(value: float) -> float:
    """The largest number with `DIGITS` significant digits that is no larger."""
    unit = 10.0 ** (floor(log10(value)) - DIGITS + 1)
    return rounded(floor(value / unit + 1e-9) * unit)


def _default(name: str) -> Any:
    """The build's own value of an option."""
    owner = NeuronOptions if name in NeuronOptions.model_fields else BuildOptions
    return owner.model_fields[name].default
