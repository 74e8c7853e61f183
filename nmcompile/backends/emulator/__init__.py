"""The bit-accurate emulator."""

from nmcompile.backends.emulator.session import Emulator, EmulatorSession

__all__ = ["Emulator", "EmulatorSession"]
