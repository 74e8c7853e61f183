"""Best fit, one piece after the other; compiled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def best_fit(
    order: Ints,
    needs: Ints,
    words: Ints,
    highest: Ints,
    group: Ints,
    registers: Ints,
    limits: Ints,
    multiple: int,
    base_max: int,
    open_cores: int,
    full: float,
) -> tuple[Ints, NDArray[np.bool_]]:
    """Core of each piece, and whether it is one of those that come first there.

    Parameters
    ----------
    order : pieces as they are taken
    needs : (pieces, resources) of a piece anywhere on a core; compartments first, then memory
    words : (pieces,) memory of a piece near compartment 0
    highest : (pieces,) largest base of a piece
    group : (pieces,) only equal ones share a core
    registers : (pieces,) equal for equal registers, which count once a core as the last resource;
        from 62 on each piece counts
    limits : (resources,) of a core; the first four count for how full it is
    multiple, base_max : of bases
    open_cores : cores that are looked at; the fullest make room
    full : a core is done when one of its first four resources is so full
    """
    count, resources = needs.shape
    core = np.full(count, -1, np.int64)
    near = np.zeros(count, np.bool_)
    rows = min(count, open_cores)
    used = np.zeros((rows, resources), np.int64)
    taken = np.zeros(rows, np.int64)
    name = np.full(rows, -1, np.int64)
    kind = np.full(rows, -1, np.int64)
    known = np.zeros(rows, np.int64)
    smallest = needs[:, 0].min()
    n_open = cores = 0
    for piece in order:
        gains = words[piece] < needs[piece, 1]
        bit = np.int64(1) << registers[piece] if registers[piece] < 62 else np.int64(0)
        best, found, best_near = np.inf, -1, False
        for k in range(n_open):
            if kind[k] != group[piece]:
                continue
            lies_near = gains and taken[k] % multiple == 0 and taken[k] + highest[piece] <= base_max
            least, total, fits = np.inf, 0.0, True
            for r in range(resources):
                need = needs[piece, r]
                if r == 1 and lies_near:
                    need = words[piece]
                elif r == resources - 1 and known[k] & bit:
                    need = 0
                left = limits[r] - used[k, r] - need
                if left < 0:
                    fits = False
                    break
                if r < 4:
                    share = left / limits[r]
                    total += share
                    least = min(least, share)
            if fits and least + 0.1 * total < best:
                best, found, best_near = least + 0.1 * total, k, lies_near
        if found >= 0:
            at = found
            near[piece] = best_near
        else:
            core[piece] = cores
            cores += 1
            near[piece] = gains
            closed = needs[piece, 0] + smallest > limits[0]
            for r in range(resources):
                need = words[piece] if r == 1 and gains else needs[piece, r]
                closed = closed or need > limits[r]
            if closed:
                continue
            at = n_open
            if n_open == rows:
                most = -1.0
                for k in range(rows):
                    for r in range(4):
                        if used[k, r] / limits[r] > most:
                            most, at = used[k, r] / limits[r], k
            else:
                n_open += 1
            used[at] = 0
            taken[at] = 0
            known[at] = 0
            name[at], kind[at] = core[piece], group[piece]
        core[piece] = name[at]
        is_full = False
        for r in range(resources):
            if r == resources - 1 and known[at] & bit:
                continue
            used[at, r] += words[piece] if r == 1 and near[piece] else needs[piece, r]
            is_full = is_full or (r < 4 and used[at, r] >= full * limits[r])
        known[at] |= bit
        if near[piece]:
            taken[at] += needs[piece, 0]
        if is_full:
            n_open -= 1
            used[at] = used[n_open]
            taken[at], name[at], kind[at] = taken[n_open], name[n_open], kind[n_open]
            known[at] = known[n_open]
    return core, near
