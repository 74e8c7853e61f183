"""Keras activations that are the chip's neurons: forward what it does, backward a smooth curve."""

from __future__ import annotations

from math import expm1
from typing import Any

import keras
from keras import ops

from nmcompile.errors import UsageError
from nmcompile.frontends.keras.spiking import gain_and_bias
from nmcompile.training.curves import smooth_if, soft_lif, staircase, straight_through


class ChipNeuron(keras.layers.Layer):  # type: ignore[misc]
    """Base of the spiking activations.

    An input x becomes a current ``J = gain * x + bias``, the current a rate, and the rate times
    `amplitude` is the activation. Gain and bias follow from `max_rate` and `intercept` as in
    Nengo: the neuron starts to fire at x = `intercept` and, but for the rounding to whole steps,
    has the rate `max_rate` at x = 1. Without a `max_rate`, J is x.

    Parameters
    ----------
    max_rate : in Hz
    intercept : less than 1
    amplitude : activation per Hz; where None, an input of 1 gives about 1 (``1 / max_rate``), or
        without `max_rate`, one spike a step stands for 1 (`dt`)
    dt : time step in seconds
    """

    def __init__(
        self,
        *,
        tau_rc: float | None,
        tau_ref: float,
        max_rate: float | None,
        intercept: float,
        amplitude: float | None,
        dt: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (("tau_rc", tau_rc), ("dt", dt), ("amplitude", amplitude)):
            if value is not None and not value > 0:
                raise UsageError(f"layer {self.name!r}: {name} is {value:g}; give more than 0")
        if tau_ref < 0:
            raise UsageError(f"layer {self.name!r}: tau_ref is {tau_ref:g}; give 0 or more")
        self.tau_rc, self.tau_ref, self.dt = tau_rc, tau_ref, dt
        self.max_rate, self.intercept = max_rate, intercept
        self.amplitude = amplitude if amplitude is not None else 1 / max_rate if max_rate else dt
        try:
            self.gain, self.bias = gain_and_bias(max_rate, intercept, tau_rc, tau_ref, dt)
        except ValueError as error:
            raise UsageError(f"layer {self.name!r}: {error}") from None
        self.supports_masking = True

    @property
    def leak(self) -> float:
        """Share of the voltage that is lost in a step."""
        return 0.0 if self.tau_rc is None else -expm1(-self.dt / self.tau_rc)

    @property
    def threshold(self) -> float:
        """Voltage above which the neuron fires, in units of the current per step."""
        return 1 / self.leak if self.leak else 1.0

    @property
    def pause(self) -> int:
        """Steps after a spike in which the voltage stays zero."""
        return round(self.tau_ref / self.dt)

    def current(self, x: Any) -> Any:
        """J of an input."""
        x = ops.cast(x, "float32")
        return x if (self.gain, self.bias) == (1.0, 0.0) else x * self.gain + self.bias

    def rate(self, current: Any) -> Any:
        """Spikes per step that the chip's neuron has under a constant current."""
        return staircase(current, self.threshold, self.leak, self.pause)

    def smooth_rate(self, current: Any) -> Any:
        """A smooth curve through the steps of `rate`, whose gradient training takes."""
        raise NotImplementedError

    def activation(self, rate: Any) -> Any:
        """What so many spikes per step stand for."""
        return ops.cast(rate * (self.amplitude / self.dt), self.compute_dtype)

    def call(self, x: Any, training: bool = False) -> Any:
        """Activations of inputs."""
        current = self.current(x)
        rate = straight_through(self.rate(current), self.smooth_rate(current))
        return self.activation(rate)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """All parameters."""
        names = ("tau_rc", "tau_ref", "max_rate", "intercept", "amplitude", "dt")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable("nmcompile")
class ChipIF(ChipNeuron):
    """Integrate-and-fire neurons with hard reset, in whole time steps.

    Forward ``1 / (floor(1/J) + 1)`` spikes a step, backward the gradient of ``1 / (1/J + 1/2)``,
    both with a refractory period's steps added.

    Parameters
    ----------
    max_rate, intercept, amplitude, dt : as in `ChipNeuron`
    tau_ref : refractory period in seconds
    """

    def __init__(
        self,
        max_rate: float | None = None,
        intercept: float = 0.0,
        amplitude: float | None = None,
        *,
        tau_ref: float = 0.0,
        dt: float = 0.001,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            tau_rc=None,
            tau_ref=tau_ref,
            max_rate=max_rate,
            intercept=intercept,
            amplitude=amplitude,
            dt=dt,
            **kwargs,
        )

    def smooth_rate(self, current: Any) -> Any:
        """``1 / (1/J + pause + 1/2)``."""
        return smooth_if(current, self.pause)

    def get_config(self) -> dict[str, Any]:
        """All parameters."""
        config = super().get_config()
        del config["tau_rc"]
        return config


@keras.saving.register_keras_serializable("nmcompile")
class ChipLIF(ChipNeuron):
    """Leaky integrate-and-fire neurons with hard reset, in whole time steps.

    Forward ``1 / ceil((tau_ref + tau_rc · log(1 + 1/(J - 1))) / dt)`` spikes a step, where J above
    1 fires; backward the gradient of `soft_lif` with half a step added.

    Parameters
    ----------
    tau_rc, tau_ref : membrane time constant and refractory period in seconds
    max_rate, intercept, amplitude, dt : as in `ChipNeuron`
    smoothing : of the gradient at the onset, in units of the current
    """

    def __init__(
        self,
        tau_rc: float = 0.02,
        tau_ref: float = 0.002,
        max_rate: float | None = None,
        intercept: float = 0.0,
        amplitude: float | None = None,
        *,
        smoothing: float = 0.1,
        dt: float = 0.001,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            tau_rc=tau_rc,
            tau_ref=tau_ref,
            max_rate=max_rate,
            intercept=intercept,
            amplitude=amplitude,
            dt=dt,
            **kwargs,
        )
        if not smoothing > 0:
            raise UsageError(
                f"layer {self.name!r}: smoothing is {smoothing:g}; give more than 0, such as 0.1"
            )
        self.smoothing = smoothing

    def soft_rate(self, current: Any, offset: float) -> Any:
        """`soft_lif` of this neuron."""
        assert self.tau_rc is not None
        return soft_lif(current, self.tau_rc, self.tau_ref, self.smoothing, self.dt, offset)

    def smooth_rate(self, current: Any) -> Any:
        """`soft_lif` with half a step added."""
        return self.soft_rate(current, offset=0.5)

    def get_config(self) -> dict[str, Any]:
        """All parameters."""
        return {**super().get_config(), "smoothing": self.smoothing}


@keras.saving.register_keras_serializable("nmcompile")
class SoftLIF(ChipLIF):
    """A `ChipLIF` that is trained as the smooth curve itself, forward and backward.

    Outside training it has the rates of `ChipLIF`, which the compiler makes of it. A small
    `smoothing` fits them better, a large one trains more easily.
    """

    def call(self, x: Any, training: bool = False) -> Any:
        """Activations of inputs."""
        if not training:
            return super().call(x)
        return self.activation(self.soft_rate(self.current(x), offset=0.0))
