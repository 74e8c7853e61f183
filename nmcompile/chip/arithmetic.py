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


#: Bits that a weight has below its mantissa while it learns.
LEARN_FRACTION = 7
#: Factors of 7 bits each and a rate of 3 bits, less the 15 bits of the learning accumulator.
LEARN_OVERFLOW = 2 * 7 + 3 - 15
TRACE_MAX = 127
#: Largest size of an error that the host sends.
ERROR_MAX = 127
#: A trace impulse counts in 128ths.
TRACE_UNIT = 128


def round_stochastically(x: float, draw: float) -> int:
    """A neighbouring integer of ``x``: away from zero as often as its fraction says.

    Parameters
    ----------
    draw : uniform in 0..1, less than 1
    """
    size = abs(x)
    whole = int(size)
    rounded = whole + (size - whole > draw)
    return rounded if x >= 0 else -rounded


def trace(x: int, kept: float, impulse: int, draw: float) -> int:
    """A presynaptic trace after one epoch.

    Parameters
    ----------
    x : trace before, 0..127
    kept : share that an epoch leaves, exp(-epoch / tau)
    impulse : in 128ths; 0 where no spike came
    """
    return min(round_stochastically(kept * x + impulse / TRACE_UNIT, draw), TRACE_MAX)


def learned(
    mantissa: int, step: int, x: int, error: int, rate: tuple[int, int], draw: float
) -> int:
    """A weight mantissa, of a format for both signs, after one epoch of PES.

    Parameters
    ----------
    step : what mantissas are multiples of, see `mantissa_step`
    x : trace of its axon
    error : of its compartment, -127..127
    rate : mantissa and exponent of the learning rate
    """
    change = shift(x * error * rate[0], LEARN_FRACTION + rate[1] - LEARN_OVERFLOW)
    fine = (mantissa << LEARN_FRACTION) + change
    limit = learned_limit(step)
    rounded = round_stochastically(fine / (step << LEARN_FRACTION), draw)
    return max(-limit, min(rounded, limit)) * step


def learned_limit(step: int) -> int:
    """Largest size that a mixed mantissa can learn, in units of its step."""
    return 256 // step - 1


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


def uniform_draw(seed: int, source: int, target: int, step: int) -> float:
    """Uniform in 0..1, less than 1, for the stochastic rounding of learning.

    `source` and `target` number the neurons of a synapse in their network, and `target` is -1
    for the trace of the source's axon, so that a draw does not depend on the partition.
    """
    key = mix(mix((seed + _GOLDEN) & _MASK) ^ ((source + 1) * _GOLDEN & _MASK))
    key = mix(key ^ ((target + 2) * 0xBF58476D1CE4E5B9 & _MASK))
    return (mix(key ^ ((step + 1) * 0xD1B54A32D192ED03 & _MASK)) >> 11) / (1 << 53)


def noise(draw: int, exponent: int, offset: int) -> int:
    """A draw plus 64 times the offset register, times 2^(exponent - 7), toward zero."""
    value = draw + 64 * offset
    size = abs(value) << exponent >> 7
    return size if value >= 0 else -size
