"""What every frontend returns: the network, and where it came from."""

from __future__ import annotations

from dataclasses import dataclass

from nmcompile.errors import NmcompileWarning
from nmcompile.ir import Network


class AssumptionWarning(NmcompileWarning):
    """Something that a file leaves open, and how it was taken."""


@dataclass(frozen=True)
class Source:
    """A model that was read.

    Attributes
    ----------
    network : the float network
    sha256 : of the file, or of configuration and weights of a model in memory
    path : the file as it was named, or the model's name for a model in memory
    """

    network: Network
    sha256: str
    path: str
