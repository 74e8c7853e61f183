"""Cores get chips and places: every limit holds, and messages have less far to go than in order."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nmcompile.errors import DataError, FitError
from nmcompile.hardware import HardwareModel, load_hardware
from nmcompile.mapper import chips as chips_module
from nmcompile.mapper import mesh
from nmcompile.mapper.chips import assign_chips, in_order
from nmcompile.mapper.mesh import assign_positions
from nmcompile.mapper.place import place_cores
from nmcompile.mapper.traffic import Traffic

ROOT = Path(__file__).parents[2]
LOIHI = load_hardware("loihi1")


def small(columns: int, rows: int, cores_per_tile: int) -> HardwareModel:
    """Loihi with another mesh."""
    numbers = {
        "mesh_columns": columns,
        "mesh_rows": rows,
        "cores_per_tile": cores_per_tile,
        "cores": columns * rows * cores_per_tile,
    }
    chip = LOIHI.chip
    limits = {
        name: getattr(chip, name).model_copy(update={"value": n}) for name, n in numbers.items()
    }
    return LOIHI.model_copy(update={"chip": chip.model_copy(update=limits)})


def traffic_of(cores: int, pairs: NDArray[np.int64], messages: NDArray[np.float64]) -> Traffic:
    """Traffic from pairs that may stand there more than once, of which the first counts."""
    keys, first = np.unique(pairs[:, 0] * cores + pairs[:, 1], return_index=True)
    source, target = np.divmod(keys, max(cores, 1))
    return Traffic(cores, source.astype(np.int32), target.astype(np.int32), messages[first])


def random_traffic(cores: int, edges: int, seed: int) -> Traffic:
    random = np.random.default_rng(seed)
    pairs = random.integers(0, cores, (edges, 2))
    return traffic_of(cores, pairs, random.exponential(10, edges))


def planted(groups: int, size: int, seed: int) -> tuple[Traffic, NDArray[np.int64]]:
    """Groups of cores that talk to each other much and to the rest little, numbered at random."""
    random = np.random.default_rng(seed)
    cores = groups * size
    group = random.permutation(np.arange(cores) // size)
    pairs = random.integers(0, cores, (cores * 40, 2))
    same = group[pairs[:, 0]] == group[pairs[:, 1]]
    return traffic_of(cores, pairs, np.where(same, 10.0, 0.2)), group


def layered(seed: int = 0) -> Traffic:
    """As of a network in the manner of MobileNet: depthwise and pointwise layers by turns.

    Each layer is a grid of pieces of the image with some groups of channels each. Depthwise, a
    core hears the same channels at its own place and its 8 neighbours'; pointwise, it hears all
    channels at its own place.
    """
    random = np.random.default_rng(seed)
    sizes = [
        (16, 1),
        (16, 1),
        (8, 2),
        (8, 2),
        (8, 4),
        (8, 4),
        (4, 8),
        (4, 8),
        (4, 8),
        (4, 8),
        (2, 16),
    ]
    layers = [(16, 1, False)]
    for grid, groups in sizes:
        layers += [(grid, layers[-1][1], True), (grid, groups, False)]
    cores = sum(grid * grid * groups for grid, groups, _ in layers)
    pairs: list[tuple[int, int]] = []
    before = np.empty((0, 0, 0), np.int64)
    first = 0
    for grid, groups, depthwise in layers:
        here = first + np.arange(grid * grid * groups).reshape(grid, grid, groups)
        first += here.size
        for y, x, group in np.ndindex(*here.shape) if before.size else ():
            wide = len(before) // grid
            margin = 1 if depthwise else 0
            seen = before[
                max(0, y * wide - margin) : (y + 1) * wide + margin,
                max(0, x * wide - margin) : (x + 1) * wide + margin,
            ]
            heard = seen[:, :, group] if depthwise else seen
            pairs += [(source, int(here[y, x, group])) for source in heard.ravel().tolist()]
        before = here
    return traffic_of(cores, np.array(pairs), random.uniform(10, 90, len(pairs)))


@st.composite
def traffics(draw: st.DrawFn) -> Traffic:
    cores = draw(st.integers(1, 60))
    edges = draw(st.integers(0, 4 * cores))
    return random_traffic(cores, edges, draw(st.integers(0, 2**32 - 1)))


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other partitioner, installed or not."""
    monkeypatch.setitem(sys.modules, "mtkahypar", None)


