"""Backends run Programs: the emulator here, boards elsewhere."""
