"""Kernels that split cores among chips; each stands alone, so that numba can keep it compiled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Indices = NDArray[np.int32]
Sides = NDArray[np.int8]


def extract(
    start: Ints, neighbour: Indices, weight: Ints, members: Ints, slot: Indices
) -> tuple[Ints, Indices, Ints]:
    """The graph between some nodes; `slot` is -1 everywhere before and after."""
    space = 0
    for new in range(len(members)):
        node = members[new]
        slot[node] = new
        space += start[node + 1] - start[node]
    new_start = np.empty(len(members) + 1, np.int64)
    new_neighbour = np.empty(space, np.int32)
    new_weight = np.empty(space, np.int64)
    used = 0
    for new in range(len(members)):
        node = members[new]
        new_start[new] = used
        for edge in range(start[node], start[node + 1]):
            to = slot[neighbour[edge]]
            if to >= 0:
                new_neighbour[used] = to
                new_weight[used] = weight[edge]
                used += 1
    new_start[len(members)] = used
    for new in range(len(members)):
        slot[members[new]] = -1
    return new_start, new_neighbour[:used].copy(), new_weight[:used].copy()


def merge(
    start: Ints,
    neighbour: Indices,
    weight: Ints,
    size: Ints,
    chip: Indices,
    order: Indices,
    largest: int,
) -> tuple[Indices, int]:
    """Pairs to contract, on one chip: heaviest edges, or else a heaviest neighbour in common."""
    nodes = len(size)
    mate = np.full(nodes, -1, np.int32)
    # Who waits for a mate, by its heaviest neighbour; the last for those without any.
    waits = np.full(nodes + 1, -1, np.int32)
    for node in order:
        if mate[node] >= 0:
            continue
        best, best_rating = -1, 0.0
        hub, hub_weight = nodes, 0
        for edge in range(start[node], start[node + 1]):
            other = neighbour[edge]
            if chip[other] != chip[node]:
                continue
            if weight[edge] > hub_weight:
                hub, hub_weight = other, weight[edge]
            if mate[other] < 0 and size[node] + size[other] <= largest:
                rating = weight[edge] / (size[node] * size[other])
                if rating > best_rating:
                    best, best_rating = other, rating
        if best < 0:
            other = waits[hub]
            if (
                other >= 0
                and mate[other] < 0
                and chip[other] == chip[node]
                and size[node] + size[other] <= largest
            ):
                best = other
            else:
                waits[hub] = node
        if best >= 0:
            mate[node] = best
            mate[best] = node
    merged = np.empty(nodes, np.int32)
    count = 0
    for node in range(nodes):
        if 0 <= mate[node] < node:
            merged[node] = merged[mate[node]]
        else:
            merged[node] = count
            count += 1
    return merged, count


def contract(
    start: Ints, neighbour: Indices, weight: Ints, size: Ints, merged: Indices, count: int
) -> tuple[Ints, Indices, Ints, Ints]:
    """The graph of merged nodes."""
    nodes = len(size)
    new_size = np.zeros(count, np.int64)
    first = np.full(count, -1, np.int32)
    second = np.full(count, -1, np.int32)
    for node in range(nodes):
        new = merged[node]
        new_size[new] += size[node]
        if first[new] < 0:
            first[new] = node
        else:
            second[new] = node
    new_start = np.empty(count + 1, np.int64)
    new_neighbour = np.empty(len(neighbour), np.int32)
    new_weight = np.empty(len(neighbour), np.int64)
    at = np.full(count, -1, np.int64)
    used = 0
    for new in range(count):
        begin = used
        new_start[new] = begin
        for turn in range(2):
            node = first[new] if turn == 0 else second[new]
            if node < 0:
                continue
            for edge in range(start[node], start[node + 1]):
                to = merged[neighbour[edge]]
                if to == new:
                    continue
                if at[to] >= begin:
                    new_weight[at[to]] += weight[edge]
                else:
                    at[to] = used
                    new_neighbour[used] = to
                    new_weight[used] = weight[edge]
                    used += 1
    new_start[count] = used
    return new_start, new_neighbour[:used].copy(), new_weight[:used].copy(), new_size


def grow(start: Ints, neighbour: Indices, weight: Ints, size: Ints, first: int, goal: int) -> Sides:
    """Sides of which 0 grows outward from a node until it holds the goal."""
    nodes = len(size)
    side = np.ones(nodes, np.int8)
    seen = np.zeros(nodes, np.bool_)
    queue = np.empty(nodes, np.int32)
    head, tail, held, unseen = 0, 0, 0, 0
    origin = first
    while held < goal:
        if head == tail:
            while origin < 0 and unseen < nodes:
                if not seen[unseen]:
                    origin = unseen
                unseen += 1
            if origin < 0:
                break
            seen[origin] = True
            queue[tail] = origin
            tail += 1
            origin = -1
        node = queue[head]
        head += 1
        side[node] = 0
        held += size[node]
        for edge in range(start[node], start[node + 1]):
            if not seen[neighbour[edge]]:
                seen[neighbour[edge]] = True
                queue[tail] = neighbour[edge]
                tail += 1
    return side


def mend(
    start: Ints,
    neighbour: Indices,
    weight: Ints,
    size: Ints,
    side: Sides,
    left: int,
    right: int,
    passes: int,
    patience: int,
) -> int:
    """Move nodes between two sides, in place; returns by how much less they are cut.

    In each pass every node moves at most once, best gain first, losses too; of all the states
    passed the best stays: least over what the sides may hold, then least cut, then the earliest.
    A side that holds too much moves first, so that two full sides exchange nodes.
    """
    nodes = len(size)
    leaves = 1
    while leaves < nodes:
        leaves *= 2
    # A tournament a side: which free node there gains most by moving.
    best = np.empty((2, 2 * leaves), np.int32)
    gain = np.empty(nodes, np.int64)
    free = np.empty(nodes, np.bool_)
    moves = np.empty(nodes, np.int32)
    held = np.zeros(2, np.int64)
    for node in range(nodes):
        held[side[node]] += size[node]
    gained = 0
    over = max(0, held[0] - left) + max(0, held[1] - right)
    for _ in range(passes):
        best[:] = -1
        for node in range(nodes):
            free[node] = True
            total = 0
            for edge in range(start[node], start[node + 1]):
                if side[neighbour[edge]] == side[node]:
                    total -= weight[edge]
                else:
                    total += weight[edge]
            gain[node] = total
            best[side[node], leaves + node] = node
        for which in range(2):
            for place in range(leaves - 1, 0, -1):
                a, b = best[which, 2 * place], best[which, 2 * place + 1]
                best[which, place] = a if b < 0 or (a >= 0 and gain[a] >= gain[b]) else b
        count, kept = 0, 0
        now, most, least_over = 0, 0, over
        while count - kept < patience or over > 0:
            if held[0] > left:
                which = 0
            elif held[1] > right:
                which = 1
            else:
                a, b = best[0, 1], best[1, 1]
                which = 0 if b < 0 or (a >= 0 and gain[a] >= gain[b]) else 1
            node = best[which, 1]
            if node < 0:
                break
            now += gain[node]
            held[which] -= size[node]
            held[1 - which] += size[node]
            side[node] = 1 - which
            free[node] = False
            moves[count] = node
            count += 1
            best[which, leaves + node] = -1
            place = (leaves + node) // 2
            while place > 0:
                a, b = best[which, 2 * place], best[which, 2 * place + 1]
                best[which, place] = a if b < 0 or (a >= 0 and gain[a] >= gain[b]) else b
                place //= 2
            for edge in range(start[node], start[node + 1]):
                other = neighbour[edge]
                if not free[other]:
                    continue
                of = side[other]
                gain[other] += 2 * weight[edge] if of == which else -2 * weight[edge]
                place = (leaves + other) // 2
                while place > 0:
                    a, b = best[of, 2 * place], best[of, 2 * place + 1]
                    best[of, place] = a if b < 0 or (a >= 0 and gain[a] >= gain[b]) else b
                    place //= 2
            over = max(0, held[0] - left) + max(0, held[1] - right)
            if over < least_over or (over == least_over and now > most):
                kept, most, least_over = count, now, over
        for back in range(count - 1, kept - 1, -1):
            node = moves[back]
            which = side[node]
            held[which] -= size[node]
            held[1 - which] += size[node]
            side[node] = 1 - which
        over = least_over
        gained += most
        if kept == 0:
            break
    return gained


def relieve(
    start: Ints, neighbour: Indices, weight: Ints, chip: Indices, chips: int, per_chip: int
) -> Indices:
    """Chips after those that hold too many cores gave away the ones that cost least."""
    cores = len(chip)
    chip = chip.copy()
    held = np.zeros(chips, np.int64)
    for core in range(cores):
        held[chip[core]] += 1
    reach = np.zeros(chips, np.int64)
    loss = np.full(cores, np.int64(2) ** 62)
    # Losses first, with the chips that have room before any core moved; then the moves.
    for turn in range(2):
        order = np.argsort(loss, kind="mergesort") if turn else np.arange(cores)
        for core in order:
            own = chip[core]
            if held[own] <= per_chip:
                continue
            for edge in range(start[core], start[core + 1]):
                reach[chip[neighbour[edge]]] += weight[edge]
            best = -1
            for edge in range(start[core], start[core + 1]):
                to = chip[neighbour[edge]]
                if held[to] < per_chip and (best < 0 or reach[to] > reach[best]):
                    best = to
            if best < 0:
                best = int(np.argmin(held))
            if turn:
                chip[core] = best
                held[own] -= 1
                held[best] += 1
            else:
                loss[core] = reach[own] - reach[best]
            for edge in range(start[core], start[core + 1]):
                reach[chip[neighbour[edge]]] = 0
            reach[own] = 0
            reach[best] = 0
    return chip