@given(traffic=traffics(), mesh_size=st.tuples(*[st.integers(1, 4)] * 3), spare=st.integers(0, 2))
@settings(deadline=None, max_examples=60)
def test_every_place_is_used_once_and_no_worse_than_in_order(
    traffic: Traffic, mesh_size: tuple[int, int, int], spare: int
) -> None:
    hardware = small(*mesh_size)
    per_chip = hardware.chip.cores.value
    needed = -(-traffic.cores // per_chip)
    chip, position = place_cores(traffic, needed + spare, hardware)
    assert chip.dtype == position.dtype == np.int32
    assert len(np.unique(chip.astype(np.int64) * per_chip + position)) == traffic.cores
    assert 0 <= chip.min() <= chip.max() < needed
    assert 0 <= position.min() <= position.max() < per_chip
    plain = in_order(traffic.cores, per_chip)
    assert traffic.between_chips(chip) <= traffic.between_chips(plain)
    start = traffic.hops(chip, mesh.in_order(chip), hardware)
    assert traffic.hops(chip, position, hardware) <= start * (1 + 1e-9)


def test_a_board_that_is_exactly_full(alone: None) -> None:
    hardware = small(2, 2, 4)
    traffic = random_traffic(12 * 16, 2000, seed=1)
    chip, position = place_cores(traffic, 12, hardware)
    np.testing.assert_array_equal(np.sort(chip * 16 + position), np.arange(12 * 16))
    plain = in_order(traffic.cores, 16)
    assert traffic.between_chips(chip) < 0.9 * traffic.between_chips(plain)


@pytest.mark.parametrize("cores", [0, 1, 300])
def test_without_edges_cores_stay_in_order(cores: int) -> None:
    traffic = random_traffic(cores, 0, seed=0)
    chip, position = place_cores(traffic, 3, LOIHI)
    np.testing.assert_array_equal(chip, np.arange(cores) // 128)
    np.testing.assert_array_equal(position, np.arange(cores) % 128)
    assert traffic.between_chips(chip) == traffic.hops(chip, position, LOIHI) == 0


def test_one_core_that_sends_to_itself() -> None:
    one = np.zeros(1, np.int32)
    traffic = Traffic(1, one, one, np.array([5.0]))
    chip, position = place_cores(traffic, 1, LOIHI)
    assert (chip.tolist(), position.tolist()) == ([0], [0])


def test_one_core_that_all_others_send_to() -> None:
    others = np.arange(1, 500, dtype=np.int32)
    traffic = Traffic(500, others, np.zeros(499, np.int32), np.ones(499))
    chip, _ = place_cores(traffic, 4, LOIHI)
    assert np.bincount(chip).max() <= 128
    assert traffic.between_chips(chip) == 500 - 128


def test_too_few_chips_are_refused() -> None:
    with pytest.raises(FitError, match="needs 257 cores, 2 chips have 256") as caught:
        place_cores(random_traffic(257, 10, seed=0), 2, LOIHI)
    assert (caught.value.used, caught.value.limit) == (257, 256)


def test_planted_groups_are_found(alone: None) -> None:
    traffic, group = planted(groups=12, size=16, seed=3)
    chip = assign_chips(traffic, 12, 16)
    assert len(np.unique(chip * 12 + group)) == 12


def test_chips_are_numbered_in_the_order_of_their_cores(alone: None) -> None:
    traffic, _ = planted(groups=6, size=16, seed=3)
    chip = assign_chips(traffic, 6, 16)
    means = [np.flatnonzero(chip == each).mean() for each in range(6)]
    assert means == sorted(means)


def test_a_layered_network_sends_far_less_between_chips_and_tiles_than_in_order(
    alone: None,
) -> None:
    traffic = layered()
    hardware = LOIHI
    needed = -(-traffic.cores // 128)
    chip, position = place_cores(traffic, needed, hardware)
    plain = in_order(traffic.cores, 128)
    assert traffic.between_chips(chip) < 0.3 * traffic.between_chips(plain)
    start = traffic.hops(chip, mesh.in_order(chip), hardware)
    assert traffic.hops(chip, position, hardware) < 0.5 * start


def test_equal_seeds_and_any_threads_give_equal_places(alone: None) -> None:
    traffic = random_traffic(400, 3000, seed=5)
    first = place_cores(traffic, 4, LOIHI, seed=1, threads=1)
    for threads in (1, 2, 5, None):
        again = place_cores(traffic, 4, LOIHI, seed=1, threads=threads)
        np.testing.assert_array_equal(first, again)
    other = place_cores(traffic, 4, LOIHI, seed=2)
    assert not np.array_equal(first, other)


def test_a_chip_is_settled_the_same_beside_any_others() -> None:
    traffic = random_traffic(300, 3000, seed=5)
    chip = in_order(300, 128)
    whole = assign_positions(traffic, chip, LOIHI)
    kept = (traffic.source < 128) & (traffic.target < 128)
    part = Traffic(300, traffic.source[kept], traffic.target[kept], traffic.messages[kept])
    np.testing.assert_array_equal(whole[:128], assign_positions(part, chip, LOIHI)[:128])


def test_cores_that_talk_share_a_tile() -> None:
    traffic, group = planted(groups=8, size=4, seed=2)
    hardware = small(4, 2, 4)
    position = assign_positions(traffic, np.zeros(32, np.int32), hardware)
    assert len(np.unique(position // 4 * 8 + group)) == 8


def test_hops_of_a_case_counted_by_hand() -> None:
    source, target = np.array([[0, 0, 1, 2], [1, 2, 1, 3]], np.int32)
    traffic = Traffic(4, source, target, np.array([1.0, 10.0, 100.0, 1000.0]))
    chip = np.array([0, 0, 0, 1], np.int32)
    # Tiles (0, 0), (7, 0) and (1, 3) of 8 columns.
    position = np.array([3, 31, 100, 0], np.int32)
    assert traffic.hops(chip, position, LOIHI) == 1 * 7 + 10 * (1 + 3)
    assert traffic.between_chips(chip) == 1000


def test_both_directions_add_up_and_self_edges_vanish() -> None:
    source, target = np.array([[0, 1, 1, 2], [1, 0, 1, 0]], np.int32)
    traffic = Traffic(3, source, target, np.array([1.0, 2.0, 7.0, 6.0]))
    start, neighbour, weight = traffic.symmetric()
    assert start.tolist() == [0, 2, 3, 4]
    assert neighbour.tolist() == [1, 2, 0, 0]
    assert (weight / weight[0]).tolist() == [1, 2, 1, 2]


@pytest.mark.parametrize(
    ("source", "messages", "why"),
    [
        ([0, 1], [1.0], "2 sources"),
        ([3], [1.0], "cores 3 to 3, there are 3"),
        ([-1], [1.0], "cores -1 to -1"),
        ([0], [-1.0], "negative"),
        ([0], [np.nan], "not finite"),
    ],
)
def test_impossible_traffic_is_refused(source: list[int], messages: list[float], why: str) -> None:
    with pytest.raises(DataError, match=why):
        Traffic(3, np.array(source, np.int32), np.zeros(1, np.int32), np.array(messages))


def test_mt_kahypar_is_mended_to_what_chips_hold() -> None:
    pytest.importorskip("mtkahypar")
    traffic = layered()
    graph = traffic.symmetric()
    per_chip = traffic.cores // 20
    chip = chips_module._mt_kahypar(graph, -(-traffic.cores // per_chip), per_chip, 0, 2)
    assert chip is not None
    assert np.bincount(chip).max() <= per_chip
    plain = in_order(traffic.cores, per_chip)
    assert traffic.between_chips(chip) < 0.3 * traffic.between_chips(plain)


def test_mt_kahypar_gives_the_same_on_1_and_2_threads() -> None:
    pytest.importorskip("mtkahypar")
    # It takes its number of threads once a process.
    code = (
        "import sys, zlib; from tests.mapper.test_placement import *\n"
        "t = random_traffic(900, 9000, 0)\n"
        "found = chips_module._mt_kahypar(t.symmetric(), 8, 128, 3, int(sys.argv[1]))\n"
        "print(zlib.crc32(found.tobytes()), zlib.crc32(assign_chips(t, 8, 128).tobytes()))"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", code, threads],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        ).stdout
        for threads in ("1", "1", "2")
    ]
    assert len(set(printed)) == 1
