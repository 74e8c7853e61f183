"""Loihi 2 by way of Intel's Lava: a Program's layers as Lava processes, in a folder to run."""

from nmcompile.backends.lava.folder import write_folder
from nmcompile.backends.lava.session import Lava, LavaSession

__all__ = ["Lava", "LavaSession", "write_folder"]
