"""The chip's integer arithmetic in plain Python, one function a rule, written to be read.

`backends/emulator/kernels.py` holds the same rules compiled for speed; tests keep the two
equal. Sources: nengo-loihi's `builder/discretize.py` and `emulator/interface.py`, read for
facts and compared with, bit for bit, in `tests/differential`.
"""

from __future__ import annotations

DECAY_BITS = 12
#: Bits of the dendritic accumulator and of the current, not counting the sign.
ACCUMULATOR_BITS = 21
CURRENT_BITS = 23
#: Every weight is shifted left by this much on its way to the accumulator, as is the threshold.
WEIGHT_SHIFT = 6
THRESHOLD_SHIFT = 6

#: Sign modes of a synapse format (the chip's fan-out types).
MIXED, EXCITATORY, INHIBITORY = 1, 2, 3


def decay(x: int, rate: int, offset: int = 0) -> int:
    """``x`` after one step of decay, rounded toward zero.

    Parameters
    ----------
    x : current or voltage
    rate : 0..4095; 0 keeps everything
    offset : 1 for the current, 0 for the voltage
    """
    kept = (1 << DECAY_BITS) - offset - rate
    size = (abs(x) * kept) >> DECAY_BITS
    return size if x >= 0 else -size


def wrap(x: int, bits: int) -> int:
    """``x`` in a signed register of `bits` bits and sign, which wraps around."""
    span = 1 << (bits + 1)
    half = 1 << bits
    return (x + half) % span - half


def shift(mantissa: int, exponent: int) -> int:
    """Left shift, or arithmetic right shift for a negative exponent (toward minus infinity)."""
    return mantissa << exponent if exponent >= 0 else mantissa >> -exponent


def weight(mantissa: int, exponent: int) -> int:
    """What one spike adds to the accumulator."""
    return shift(mantissa, exponent) << WEIGHT_SHIFT


def threshold(mantissa: int) -> int:
    """Firing threshold of a 17-bit mantissa; strictly greater fires."""
    return mantissa << THRESHOLD_SHIFT


def bias(mantissa: int, exponent: int) -> int:
    """Bias current of a 13-bit signed mantissa and a 3-bit exponent."""
    return mantissa << exponent


def voltage_floor(exponent: int) -> int:
    """``vmin`` of its exponent register."""
    return -(1 << exponent) + 1


def voltage_ceiling(exponent: int) -> int:
    """``vmax`` of its exponent register."""
    return (1 << (9 + 2 * exponent)) - 1


def mantissa_range(sign_mode: int) -> tuple[int, int]:
    """Smallest and largest 8-bit weight mantissa in a sign mode."""
    return {MIXED: (-256, 254), EXCITATORY: (0, 255), INHIBITORY: (-255, 0)}[sign_mode]


def mantissa_step(weight_bits: int, sign_mode: int) -> int:
    """Mantissas are multiples of this: fewer weight bits, or a sign bit, coarsen them."""
    return (1 << (8 - weight_bits)) * (2 if sign_mode == MIXED else 1)


def mantissa_span(weight_bits: int, sign_mode: int) -> int:
    """Largest size that a mantissa can have with every sign of the mode."""
    step = mantissa_step(weight_bits, sign_mode)
    low, high = mantissa_range(sign_mode)
    sizes = {MIXED: min(-low, high), EXCITATORY: high, INHIBITORY: -low}
    return sizes[sign_mode] // step * step


_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def mix(x: int) -> int:
    """A 64-bit hash (the finaliser of SplitMix64, Steele et al. 2014)."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & _MASK
    return x ^ (x >> 31)


def noise_draw(seed: int, neuron: int, step: int) -> int:
    """Uniform integer in -127..127 that depends on its three keys alone.

    The chip's own generator cannot be reproduced; `neuron` numbers the neuron in its network,
    so that a draw does not depend on the partition.
    """
    key = mix(mix((seed + _GOLDEN) & _MASK) ^ ((neuron + 1) * _GOLDEN & _MASK))
    return mix(key ^ ((step + 1) * 0xD1B54A32D192ED03 & _MASK)) % 255 - 127


def noise(draw: int, exponent: int, offset: int) -> int:
    """A draw plus 64 times the offset register, times 2^(exponent - 7), toward zero."""
    value = draw + 64 * offset
    size = abs(value) << exponent >> 7
    return size if value >= 0 else -size
