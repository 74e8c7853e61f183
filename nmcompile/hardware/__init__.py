"""What chips and boards can hold: hardware models as data."""

from nmcompile.hardware.load import load_hardware, model_names, parse_hardware, parse_target
from nmcompile.hardware.model import Board, HardwareModel, Target

__all__ = [
    "Board",
    "HardwareModel",
    "Target",
    "load_hardware",
    "model_names",
    "parse_hardware",
    "parse_target",
]
