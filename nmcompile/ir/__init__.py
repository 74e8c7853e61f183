"""The float layer graph: nodes, networks, their text form and their float evaluation."""

from nmcompile.ir.network import Network
from nmcompile.ir.reference import evaluate

__all__ = ["Network", "evaluate"]
