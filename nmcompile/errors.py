"""The errors that users see: one sentence each, with what is wrong, the limit and the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class NmcompileError(Exception):
    """Base of every error raised on purpose; its text is one sentence for a person."""


class UsageError(NmcompileError):
    """An option or argument that makes no sense (exit status 2)."""


class DataError(NmcompileError):
    """A data file or array of the wrong shape, type or range."""


class ModelError(NmcompileError):
    """A model file that cannot be read or that holds impossible values."""


class CompileError(NmcompileError):
    """A pass cannot turn its input into what the next one needs."""


class VerifyError(NmcompileError):
    """A value breaks one of its own rules or a limit of the hardware model."""


class ProgramFileError(NmcompileError):
    """A `.nmc` file that is cut, edited, or of a newer format."""


@dataclass(frozen=True)
class Obstacle:
    """One reason why a model cannot be compiled.

    Attributes
    ----------
    layer : name of the layer in the model
    kind : its class, such as ``MaxPooling2D``
    why : what about it the chip cannot do
    remedy : what to do instead
    """

    layer: str
    kind: str
    why: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.layer} ({self.kind}): {self.why}; {self.remedy}"


class UnsupportedError(ModelError):
    """The model holds layers that cannot be compiled; all of them are in `obstacles`."""

    def __init__(self, source: str, obstacles: Sequence[Obstacle]) -> None:
        self.source = source
        self.obstacles = tuple(obstacles)
        count = len(self.obstacles)
        listed = " | ".join(str(obstacle) for obstacle in self.obstacles)
        super().__init__(
            f"{source}: {count} layer{'s' if count != 1 else ''} cannot be compiled: {listed}"
        )


class FitError(CompileError):
    """The network does not fit the target: layer, resource, use, limit and a board that would do.

    Attributes
    ----------
    layer : the layer whose demand breaks the limit (or ``""`` for the whole network)
    resource : such as ``"input axons"`` or ``"cores"``
    used, limit : numbers of that resource
    """

    def __init__(self, message: str, *, layer: str, resource: str, used: int, limit: int) -> None:
        self.layer, self.resource, self.used, self.limit = layer, resource, used, limit
        super().__init__(message)
