"""One small network for each feature of the chip; the first line of each says which."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from nmcompile.chip.arithmetic import EXCITATORY, INHIBITORY, MIXED
from nmcompile.chip.core import POP16, POP32
from tools.conformance.sketch import CURRENTS, Drawing

Feature = Callable[[Drawing], None]
FEATURES: dict[str, Feature] = {}
#: Boards of the features that need other ones than the smallest.
TARGETS = {"chips": "loihi1:nahuku-8"}


def feature(make: Feature) -> Feature:
    """List a feature under its function's name."""
    FEATURES[make.__name__] = make
    return make


@feature
def current_decay(drawing: Drawing) -> None:
    """The current's decay, rounded toward zero, and the one that its register counts beyond."""
    core = drawing.add()
    rates = (0, 1, 60, 1000, 2048, 4000, 4094, 4095)
    up = [core.neuron(decay_u=rate, threshold=3000) for rate in rates]
    down = [core.neuron(decay_u=rate, threshold=300, bias=(900, 3)) for rate in rates]
    form = core.format()
    drawing.feed(core, form, 74, up)
    drawing.feed(core, form, -74, down)


@feature
def voltage_decay(drawing: Drawing) -> None:
    """The voltage's decay, rounded toward zero, without the current's offset."""
    core = drawing.add()
    rates = (0, 1, 60, 1000, 2048, 4000, 4094, 4095)
    up = [core.neuron(decay_v=rate, threshold=300) for rate in rates]
    down = [core.neuron(decay_v=rate, threshold=100, bias=(900, 3)) for rate in rates]
    form = core.format()
    drawing.feed(core, form, 122, up)
    drawing.feed(core, form, -122, down)


@feature
def refractory(drawing: Drawing) -> None:
    """The refractory period: a voltage of zero until its counter has run out."""
    core = drawing.add()
    neurons = [
        core.neuron(refractory=period, threshold=100, decay_u=decay)
        for period in (1, 2, 3, 7, 40, 63)
        for decay in (4095, 2000)
    ]
    form = core.format()
    for neuron in neurons:
        drawing.inject(0, core, core.axon(core.block(form, [(neuron, 120, 0)])))
        drawing.inject(2, core, core.axon(core.block(form, [(neuron, -60, 0)])))


@feature
def bias(drawing: Drawing) -> None:
    """Biases of both signs and of every exponent, from the first step on."""
    core = drawing.add()
    for exponent in range(8):
        for mantissa in (1, -1, 37, 4095, -4095):
            core.neuron(bias=(mantissa, exponent), threshold=2000, decay_v=100)
    drawing.feed(core, core.format(), 20, range(8))


