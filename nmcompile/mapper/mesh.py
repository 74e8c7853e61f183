"""Cores to places on a chip: few hops from tile to tile for the messages that stay on it.

Which cores should sit close is a quadratic assignment, for which no fast exact method is known.
Cores start in their order, tile by tile. Then two of them change places, or one moves to an empty
place, at random: always where that saves hops, and within a limit that sinks to nothing where it
costs some. Last, every exchange that saves is made. Of that and of the same without the random
part the better one counts, so that no chip is worse than in order.

Messages from and to other chips do not count: no public source says where on the mesh they leave
a chip.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from nmcompile.hardware import HardwareModel
from nmcompile.mapper.compiled import compiled
from nmcompile.mapper.traffic import Traffic, tile_of

#: Random exchanges tried on a chip, for each of its cores and places: a sweep tries all pairs.
_SWEEPS = 20

Ints = NDArray[np.int64]
Indices = NDArray[np.int32]


def in_order(chip: Indices) -> Indices:
    """Place of each core where cores fill their chip in their order."""
    order = np.argsort(chip, kind="stable")
    first = np.searchsorted(chip[order], np.arange(int(chip.max(initial=-1)) + 1))
    position = np.empty(len(chip), np.int32)
    position[order] = np.arange(len(chip)) - first[chip[order]]
    return position


def assign_positions(
    traffic: Traffic,
    chip: Indices,
    hardware: HardwareModel,
    seed: int = 0,
    threads: int | None = None,
    *,
    per_chip: int | None = None,
) -> Indices:
    """Place of each core on its chip, with few hops for the messages within chips.

    Parameters
    ----------
    traffic : messages per time step from core to core
    chip : (cores,) int32, the chip of each core
    hardware : says how many places a chip has and on which tiles they are
    seed : of the random exchanges; equal seeds give equal places
    threads : that work on chips at the same time, None for all of the machine; makes no
        difference to the result
    per_chip : cores of a chip that may be used; None for all

    Returns
    -------
    (cores,) int32, from 0 to less than the chip has cores, tile by tile; on no chip with more hops
    than `in_order`
    """
    position = in_order(chip)
    places = per_chip or hardware.chip.cores.value
    tile = np.arange(places) // hardware.chip.cores_per_tile.value
    column, row = tile_of(np.unique(tile, return_index=True)[1], hardware)
    distance = abs(column[:, None] - column) + abs(row[:, None] - row)
    graph = traffic.symmetric()
    order = np.argsort(chip, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(chip[order])) + 1)
    flow_between, settled = compiled(_flow), compiled(_settle)
    parts = min(len(groups), threads or os.cpu_count() or 1)

    def settle(part: int) -> None:
        slot = np.full(len(chip), -1, np.int32)
        for cores in groups[part::parts]:
            flow = flow_between(*graph, cores, slot)
            if not flow.any():
                continue
            # Numbers of its own for each chip, so that it does not matter who draws first.
            random = np.random.default_rng([seed, int(chip[cores[0]])])
            tries = _SWEEPS * len(cores) * places
            who = random.integers(len(cores), size=tries, dtype=np.int32)
            where = random.integers(places, size=tries, dtype=np.int32)
            position[cores] = settled(flow, tile, distance, who, where)

    with ThreadPoolExecutor(parts) as pool:
        list(pool.map(settle, range(parts)))
    return position


# Kernels. Each stands alone, for numba keeps what it compiles by the kernel's own file.


def _flow(start: Ints, neighbour: Indices, weight: Ints, cores: Ints, slot: Indices) -> Ints:
    """Traffic between each two of some cores; `slot` is -1 everywhere before and after."""
    flow = np.zeros((len(cores), len(cores)), np.int64)
    for own in range(len(cores)):
        slot[cores[own]] = own
    for own in range(len(cores)):
        for edge in range(start[cores[own]], start[cores[own] + 1]):
            other = slot[neighbour[edge]]
            if other >= 0:
                flow[own, other] = weight[edge]
    for own in range(len(cores)):
        slot[cores[own]] = -1
    return flow


def _settle(flow: Ints, tile: Ints, distance: Ints, who: Indices, where: Indices) -> Indices:
    """Place of each core of one chip.

    Parameters
    ----------
    flow : (cores, cores), symmetric
    tile : (places,), the tile of each place
    distance : (tiles, tiles), hops from tile to tile
    who, where : (tries,), cores and places to which they may go, at random
    """
    cores, places, tiles = len(flow), len(tile), len(distance)
    least = np.int64(-1)
    best = np.empty(cores, np.int32)
    for tries in (0, len(who)):
        place = np.arange(cores).astype(np.int32)
        holder = np.full(places, -1, np.int32)
        holder[:cores] = place
        # Hops of all that a core sends and receives if it were on each of the tiles.
        cost = np.zeros((cores, tiles), np.int64)
        for core in range(cores):
            for other in range(cores):
                if flow[core, other]:
                    cost[core] += flow[core, other] * distance[tile[other]]
        start_limit = np.int64(0)
        for core in range(cores):
            start_limit += cost[core, tile[core]]
        start_limit = start_limit // cores // 4
        step, unchanged = 0, 0
        # After the random tries each core with each place, until none saves any more.
        while step < tries or unchanged < cores * places:
            if step < tries:
                core, goal = who[step], where[step]
                left = (tries - step) / tries
                limit = np.int64(start_limit * left * left)
            else:
                core, goal = (step - tries) // places % cores, (step - tries) % places
                limit = np.int64(-1)
            step += 1
            unchanged += 1
            here, there = tile[place[core]], tile[goal]
            if here == there:
                continue
            other = holder[goal]
            change = cost[core, there] - cost[core, here]
            if other >= 0:
                change += cost[other, here] - cost[other, there]
                change += 2 * flow[core, other] * distance[here, there]
            if change > limit:
                continue
            unchanged = 0
            holder[place[core]] = other
            holder[goal] = core
            if other >= 0:
                place[other] = place[core]
            place[core] = goal
            for third in range(cores):
                moved = flow[core, third]
                if other >= 0:
                    moved -= flow[other, third]
                if moved:
                    for at in range(tiles):
                        cost[third, at] += moved * (distance[there, at] - distance[here, at])
        total = np.int64(0)
        for core in range(cores):
            total += cost[core, tile[place[core]]]
        if least < 0 or total < least:
            least = total
            best[:] = place
    return best
