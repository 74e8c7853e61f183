"""The errors that users see: one sentence each, with what is wrong, the limit and the remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any


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


class BoardError(NmcompileError):
    """A board, its software or a register image that does not do what a run needs."""


class NmcompileWarning(UserWarning):
    """Something a user should know about work that goes on all the same."""


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


@dataclass(frozen=True)
class Remedy:
    """A change that was tried because a network did not fit.

    Attributes
    ----------
    change : in words, such as ``"24 of 32 channels in conv2"``
    option : the command line's option for it; empty where the network itself must change
    layer : that changes; empty where none does
    cores : that the network would then take
    board : on which that would be
    fits : whether the board has so many cores
    """

    change: str
    option: str
    layer: str
    cores: int
    board: str
    fits: bool

    def __str__(self) -> str:
        noun = "core" if self.cores == 1 else "cores"
        verb = "fits" if self.fits else "does not fit"
        return f"{self.change}: {self.cores:,} {noun}, {verb} {self.board}"


class FitError(CompileError):
    """The network does not fit the target: layer, resource, use, limit and a board that would do.

    Attributes
    ----------
    layer : the layer whose demand breaks the limit (or ``""`` for the whole network)
    resource : such as ``"input axons"`` or ``"cores"``
    used, limit : numbers of that resource
    taken : layer -> cores that hold some of it, where cores are what lacks
    remedies : changes that were tried and help, the cheapest first
    """

    def __init__(
        self,
        message: str,
        *,
        layer: str,
        resource: str,
        used: int,
        limit: int,
        taken: Mapping[str, int] | None = None,
        remedies: Sequence[Remedy] = (),
    ) -> None:
        self.layer, self.resource, self.used, self.limit = layer, resource, used, limit
        self.taken = dict(taken or {})
        self.remedies = tuple(remedies)
        super().__init__(message)

    def with_remedies(self, remedies: Sequence[Remedy]) -> FitError:
        """The same error with other remedies."""
        return FitError(str(self), **{**self._details(), "remedies": remedies})

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(FitError, **self._details()), (str(self),)

    def _details(self) -> dict[str, Any]:
        names = ("layer", "resource", "used", "limit", "taken", "remedies")
        return {name: getattr(self, name) for name in names}
