"""Expected messages between cores, from cuts, packing and the layers' rates."""

from __future__ import annotations

import numpy as np

from nmcompile.mapper.pack import Packing
from nmcompile.mapper.pieces import FloatArray
from nmcompile.mapper.problem import Choice, Problem
from nmcompile.mapper.traffic import Traffic


def core_traffic(problem: Problem, choice: Choice, packing: Packing) -> Traffic:
    """Messages per step from core to core; what the host sends is left out.

    A spike is one message for each axon of its population, whatever core that goes to.
    """
    source: list[np.ndarray] = []
    target: list[np.ndarray] = []
    messages: list[FloatArray] = []
    for k, link in enumerate(problem.links):
        sender, receiver = problem.ends(k)
        if sender == problem.encoder:
            continue
        before, after = choice.cuts[sender], choice.cuts[receiver]
        for piece in range(after.pieces):
            pairs = link.pairs(before, after, piece, choice.splits[k])
            source.append(packing.core[sender][pairs.source])
            target.append(np.full(len(pairs.source), packing.core[receiver][piece]))
            messages.append((pairs.neurons * problem.rates[sender]).astype(np.float64))
    cores = packing.cores
    if not source:
        none = np.zeros(0, np.int32)
        return Traffic(cores, none, none, np.zeros(0))
    edge = np.concatenate(source).astype(np.int64) * cores + np.concatenate(target)
    pair, place = np.unique(edge, return_inverse=True)
    total = np.zeros(len(pair))
    np.add.at(total, place.reshape(-1), np.concatenate(messages))
    first, second = np.divmod(pair, cores)
    return Traffic(cores, first.astype(np.int32), second.astype(np.int32), total)