@feature
def threshold(drawing: Drawing) -> None:
    """Thresholds: a voltage strictly above fires, one that is equal does not."""
    core = drawing.add()
    form = core.format(exponent=0)
    for mantissa in (1, 2, 63, 64, 100, 200, 400):
        exact = core.neuron(threshold=mantissa)
        above = core.neuron(threshold=mantissa, bias=(1, 0))
        weight = 2 * (mantissa // 2) if mantissa < 250 else 200
        for neuron in (exact, above):
            if weight:
                drawing.inject(2, core, core.axon(core.block(form, [(neuron, weight, 0)])))
    core.neuron(threshold=131071, bias=(4095, 7))


@feature
def voltage_limits(drawing: Drawing) -> None:
    """Limits of the voltage below and above, for a whole core."""
    for low, high in ((23, 7), (0, 7), (5, 7), (12, 6), (20, 3), (23, 0)):
        core = drawing.add(vmin_exponent=low, vmax_exponent=high)
        # Kicked down, the first two come back the sooner, the higher the floor.
        core.neuron(threshold=300, bias=(800, 3))
        core.neuron(threshold=16000, bias=(4095, 7))
        # Above the ceiling: these are silent, but for the widest limits.
        above = (1 << (9 + 2 * high - 6)) - (high == 7)
        core.neuron(threshold=above, bias=(4095, 7))
        core.neuron(threshold=above, decay_v=20)
        kick = core.axon(core.block(core.format(exponent=4), [(0, -200, 0)]))
        drawing.inject(4, core, kick)
        kick = core.axon(core.block(core.format(exponent=7), [(1, -256, 0), (3, 254, 0)]))
        drawing.inject(5, core, kick)


@feature
def weight_exponents(drawing: Drawing) -> None:
    """Weight exponents above zero and below, which shift towards minus infinity."""
    for exponent in (-8, -5, -2, -1, 0, 1, 4, 7):
        core = drawing.add()
        form = core.format(exponent=exponent)
        level = max(1, min(131071, int(300 * 2.0**exponent)))
        drive = (600, min(7, max(0, exponent + 4)))
        for weight in (254, -256, 2, -2, 86):
            bias = drive if weight < 0 else (0, 0)
            neuron = core.neuron(threshold=level, decay_u=2500, bias=bias)
            source = (neuron * 3) % len(CURRENTS)
            drawing.inject(source, core, core.axon(core.block(form, [(neuron, weight, 0)])))


@feature
def sign_modes(drawing: Drawing) -> None:
    """Weights of both signs, above zero alone, and below zero alone."""
    core = drawing.add()
    for mode, weights in (
        (MIXED, (-256, -2, 0, 2, 254)),
        (EXCITATORY, (0, 1, 2, 127, 255)),
        (INHIBITORY, (0, -1, -2, -128, -255)),
    ):
        form = core.format(mode=mode)
        for k, weight in enumerate(weights):
            bias = (900, 3) if weight < 0 else (0, 0)
            neuron = core.neuron(threshold=300, decay_v=200, bias=bias)
            drawing.inject(k, core, core.axon(core.block(form, [(neuron, weight, 0)])))


@feature
def weight_bits(drawing: Drawing) -> None:
    """Weights of fewer bits, in every sign mode, at both ends of their range."""
    for mode in (MIXED, EXCITATORY, INHIBITORY):
        core = drawing.add()
        for bits in (1, 2, 3, 4, 5, 6, 8):
            form = core.format(bits=bits, mode=mode)
            step = (1 << (8 - bits)) * (2 if mode == MIXED else 1)
            low = {MIXED: -256, EXCITATORY: 0, INHIBITORY: -(255 // step) * step}[mode]
            high = {MIXED: 256 - step, EXCITATORY: 255 // step * step, INHIBITORY: 0}[mode]
            for k, weight in enumerate((low, high, step if high else -step)):
                if not low <= weight <= high:
                    continue
                bias = (900, 3) if weight < 0 else (0, 0)
                neuron = core.neuron(threshold=300, decay_v=100, bias=bias)
                drawing.inject(k, core, core.axon(core.block(form, [(neuron, weight, 0)])))


@feature
def delays(drawing: Drawing) -> None:
    """Synaptic delays of 0 to 62 steps, several in one block."""
    core = drawing.add()
    neurons = [core.neuron(threshold=300, decay_u=1000) for _ in range(8)]
    times = (0, 1, 2, 5, 15, 30, 45, 62)
    form = core.format(delay_bits=6)
    row = [(neuron, 120, time) for neuron, time in zip(neurons, times, strict=True)]
    drawing.inject(3, core, core.axon(core.block(form, row)))
    again = [(neuron, -40, time) for neuron, time in zip(neurons, times[::-1], strict=True)]
    drawing.inject(0, core, core.axon(core.block(form, again)))


@feature
def dense_and_sparse(drawing: Drawing) -> None:
    """Synapses that list their targets, in any order and twice, and synapses in a row."""
    core = drawing.add()
    for _ in range(12):
        core.neuron(threshold=700, decay_v=60)
    listed, row = core.format(dense=0), core.format(dense=1)
    sparse = [(7, 90, 0), (0, -30, 0), (11, 254, 0), (7, 16, 0), (3, 2, 0)]
    drawing.inject(1, core, core.axon(core.block(listed, sparse)))
    dense = [(k, 20 * k - 100, 0) for k in range(9)]
    drawing.inject(2, core, core.axon(core.block(row, dense)))
    drawing.inject(4, core, core.axon(len(core.blocks) - 1, base=3))


@feature
def discrete_axons(drawing: Drawing) -> None:
    """Discrete axons, one of a compartment to several cores, bases included."""
    first, second = drawing.add(), drawing.add(position=5)
    sources = [first.neuron(threshold=150) for _ in range(8)]
    drawing.feed(first, first.format(), 200, sources)
    for _ in range(12):
        second.neuron(threshold=400, decay_v=100)
    block = second.block(second.format(), [(0, 100, 0), (1, -50, 0), (2, 254, 0)])
    for k, source in enumerate(sources):
        first.send(source, second, second.axon(block, base=k))
    back = first.axon(first.block(first.format(), [(0, -100, 0), (5, 60, 0)]))
    first.send(sources[1], first, back)


def _population_axons(drawing: Drawing, kind: int) -> None:
    first, second = drawing.add(), drawing.add(position=9)
    # Atoms out of order, and a population in the middle of others.
    for population, atoms in enumerate(((0, 1, 2, 3), (2, 0, 1), (1, 0))):
        for atom in atoms:
            first.neuron(threshold=150, population=(population, atom))
    drawing.feed(first, first.format(), 200, range(len(first.compartments)))
    for _ in range(16):
        second.neuron(threshold=500, decay_v=100)
    rows = [[(0, 60 + 20 * atom, 0), (1 + atom, 254 - 40 * atom, 0)] for atom in range(4)]
    block = second.block(second.format(), *rows)
    for population, base in ((0, 0), (1, 4), (1, 8), (2, 8)):
        first.send(population, second, second.axon(block, kind, base), kind)
    axon = second.axon(block, kind, 4)
    for atom in range(4):
        drawing.inject(4 + atom, second, axon, atom)


@feature
def pop16_axons(drawing: Drawing) -> None:
    """Axons of populations, pop16, whose atoms choose rows of a shared block."""
    _population_axons(drawing, POP16)


@feature
def pop32_axons(drawing: Drawing) -> None:
    """Axons of populations, pop32, whose atoms choose rows of a shared block."""
    _population_axons(drawing, POP32)


@feature
def shared_blocks(drawing: Drawing) -> None:
    """One block of a convolution that axons use at many bases, as images of several channels do."""
    core = drawing.add()
    channels, places = 3, 10
    for _ in range(channels * places):
        core.neuron(threshold=600, decay_u=2000)
    kernel = [(k, (-1) ** k * (40 + 20 * k), 0) for k in range(3 * channels)]
    block = core.block(core.format(), kernel)
    for place in range(places - 2):
        axon = core.axon(block, base=place * channels)
        drawing.inject(place % len(CURRENTS), core, axon)


@feature
def recurrence(drawing: Drawing) -> None:
    """Neurons that drive and stop each other and themselves, one step later."""
    core = drawing.add()
    for k in range(6):
        core.neuron(threshold=200, decay_u=1500, decay_v=150, refractory=1 + k % 3)
    form = core.format()
    drawing.feed(core, form, 120, range(6))
    for k in range(6):
        row = [((k + 1) % 6, 160, 0), ((k + 3) % 6, -120, 0), (k, -60, 0)]
        core.send(k, core, core.axon(core.block(form, row)))


@feature
def cores(drawing: Drawing) -> None:
    """A chain of cores far from each other on one chip, one step a core."""
    chain = [drawing.add(position=place) for place in (0, 127, 64, 3, 90)]
    for core in chain:
        for k in range(4):
            core.neuron(threshold=100, decay_v=40 * k)
    drawing.feed(chain[0], chain[0].format(), 150, range(4))
    for core, after in pairwise(chain):
        for k in range(4):
            row = [(k, 180, 0), ((k + 1) % 4, -30, 0)]
            core.send(k, after, after.axon(after.block(after.format(), row)))


@feature
def chips(drawing: Drawing) -> None:
    """Spikes from chip to chip and back, in one step as on one chip."""
    places = [drawing.add(chip=chip, position=7 * chip) for chip in (0, 3, 1, 7)]
    for core in places:
        for _ in range(4):
            core.neuron(threshold=100, decay_v=60)
    for core in places:
        drawing.feed(core, core.format(), 90, range(4))
    for core, after in zip(places, [*places[1:], places[0]], strict=True):
        for k in range(4):
            row = [((k + 1) % 4, 70, 0), ((k + 2) % 4, -50, 0)]
            core.send(k, after, after.axon(after.block(after.format(), row)))


@feature
def noise_off(drawing: Drawing) -> None:
    """Noise registers of a core that no profile switches on."""
    core = drawing.add(noise_exponent=12, noise_offset=3, noise_at_voltage=1)
    neurons = [core.neuron(threshold=400, decay_v=10 * k) for k in range(8)]
    drawing.feed(core, core.format(), 150, neurons)


@feature
def initial_voltages(drawing: Drawing) -> None:
    """Voltages with which a sample begins, also where the one before ended with others."""
    core = drawing.add()
    for voltage in (0, 1, -1, 6400, 6401, -100000, 4000, 8388607):
        core.neuron(threshold=100, decay_v=300, voltage=voltage)
    for voltage in (3200, -3200):
        core.neuron(threshold=131071, decay_v=4095, voltage=voltage, bias=(11, 1))
    drawing.feed(core, core.format(), 30, range(8))


@feature
def accumulator_overflow(drawing: Drawing) -> None:
    """Dendritic accumulators of 21 bits and a sign, which wrap around."""
    core = drawing.add()
    for k in range(4):
        core.neuron(threshold=131071, decay_u=(4095, 2000, 4095, 2000)[k], decay_v=700)
    form = core.format(exponent=7)
    for source in range(4):
        row = [(0, 254, 0), (1, 254, 0), (2, -256, 0), (3, -256, 0)]
        drawing.inject(source, core, core.axon(core.block(form, row)))


@feature
def current_overflow(drawing: Drawing) -> None:
    """Currents of 23 bits and a sign, which wrap around; voltages are clipped instead."""
    core = drawing.add()
    for decay_u, decay_v in ((0, 0), (1, 4095), (0, 100), (5, 4095)):
        core.neuron(threshold=131071, decay_u=decay_u, decay_v=decay_v)
    form = core.format(exponent=7)
    row = [(0, 120, 0), (1, 120, 0), (2, -120, 0), (3, -120, 0)]
    for source in (0, 1):
        drawing.inject(source, core, core.axon(core.block(form, row)))


@feature
def profiles(drawing: Drawing) -> None:
    """Many profiles, thresholds and formats on one core, mixed from neuron to neuron."""
    core = drawing.add()
    for k in range(24):
        core.neuron(
            decay_u=(4095, 1000, 60, 0)[k % 4],
            decay_v=(0, 300, 4095)[k % 3],
            refractory=(1, 4)[k % 2],
            threshold=100 + 60 * (k % 6),
            bias=((-1) ** k * 11 * k, k % 5),
        )
    for k in range(24):
        form = core.format(exponent=(-2, 0, 1)[k % 3], dense=k % 2)
        target = 0 if k % 2 else k
        axon = core.axon(core.block(form, [(target, 120, 0)]), base=k if k % 2 else 0)
        drawing.inject((k * 5) % len(CURRENTS), core, axon)
