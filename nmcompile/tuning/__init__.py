"""Search the options of a build on the emulator, for accuracy, latency, spikes or cores."""

from nmcompile.tuning.pareto import Objective, Point, Tuning
from nmcompile.tuning.run import tune

__all__ = ["Objective", "Point", "Tuning", "tune"]
