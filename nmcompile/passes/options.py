"""The options of a build, checked once and handed to the passes as values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nmcompile.errors import UsageError
from nmcompile.mapper.objective import Goal

EncoderMode = Literal["auto", "conv", "on", "on-off"]
ReadOutPlace = Literal["host", "chip"]


class NeuronOptions(BaseModel):
    """How spiking neurons stand in for ReLUs.

    Attributes
    ----------
    tau_rc : membrane time constant in seconds; None for integrate and fire
    refractory : absolute refractory period in seconds
    synapse : time constant of the synaptic current in seconds
    max_rate : rate in Hz at which the calibrated largest activation fires
    rate_scale : factor on top of that; rates beyond one spike per step saturate
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tau_rc: float | None = Field(default=None, gt=0, le=1e4, allow_inf_nan=False)
    refractory: float = Field(default=0.0, ge=0, le=1e4, allow_inf_nan=False)
    synapse: float = Field(default=0.0, ge=0, le=1e4, allow_inf_nan=False)
    max_rate: float = Field(default=800.0, gt=0, le=1e6, allow_inf_nan=False)
    rate_scale: float = Field(default=1.0, gt=0, le=1e6, allow_inf_nan=False)


class BuildOptions(BaseModel):
    """All that a user can choose about a build.

    Attributes
    ----------
    steps : time steps per sample that the read-out expects
    dt : length of a time step in seconds; None for the network's own
    neuron : for all layers
    layers : layer name -> the neuron options that differ there
    encoder : how inputs become spikes
    host_layers : number of leading neuron layers on the host; None to decide by the network
    readout : where the last linear layer runs
    percentile : of a layer's activations on calibration data, taken for the largest
    threshold_gain : factor on thresholds, makes up for the overshoot that a hard reset loses
    equalise : how far channels of a layer are driven equally strongly, 0 to 1
    rounding : weights to the nearest, or so that the layer's output changes least
    gain_samples : calibration samples on which layers are run as the chip will, to correct what
        they lose; 0 leaves everything as it is
    gain : whether the spikes of each layer, or of each channel, get an amplitude by that
    correct_bias : whether mean errors of channels go into the biases behind
    threshold_factors : factors on thresholds, of which the best for each layer is taken
    initial_voltage : where samples begin: at zero, or with what takes back the steps in which a
        bias acts before any input
    window : share of the steps, the last ones, in which the read-out counts spikes
    early_exit : share of calibration samples whose answer may change where answers are given as
        soon as their lead is safe; 0 to answer at the last step
    read_synapse : time constant in seconds of the read-out's filter
    weight_bits : bits per weight
    optimise : what the mapper makes small first
    seed : of synthetic calibration data, and of the search for places
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=32, ge=1, le=1_000_000)
    dt: float | None = Field(default=None, gt=0, le=1.0)
    neuron: NeuronOptions = NeuronOptions()
    layers: Mapping[str, Mapping[str, float]] = Field(default_factory=dict)
    encoder: EncoderMode = "auto"
    host_layers: int | None = Field(default=None, ge=0)
    readout: ReadOutPlace = "host"
    percentile: float = Field(default=99.0, gt=50, le=100, allow_inf_nan=False)
    threshold_gain: float = Field(default=0.9, gt=0, le=2, allow_inf_nan=False)
    equalise: float = Field(default=0.0, ge=0, le=1, allow_inf_nan=False)
    rounding: Literal["nearest", "output"] = "nearest"
    gain_samples: int = Field(default=64, ge=0, le=10_000)
    gain: Literal["none", "layer", "channel"] = "channel"
    correct_bias: bool = True
    threshold_factors: tuple[Annotated[float, Field(gt=0, le=10)], ...] = (1.0,)
    initial_voltage: Literal["zero", "aligned"] = "aligned"
    window: float = Field(default=1.0, gt=0, le=1, allow_inf_nan=False)
    early_exit: float = Field(default=0.0, ge=0, lt=1, allow_inf_nan=False)
    read_synapse: float = Field(default=0.0, ge=0, le=1e4, allow_inf_nan=False)
    weight_bits: Literal[1, 2, 3, 4, 5, 6, 8] = 8
    optimise: Goal = "cores"
    seed: int = Field(default=0, ge=0)

    def neuron_for(self, changed: Mapping[str, float]) -> NeuronOptions:
        """The options of one layer.

        Raises
        ------
        UsageError
            An unknown option or a value out of range.
        """
        return checked_neuron({**self.neuron.model_dump(), **changed})


def checked_options(**values: object) -> BuildOptions:
    """Build options, or a UsageError in one sentence."""
    try:
        return BuildOptions.model_validate(values)
    except ValidationError as error:
        raise UsageError(first_error(error)) from None


def checked_neuron(values: Mapping[str, object]) -> NeuronOptions:
    """Neuron options, or a UsageError in one sentence."""
    try:
        return NeuronOptions.model_validate(dict(values))
    except ValidationError as error:
        raise UsageError(first_error(error)) from None


def first_error(error: ValidationError) -> str:
    """The first of a validation's complaints as a sentence."""
    row = error.errors()[0]
    # Options of neurons stand beside the others on the command line.
    names = [str(part) for part in row["loc"] if part != "neuron" and not isinstance(part, int)]
    place = ".".join(names or ["neuron"]).replace("_", "-")
    if row["type"] == "extra_forbidden":
        return f"option {place}: there is no such option (got {row['input']!r})"
    text = row["msg"][0].lower() + row["msg"][1:]
    return f"option {place}: {text} (got {row['input']!r})"
