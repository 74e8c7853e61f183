"""What the pieces of a layer take of a core, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nmcompile.chip.bill import neuron_words
from nmcompile.mapper.cut import Cut, IntArray
from nmcompile.mapper.problem import Choice, Problem

FloatArray = NDArray[np.float64]

#: Along an axis with more pieces than twice this, those in the middle are alike.
EDGE = 4


@dataclass(frozen=True, eq=False)
class Pieces:
    """Some pieces of a layer; all arrays (pieces,).

    Attributes
    ----------
    layer : its name
    number : number of each piece
    times : how many pieces of the layer it stands for
    compartments, words, axons, slots : what it takes alone on a core
    later_words, later_formats : words and formats wherever it starts, at most
    highest : largest base; the piece may start up to so much before the base's limit
    narrow : pop16 axons
    spikes, events : messages and synaptic events in a step
    formats : rows of the format table
    """

    layer: str
    number: IntArray
    times: IntArray
    compartments: IntArray
    words: IntArray
    later_words: IntArray
    highest: IntArray
    axons: IntArray
    narrow: IntArray
    slots: IntArray
    formats: IntArray
    later_formats: IntArray
    spikes: FloatArray
    events: FloatArray

    def shares(self, problem: Problem) -> FloatArray:
        """(resources, pieces) share of a core that each piece takes alone.

        Compartments, memory, input axons, output axon slots; and formats, where they are too many.
        """
        core = problem.hardware.core
        return np.stack(
            [
                self.compartments / core.compartments.value,
                self.words / core.memory_words.value,
                self.axons / core.input_axons.value,
                self.slots / core.output_axon_slots.value,
                self.formats
                / core.synapse_formats.value
                * (self.formats > core.synapse_formats.value),
            ]
        )


def measure(problem: Problem, choice: Choice, layer: str) -> Pieces:
    """What each piece of a layer takes under a choice."""
    cut = choice.cuts[layer]
    every = np.arange(cut.pieces), np.ones(cut.pieces, np.int64)
    return _measure(problem, choice, layer, *every, problem.slots(choice, layer))


def measure_some(problem: Problem, choice: Choice, layer: str, *, edges: bool = True) -> Pieces:
    """The same from a few pieces: those at the edges and one in the middle of each axis.

    Each counts as many times as it stands for; without `edges`, the one in the middle is all.
    Output axon slots are those of the busiest piece, at most.
    """
    cut = choice.cuts[layer]
    number, times = sampled(cut) if edges else middle(cut)
    slots = np.full(len(number), problem.busiest(choice, layer))
    return _measure(problem, choice, layer, number, times, slots)


def _measure(
    problem: Problem,
    choice: Choice,
    layer: str,
    number: IntArray,
    times: IntArray,
    slots: IntArray,
) -> Pieces:
    cut = choice.cuts[layer]
    hardware = problem.hardware
    last = hardware.core.compartments.value
    rates = [problem.rates[problem.ends(k)[0]] for k in problem.into[layer]]
    rows = []
    kept = []
    seen: dict[tuple[int, ...], tuple[float, ...]] = {}
    for piece in number.tolist():
        entries = problem.entries(choice, layer, piece)
        kept.append(entries)
        size = int(cut.compartments[piece])
        # Links return the same object for the same structure; it must live on for its id to.
        key = (size, *map(id, entries))
        if key not in seen:
            near = neuron_words(size, hardware)
            later = max(last - size, 0)
            seen[key] = (
                size,
                near + sum(entry.words(0, hardware) for entry in entries),
                near + sum(entry.words_later(later, hardware) for entry in entries),
                max((entry.highest for entry in entries), default=0),
                sum(entry.axons for entry in entries),
                sum(
                    min(entry.narrow, problem.room(k))
                    for k, entry in zip(problem.into[layer], entries, strict=True)
                ),
                len({row for entry in entries for row in entry.formats(0, hardware)}),
                sum(entry.formats_later() for entry in entries),
                sum(rate * entry.spikes for rate, entry in zip(rates, entries, strict=True)),
                sum(rate * entry.events for rate, entry in zip(rates, entries, strict=True)),
            )
        rows.append(seen[key])
    table = np.array(rows, np.float64).reshape(len(number), -1).T
    whole = table[:8].astype(np.int64)
    return Pieces(
        layer=layer,
        number=number,
        times=times,
        compartments=whole[0],
        words=whole[1],
        later_words=np.maximum(whole[1], whole[2]),
        highest=whole[3],
        axons=whole[4],
        narrow=whole[5],
        slots=slots,
        formats=whole[6],
        later_formats=whole[7],
        spikes=table[8],
        events=table[9],
    )


def sampled(cut: Cut) -> tuple[IntArray, IntArray]:
    """Pieces at the edges and one in the middle of each axis, and how many each stands for."""
    axes = []
    for n in cut.counts:
        if n <= 2 * EDGE + 1:
            axes.append([(k, 1) for k in range(n)])
        else:
            ends = [(k, 1) for k in (*range(EDGE), *range(n - EDGE, n))]
            axes.append([*ends, (n // 2, n - 2 * EDGE)])
    _, cols, channels = cut.counts
    found = [
        ((r * cols + c) * channels + k, a * b * d)
        for r, a in axes[0]
        for c, b in axes[1]
        for k, d in axes[2]
    ]
    number, times = np.array(sorted(found), np.int64).T
    return number, times


def middle(cut: Cut) -> tuple[IntArray, IntArray]:
    """One piece that is whole along each axis and not at its beginning, if there is one."""
    rows, cols, channels = (1 if n > 2 else 0 for n in cut.counts)
    piece = (rows * cut.counts[1] + cols) * cut.counts[2] + channels
    return np.array([piece]), np.array([cut.pieces])
